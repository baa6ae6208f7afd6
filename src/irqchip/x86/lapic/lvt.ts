import { reads } from "../../../sim/access.js";
import { Ev } from "../../../sim/event.js";
import type { Step } from "../../../sim/step.js";
import { ApicReg, LVT_LEVEL, LVT_MASKED, LVT_MODE_SHIFT } from "./registers.js";
import type { Lapic } from "./lapic.js";

/** An interrupt by an entry of the local vector table, with its mode, vector and trigger (x86-irqchip.md 7.8). Was it accepted? */
export function* deliverLocal(lapic: Lapic, lvt: number): Step<boolean> {
  yield reads(lapic, "addressing");
  const entry = lapic.addressing[lvt >> 2];
  if ((entry & LVT_MASKED) !== 0 || !lapic.base.isEnabled()) {
    const cause = (entry & LVT_MASKED) === 0 ? "target disabled" : "LVT masked";
    lapic.set.vm.sim.emit(Ev.apic_dropped, lapic.vcpu.id, entry & 0xff, cause);
    return false;
  }
  const accepted = yield* lapic.acceptIrq((entry >> LVT_MODE_SHIFT) & 7, entry & 0xff, (entry & LVT_LEVEL) !== 0, true, null);
  if (accepted > 0 && lvt === ApicReg.LVTPC) lapic.page[lvt >> 2] = entry | LVT_MASKED;
  return accepted > 0;
}
