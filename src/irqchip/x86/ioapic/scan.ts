import type { Step } from "../../../sim/step.js";
import { KVM_IOAPIC_NUM_PINS, KVM_IRQCHIP_IOAPIC } from "../../../uapi/x86.js";
import { RTC_PIN } from "./rtc.js";
import type { IoApic } from "./ioapic.js";
import { Rte } from "../redirection-entry.js";

// Which vectors' EOIs a vCPU has to send to the IOAPIC (x86-irqchip.md 8.3). The IOAPIC's lock is held.

/** Does the entry of `pin` point to this vCPU now? */
export function* pointsTo(ioapic: IoApic, pin: number, vcpuIndex: number): Step<boolean> {
  const isLogical = (ioapic.entryLow[pin] & Rte.LOGICAL) !== 0;
  return yield* ioapic.apics.matches(vcpuIndex, ioapic.entryHigh[pin] >>> Rte.DESTINATION_SHIFT, isLogical);
}

/** Adds the vCPU's handled vectors: of level pins, of pins somebody listens to, of the RTC, and of a tick it received. */
export function* scanEntries(ioapic: IoApic, vcpuIndex: number): Step<void> {
  const tick = ioapic.rtc.owes(vcpuIndex);
  if (tick >= 0) ioapic.apics.addHandled(vcpuIndex, tick, false);
  for (let pin = 0; pin < KVM_IOAPIC_NUM_PINS; pin++) {
    const isAlways = (ioapic.entryLow[pin] & Rte.LEVEL) !== 0 || pin === RTC_PIN;
    const isHandled = isAlways || (yield* ioapic.vm.hasAckNotifier(KVM_IRQCHIP_IOAPIC, pin));
    if (isHandled) yield* handle(ioapic, pin, vcpuIndex);
  }
}

/** A vector that is still pending somewhere keeps its EOI there, wherever the entry points now (X3). */
function* handle(ioapic: IoApic, pin: number, vcpuIndex: number): Step<void> {
  const vector = ioapic.entryLow[pin] & Rte.VECTOR_MASK;
  const isTarget = yield* pointsTo(ioapic, pin, vcpuIndex);
  if (isTarget) {
    ioapic.apics.addHandled(vcpuIndex, vector, false);
    return;
  }
  if (ioapic.hazards.scanWithoutPending) return;
  const isPending = yield* ioapic.apics.isPendingOrInService(vcpuIndex, vector);
  if (isPending) ioapic.apics.addHandled(vcpuIndex, vector, true);
}

/** Every vCPU rebuilds its handled vectors. */
export function* rescanAll(ioapic: IoApic): Step<void> {
  const { vcpus } = ioapic.vm;
  for (let i = 0; i < vcpus.length; i++) yield* vcpus[i].requestScanIoapic();
}

/**
 * So do, after a write, those to whom the entry points, and those to whom its old destination would point in the new
 * destination mode: the kernel takes the new mode for both.
 */
export function* rescanTargets(ioapic: IoApic, pin: number, oldDestination: number, wasLogical: boolean): Step<void> {
  const { vcpus } = ioapic.vm;
  const destination = ioapic.entryHigh[pin] >>> Rte.DESTINATION_SHIFT;
  const isLogical = (ioapic.entryLow[pin] & Rte.LOGICAL) !== 0;
  const hasMoved = destination !== oldDestination || isLogical !== wasLogical;
  for (let i = 0; i < vcpus.length; i++) {
    let isTarget = yield* ioapic.apics.matches(i, destination, isLogical);
    if (!isTarget && hasMoved) isTarget = yield* ioapic.apics.matches(i, oldDestination, isLogical);
    if (isTarget) yield* vcpus[i].requestScanIoapic();
  }
}
