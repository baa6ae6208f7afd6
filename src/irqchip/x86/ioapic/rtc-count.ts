import type { Step } from "../../../sim/step.js";
import { RTC_PIN } from "./rtc.js";
import { pointsTo } from "./scan.js";
import type { IoApic } from "./ioapic.js";
import { Rte } from "../redirection-entry.js";

// The RTC set against what the local APICs hold (x86-irqchip.md 5.7). The IOAPIC's lock is held.

/** 5.4 step 1: at most one vCPU that has ended the pin's vector unseen is taken out of the set. */
export function* forgetUnseenEoi(ioapic: IoApic, pin: number): Step<void> {
  const vector = ioapic.entryLow[pin] & Rte.VECTOR_MASK;
  for (let i = 0; i < ioapic.vm.vcpus.length; i++) {
    const isTarget = yield* pointsTo(ioapic, pin, i);
    const isPending = isTarget && (yield* ioapic.apics.isPendingOrInService(i, vector));
    if (!isTarget || isPending) continue;
    // Listeners are not told: a resampler that finds the line held by another source comes back here (Linux 77377064c3a9).
    if (ioapic.hazards.lazyEoiTellsListeners) yield* ioapic.eoiPin(pin, false);
    if (!ioapic.rtc.eoi(i, vector)) yield* recountRtcOfAll(ioapic);
    return;
  }
}

/** One vCPU's part of the set. */
export function* recountRtcOf(ioapic: IoApic, vcpuIndex: number): Step<void> {
  const isSound = yield* recount(ioapic, vcpuIndex);
  if (!isSound) yield* recountRtcOfAll(ioapic);
}

/** The whole set from nothing. */
export function* recountRtcOfAll(ioapic: IoApic): Step<void> {
  ioapic.rtc.reset();
  for (let i = 0; i < ioapic.vm.vcpus.length; i++) yield* recount(ioapic, i);
}

function* recount(ioapic: IoApic, vcpuIndex: number): Step<boolean> {
  if (!ioapic.rules.tracksRtcEoi) return true;
  const isTarget = yield* pointsTo(ioapic, RTC_PIN, vcpuIndex);
  if (!isTarget) return true;
  const vector = ioapic.entryLow[RTC_PIN] & Rte.VECTOR_MASK;
  const isPending = yield* ioapic.apics.isPendingOrInService(vcpuIndex, vector);
  return ioapic.rtc.restore(vcpuIndex, vector, isPending);
}
