import { moveIrq } from "../../../host/irq/affinity.js";
import { commit, deschedule, schedule } from "../../../host/its/residency.js";
import { reads } from "../../../sim/access.js";
import { current } from "../../../sim/context.js";
import type { Step } from "../../../sim/step.js";
import type { V4Cpu, VgicV4 } from "./v4.js";

// A vCPU's vPE on the physical CPU that it is loaded on (gic-v4.md C5.1, C5.4).

/** vgic_v4_load. 0, or the errno of a VMOVP that failed: then the vPE stays away. */
export function* loadVpe(v4: VgicV4, own: V4Cpu): Step<number> {
  const { vpe } = own;
  const { host } = v4.driver;
  if (!v4.isSupported || vpe.isResident || own.isInWfi) return 0; // hazard R10
  const { cpu } = current();
  // Its redistributor first: what comes goes where the table says (hazard R11).
  yield reads(vpe, "cpu");
  if (vpe.cpu !== cpu) {
    const moved = yield* moveIrq(host.irqs, vpe.irq, cpu);
    if (moved < 0) return moved;
  }
  if (!v4.is41) yield* host.disableIrqNosync(vpe.irq);
  yield reads(v4.dist, "enabled");
  const isOn = v4.dist.enabled;
  yield* schedule(v4.driver, vpe, isOn, isOn);
  // What rang before is no news any more (hazard R13).
  if (!v4.is41) yield* host.setIrqchipState(vpe.irq, "pending", false);
  return 0;
}

/** vgic_v4_commit, before each entry: the redistributor knows what is pending (hazard R12). */
export function* commitVpe(v4: VgicV4, own: V4Cpu): Step<void> {
  if (v4.isSupported && own.vpe.isResident && !own.vpe.isReady) yield* commit(v4.driver, own.vpe);
}

/** vgic_v4_put. Of a vCPU that is about to block the doorbell is armed before the vPE leaves (hazard R8). */
export function* putVpe(v4: VgicV4, own: V4Cpu): Step<void> {
  const { vpe } = own;
  if (!v4.isSupported || !vpe.isResident) return;
  if (own.isInWfi && !v4.is41) yield* armDoorbell(v4, vpe.irq);
  yield* deschedule(v4.driver, vpe, own.isInWfi);
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
  }
}

/** The guest waits: its vPE leaves, with the doorbell on. */
export function* beginWfi(v4: VgicV4, own: V4Cpu): Step<void> {
  own.isInWfi = true;
  yield* putVpe(v4, own);
}

export function* endWfi(v4: VgicV4, own: V4Cpu): Step<void> {
  if (!own.isInWfi) return;
  own.isInWfi = false;
  yield* loadVpe(v4, own);
}
