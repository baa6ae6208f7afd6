import type { Step } from "../sim/step.js";
import type { X86Call, X86Target } from "./x86-vector.js";

const VECTOR = 0x51;

const CALLS: readonly X86Call[] = [
  { op: "createVm", args: {} },
  { op: "createIrqchip", args: {} },
  { op: "createVcpu", args: { id: 0 } },
  { op: "guestInit", args: {} },
  { op: "setLapic", args: { state: { svr: 0x1ff } } },
  { op: "signalMsi", args: { addressLo: 0xfee0_0000, data: VECTOR } },
  { op: "guest", args: { do: "sti" } },
];

/**
 * Is this a back end on which a local APIC's interrupt is over as soon as the guest takes it (kvm-pvm: conformance/README.md,
 * "What depends on the flavour")? Asked of the kernel itself: an interrupt is taken, and its in-service bit looked for.
 */
export function* endsAtAcceptance(target: X86Target): Step<boolean> {
  for (let i = 0; i < CALLS.length; i++) yield* target.perform(CALLS[i]);
  const { state } = yield* target.perform({ op: "getLapic", args: {} });
  yield* target.close();
  return typeof state === "object" && "tmr" in state && !state.isr.includes(VECTOR) && !state.irr.includes(VECTOR);
}
