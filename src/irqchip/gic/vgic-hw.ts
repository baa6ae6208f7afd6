import { reads } from "../../sim/access.js";
import { current } from "../../sim/context.js";
import type { Step } from "../../sim/step.js";
import type { VgicDist } from "./vgic-dist.js";
import type { VgicIrq } from "./vgic-irq.js";

// The physical side of a mapped interrupt (gic-v3.md A9.9). The caller holds the virtual interrupt's lock.

/** The physical CPU whose copy of a PPI is meant: the vCPU's own, or the caller's while it is nowhere. */
function physicalCpuOf(irq: VgicIrq): number {
  const loaded = irq.targetVcpu === null ? -1 : irq.targetVcpu.physicalCpu;
  return loaded < 0 ? current().cpu : loaded;
}

/** The level of the line behind a mapped interrupt: the device's word, or the physical GIC's pending state. */
export function* physLineLevel(dist: VgicDist, irq: VgicIrq): Step<boolean> {
  const { ops, targetVcpu } = irq;
  if (ops !== null && ops.getInputLevel !== undefined && targetVcpu !== null) return yield* ops.getInputLevel(targetVcpu.index, irq.intid);
  yield reads(dist.hostGic, "GIC");
  return dist.hostGic.isPending(physicalCpuOf(irq), irq.hwintid);
}

export function* setPhysActive(dist: VgicDist, irq: VgicIrq, isActive: boolean): Step<void> {
  yield* dist.hostGic.setActive(physicalCpuOf(irq), irq.hwintid, isActive);
}

export function* setPhysPending(dist: VgicDist, irq: VgicIrq, isPending: boolean): Step<void> {
  yield* dist.hostGic.setPending(physicalCpuOf(irq), irq.hwintid, isPending);
}

/**
 * After a fold: the next rise of a mapped line must be seen, so the physical interrupt is deactivated once the line is
 * low (gic-v3.md A9.4, hazard R36). What was noted of the line while the interrupt was active is old when it has ended (Linux
 * 3134cc8beb69). With software resampling: once the virtual one has ended.
 */
export function* handleResampling(dist: VgicDist, irq: VgicIrq, wasDeactivated: boolean, isPending: boolean): Step<void> {
  if (!irq.isMappedLevel() || dist.hazards.neverResample) return;
  let resample = false;
  if (irq.needsSwResample()) resample = !(irq.active || irq.pendingLatch);
  else if (isPending || (wasDeactivated && irq.lineLevel && !dist.hazards.endWithoutSample)) {
    irq.lineLevel = yield* physLineLevel(dist, irq);
    resample = !irq.lineLevel;
  }
  if (resample) yield* setPhysActive(dist, irq, false);
}
