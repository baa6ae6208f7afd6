import { ApicReg, isReadable } from "../irqchip/x86/lapic-registers.js";
import { MSR_IA32_TSC } from "../uapi/x86.js";
import { FREE_MEMORY } from "./guest-code.js";
import type { DiffStep } from "./x86-diff.js";
import type { Flavour, X86Call } from "./x86-vector.js";

/**
 * A difference between the model and a running kernel that is no fault of either. Every one is declared here, with its
 * reason, and counted where it is met; nothing is left out of a comparison in silence.
 */
export interface KnownDifference {
  readonly name: string;
  readonly flavour: Exclude<Flavour, "any">;
  /** Kernels or back ends that answer otherwise. */
  readonly where: string;
  /** Why they do. */
  readonly reason: string;
  /** What the model does instead. */
  readonly model: string;
  /** Nothing that follows depends on it: the comparison goes on. Else it ends there. */
  readonly isHarmless: boolean;
  /** Why it is declared although the machine that these were found on does not show it; missing where it does. */
  readonly kept?: string;
  /** @param before the steps before it */
  explains(call: X86Call, step: DiffStep, before: readonly DiffStep[]): boolean;
}

const BUILD_CAPABILITIES: ReadonlySet<string | number> = new Set(["MSI_DEVID", "HYPERV_SYNIC", "XEN_HVM", "X2APIC_API", "MAX_VCPUS", "MAX_VCPU_ID"]);
const LAPIC = 0xfee0_0000;
const LVT_TIMER = 0x320;
const LAPIC_BYTES = 0x1000;
const TWO_32 = 0x1_0000_0000;

const onlyIn = ({ differences }: DiffStep, path: string): boolean => differences.every((each) => each.path === path);

/** The bytes that a load or store of the guest reaches, null for anything else. */
function accessOf({ op, args }: X86Call): { readonly isWrite: boolean; readonly from: number; readonly size: number } | null {
  const parts = op === "guest" ? /^mmio(Read|Write)(\d+)$/.exec(args.do) : null;
  return parts === null || op !== "guest" ? null : { isWrite: parts[1] === "Write", from: args.addr ?? 0, size: Number(parts[2]) / 8 };
}

/** Is any of the bytes the guest's code or stack? Addresses wrap at 4 GiB. */
function reachesOwnCode(call: X86Call): boolean {
  const access = accessOf(call);
  return access !== null && (access.from < FREE_MEMORY || access.from + access.size > TWO_32);
}

/** A load of which some part is no register of a local APIC's that can be read, or of none alone. */
function readsNoRegister(call: X86Call): boolean {
  const access = accessOf(call);
  if (access === null || access.isWrite) return false;
  const offset = access.from - LAPIC;
  if (offset + access.size <= 0 || offset >= LAPIC_BYTES) return false;
  const isOutside = offset < 0 || offset + access.size > LAPIC_BYTES;
  return isOutside || (offset & 0xf) + access.size > 4 || !isReadable(offset & ~0xf, false) || (offset & ~0xf) === ApicReg.LVTCMCI;
}

const isMsr = (call: X86Call): boolean => call.op === "guest" && (call.args.do === "rdmsr" || call.args.do === "wrmsr");
const addressOf = (call: X86Call): number => (call.op === "guest" ? (call.args.addr ?? 0) : -1);
const isOfInterrupts = (msr: number): boolean => msr === 0x1b || msr === 0x6e0 || msr === 0x4b56_4d04 || (msr >= 0x800 && msr < 0x900);

export const KNOWN_DIFFERENCES: readonly KnownDifference[] = [
  {
    name: "capabilities of the build",
    flavour: "build",
    where: "kernels with Hyper-V's or Xen's interfaces, other limits of vCPUs, or flags of KVM_CAP_X2APIC_API of 2026",
    reason: "which of these a kernel has depends on its configuration and its release",
    model: "the limits of 6.18 for 64-bit hosts, neither Hyper-V nor Xen",
    isHarmless: true,
    explains: ({ op, args }, step) => op === "checkExtension" && BUILD_CAPABILITIES.has(args.cap) && onlyIn(step, "ret"),
  },
  {
    name: "other parts of KVM",
    flavour: "build",
    where: "every kernel",
    reason: "it has capabilities of memory, of the processor and of virtual machines as such",
    model: "interrupts and device assignment alone: 0, and EINVAL",
    isHarmless: true,
    explains: ({ op, args }, step) => op === "checkExtension" && typeof args.cap === "number" && step.model.ret === 0 && onlyIn(step, "ret"),
  },
  {
    name: "VM types",
    flavour: "build",
    where: "kernels with CONFIG_KVM_SW_PROTECTED_VM, SEV or TDX",
    reason: "protected VM types exist where the kernel was built for them",
    model: "EINVAL for every type but 0",
    isHarmless: false,
    kept: "the kernel that was compared has type 0 alone",
    explains: ({ op, args }) => op === "createVm" && (args.type ?? 0) !== 0,
  },
  {
    name: "a guest without code",
    flavour: "quirk",
    where: "every kernel",
    reason: "after an INIT or a start-up the vCPU executes what lies there: nothing, for which KVM gives up, or zeros until a segment ends; the command guest's code is elsewhere until user space sets its registers",
    model: "KVM_EXIT_INTERNAL_ERROR at once: its guest is no code",
    isHarmless: false,
    explains: ({ op }, { kernel, model }) => op === "guest" && [...(kernel.events ?? []), ...(model.events ?? [])].some(({ type }) => type === "internalError"),
  },
  {
    name: "the guest's own code and stack",
    flavour: "quirk",
    where: "every kernel",
    reason: "the command guest overwrote its code or an interrupt vector, or reads its stack",
    model: "the same bytes lie in its memory, but its guest does not execute them, and its stack is not there",
    isHarmless: false,
    explains: (call, _step, before) => reachesOwnCode(call) || before.some((each) => reachesOwnCode(each.call) && (accessOf(each.call)?.isWrite ?? false)),
  },
  {
    name: "what is no register of a local APIC",
    flavour: "quirk",
    where: "every kernel",
    reason: "a load that no register takes leaves the emulator's buffer alone: the guest gets what its last load read",
    model: "zeros",
    isHarmless: true,
    explains: (call, step) => readsNoRegister(call) && onlyIn(step, "value"),
  },
  {
    name: "a timer's expiry that waited while its entry was masked",
    flavour: "pvm",
    where: "kvm-pvm",
    reason: "it emulates what follows the unmasking without leaving the guest, and KVM turns expiries into interrupts where a guest was left",
    model: "an interrupt at once: the unmasking itself leaves the guest, as on VMX",
    isHarmless: false,
    explains: (call, { differences }) => call.op === "guest" && call.args.do === "mmioWrite32" && call.args.addr === LAPIC + LVT_TIMER && differences.every(({ path }) => path === "events" || path.endsWith(".irr") || path.endsWith(".tmr")),
  },
  {
    name: "the time stamp counter",
    flavour: "quirk",
    where: "every kernel",
    reason: "it counts",
    model: "counts virtual nanoseconds",
    isHarmless: true,
    explains: (call, step) => isMsr(call) && addressOf(call) === MSR_IA32_TSC && onlyIn(step, "value"),
  },
  {
    name: "registers that have nothing to do with interrupts",
    flavour: "build",
    where: "every kernel, each with its own",
    reason: "which model specific registers a vCPU has depends on the kernel and the processor",
    model: "a general protection fault for all but those of interrupts, timers and time",
    isHarmless: false,
    explains: (call, { model }) => isMsr(call) && !isOfInterrupts(addressOf(call)) && (model.events ?? []).some((event) => event.type === "intr" && event.vector === 13),
  },
];

/** What explains that the two sides differ in this step, null when nothing does. */
export function explanationOf(call: X86Call, step: DiffStep, before: readonly DiffStep[]): KnownDifference | null {
  return KNOWN_DIFFERENCES.find((known) => known.explains(call, step, before)) ?? null;
}
