import { sgi1rCluster, sgi1rIntid, sgi1rIsBroadcast, sgi1rTargetList, sgirIntid, sgirTargets } from "../../arch/gic/sgi.js";
import type { Step } from "../../sim/step.js";
import { pendVsgi } from "./v4/vsgi.js";
import type { VgicCpu } from "./vgic-cpu.js";
import type { VgicDist } from "./vgic-dist.js";
import { queueIrqUnlock } from "./vgic-queue.js";

/**
 * ICC_SGI1R_EL1, ICC_SGI0R_EL1, ICC_ASGI1R_EL1 (gic-v3.md A8): SGI1R may generate both groups here, the others only
 * group 0. Affinities that no vCPU has are skipped.
 */
export function* dispatchSgiV3(dist: VgicDist, sender: VgicCpu, lo: number, hi: number, mayGroup1: boolean): Step<void> {
  const intid = sgi1rIntid(lo);
  if (sgi1rIsBroadcast(hi)) {
    for (let i = 0; i < dist.cpus.length; i++) if (dist.cpus[i] !== sender) yield* queueSgiV3(dist, dist.cpus[i], intid, mayGroup1);
    return;
  }
  const cluster = sgi1rCluster(lo, hi);
  for (let list = sgi1rTargetList(lo); list !== 0; list &= list - 1) {
    const target = dist.cpuByAffinity(cluster | (31 - Math.clz32(list & -list)));
    if (target !== null) yield* queueSgiV3(dist, target, intid, mayGroup1);
  }
}

function* queueSgiV3(dist: VgicDist, target: VgicCpu, intid: number, mayGroup1: boolean): Step<void> {
  const irq = target.privateIrqs[intid];
  yield* irq.lock.lock();
  if (irq.group === 1 && !mayGroup1) {
    yield* irq.lock.unlock();
    return;
  }
  if (irq.isVsgi()) {
    yield* pendVsgi(dist, irq, true);
    yield* irq.lock.unlock();
    return;
  }
  irq.pendingLatch = true;
  yield* queueIrqUnlock(dist, irq);
}

/** GICD_SGIR (gic-v3.md A12): each target remembers every CPU that sent it this SGI. */
export function* dispatchSgiV2(dist: VgicDist, sender: VgicCpu, value: number): Step<void> {
  const intid = sgirIntid(value);
  const targets = sgirTargets(value, sender.vcpu.id, (1 << dist.cpus.length) - 1);
  for (let i = 0; i < dist.cpus.length; i++) {
    if ((targets & (1 << i)) === 0) continue;
    const irq = dist.cpus[i].privateIrqs[intid];
    yield* irq.lock.lock();
    irq.pendingLatch = true;
    irq.source |= 1 << sender.vcpu.id;
    yield* queueIrqUnlock(dist, irq);
  }
}
