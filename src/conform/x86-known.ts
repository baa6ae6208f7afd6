import type { DiffStep } from "./x86-diff.js";
import type { Flavour, X86Call } from "./x86-vector.js";

/**
 * A difference between the model and a running kernel that is no fault of either. Every one is declared here, with its
 * reason, and counted where it is met; nothing is left out of a comparison in silence.
 */
export interface KnownDifference {
  readonly name: string;
  readonly flavour: Exclude<Flavour, "any">;
  readonly reason: string;
  /** Nothing that follows depends on it: the comparison goes on. Else it ends there. */
  readonly isHarmless: boolean;
  explains(call: X86Call, step: DiffStep): boolean;
}

const BUILD_CAPABILITIES: ReadonlySet<string | number> = new Set(["MSI_DEVID", "HYPERV_SYNIC", "XEN_HVM", "X2APIC_API", "MAX_VCPUS", "MAX_VCPU_ID"]);

export const KNOWN_DIFFERENCES: readonly KnownDifference[] = [
  {
    name: "capabilities of the build",
    flavour: "build",
    reason: "which of these a kernel has depends on its configuration and its release",
    isHarmless: true,
    explains: ({ op, args }) => op === "checkExtension" && BUILD_CAPABILITIES.has(args.cap),
  },
  {
    name: "VM types",
    flavour: "build",
    reason: "protected VM types exist where the kernel was built for them",
    isHarmless: false,
    explains: ({ op, args }) => op === "createVm" && (args.type ?? 0) !== 0,
  },
  {
    name: "a guest without code",
    flavour: "quirk",
    reason: "after an INIT the guest's vCPU stands where it has no code, and KVM gives up with KVM_EXIT_INTERNAL_ERROR; the model's guest is no code",
    isHarmless: false,
    explains: ({ op }, { kernel }) => op === "guest" && (kernel.events ?? []).some(({ type }) => type === "internalError"),
  },
];

/** What explains that the two sides differ in this step, null when nothing does. */
export function explanationOf(call: X86Call, step: DiffStep): KnownDifference | null {
  return KNOWN_DIFFERENCES.find((known) => known.explains(call, step)) ?? null;
}
