import { commit, deschedule, moveHere, schedule } from "../../../host/its/residency.js";
import { reads } from "../../../sim/access.js";
import type { Step } from "../../../sim/step.js";
import { block, enterVpe, unblock } from "./series2017.js";
import type { V4Cpu, VgicV4 } from "./v4.js";

// A vCPU's vPE on the physical CPU that it is loaded on (gic-v4.md C5.1, C5.4).

/** vgic_v4_load. 0, or the errno of a VMOVP that failed: then the vPE stays away, the vCPU runs, and the host has a warning. */
export function* loadVpe(v4: VgicV4, own: V4Cpu): Step<number> {
  const { vpe } = own;
  const { host } = v4.driver;
  const { keepStaleDoorbell, moveAfterSchedule } = v4.dist.hazards;
  if (!v4.isSupported || v4.dist.is2017 || vpe.isResident || own.isInWfi) return 0; // hazard R10
  // Its redistributor first: what comes goes where the table says (hazard R11).
  const moved = moveAfterSchedule ? 0 : yield* moveHere(v4.driver, vpe);
  if (moved < 0) return moved;
  if (!v4.is41) yield* host.disableIrqNosync(vpe.irq);
  yield reads(v4.dist, "enabled");
  const isOn = v4.dist.enabled;
  yield* schedule(v4.driver, vpe, isOn, isOn);
  if (moveAfterSchedule) yield* moveHere(v4.driver, vpe);
  // What rang before is no news any more (hazard R13).
  if (!v4.is41 && !keepStaleDoorbell) yield* host.setIrqchipState(vpe.irq, "pending", false);
  return 0;
}

/** vgic_v4_commit, before each entry: the redistributor knows what is pending (hazard R12). */
export function* commitVpe(v4: VgicV4, own: V4Cpu): Step<void> {
  if (v4.dist.is2017) yield* enterVpe(v4, own.vpe);
  else if (v4.isSupported && own.vpe.isResident && !own.vpe.isReady && !v4.dist.hazards.enterWhileDirty) yield* commit(v4.driver, own.vpe);
}

/** vgic_v4_put. Of a vCPU that is about to block the doorbell is armed before the vPE leaves (hazard R8). */
export function* putVpe(v4: VgicV4, own: V4Cpu): Step<void> {
  const { vpe } = own;
  const { armAfterDeschedule, stayResident } = v4.dist.hazards;
  if (!v4.isSupported || v4.dist.is2017 || !vpe.isResident || (stayResident && !own.isInWfi)) return;
  const arms = own.isInWfi && !v4.is41;
  if (arms && !armAfterDeschedule) yield* armDoorbell(v4, vpe.irq);
  yield* deschedule(v4.driver, vpe, own.isInWfi);
  if (arms && armAfterDeschedule) yield* armDoorbell(v4, vpe.irq);
}

/** Each residency has disabled it once more: it is enabled as often as it takes. */
function* armDoorbell(v4: VgicV4, irq: number): Step<void> {
  const { host } = v4.driver;
  const desc = host.desc(irq);
  if (desc === null) return;
  for (;;) {
    yield* desc.lock.lock();
    const { isDisabled } = desc;
    yield* desc.lock.unlock();
    if (!isDisabled) return;
    yield* host.enableIrq(irq);
    if (v4.dist.hazards.armDoorbellOnce) return;
  }
}

/** The guest waits: its vPE leaves, with the doorbell on. */
export function* beginWfi(v4: VgicV4, own: V4Cpu): Step<void> {
  own.isInWfi = true;
  if (v4.dist.is2017) return yield* block(v4, own.vpe);
  yield* putVpe(v4, own);
  if (v4.dist.hazards.forgetWait) own.isInWfi = false;
}

export function* endWfi(v4: VgicV4, own: V4Cpu): Step<void> {
  if (!own.isInWfi) return;
  own.isInWfi = false;
  if (v4.dist.is2017) yield* unblock(v4, own.vpe);
  else yield* loadVpe(v4, own);
}
