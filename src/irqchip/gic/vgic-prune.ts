import type { Step } from "../../sim/step.js";
import type { VgicCpu } from "./vgic-cpu.js";
import type { VgicDist } from "./vgic-dist.js";
import type { VgicIrq } from "./vgic-irq.js";
import { delist, enlist, targetOracle } from "./vgic-queue.js";

/** Drops what nobody should hold and moves what another vCPU should hold (gic-v3.md A9.5). */
export function* pruneApList(dist: VgicDist, cpu: VgicCpu): Step<void> {
  let moving = yield* dropAndFindMoving(dist, cpu);
  while (moving !== null) moving = yield* dropAndFindMoving(dist, cpu);
}

/** One walk; ends early, with the interrupt, when one had to be moved: the list may have changed meanwhile. */
function* dropAndFindMoving(dist: VgicDist, cpu: VgicCpu): Step<VgicIrq | null> {
  yield* cpu.apList.lock.lock();
  let irq = cpu.apList.head;
  while (irq !== null) {
    const next: VgicIrq | null = irq.apNext;
    yield* irq.lock.lock();
    const target: VgicCpu | null = yield* targetOracle(dist, irq);
    if (target === null) {
      yield* delist(cpu, irq);
      if (irq.isLpi()) yield* dist.lpis.unpin(irq);
    }
    yield* irq.lock.unlock();
    if (target !== null && target !== cpu) {
      yield* cpu.apList.lock.unlock();
      yield* migrate(dist, cpu, target, irq);
      return irq;
    }
    irq = next;
  }
  yield* cpu.apList.lock.unlock();
  return null;
}

/**
 * Both lists' locks, lowest vCPU id first, then the interrupt's; list and target are asked again under them (hazard
 * R31).
 */
function* migrate(dist: VgicDist, from: VgicCpu, to: VgicCpu, irq: VgicIrq): Step<void> {
  const first = from.vcpu.id < to.vcpu.id ? from : to;
  const second = first === from ? to : from;
  yield* first.apList.lock.lock();
  yield* second.apList.lock.lock();
  yield* irq.lock.lock();
  const target = irq.vcpu === from ? yield* targetOracle(dist, irq) : null;
  const moves = target === to || (irq.vcpu === from && dist.hazards.moveWithoutRecheck);
  if (moves) {
    yield* delist(from, irq);
    yield* enlist(to, irq);
  }
  yield* irq.lock.unlock();
  yield* second.apList.lock.unlock();
  yield* first.apList.lock.unlock();
  if (moves) yield* to.vcpu.requestIrqPending();
}
