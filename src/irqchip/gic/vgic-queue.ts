import { EINVAL } from "../../uapi/errno.js";
import { reads } from "../../sim/access.js";
import { Ev } from "../../sim/event.js";
import type { Step } from "../../sim/step.js";
import type { VgicCpu } from "./vgic-cpu.js";
import { ensureInitialized } from "./vgic-init.js";
import type { VgicDist } from "./vgic-dist.js";
import { VGIC_NR_PRIVATE_IRQS, VgicConfig, type VgicIrq } from "./vgic-irq.js";

/**
 * Which vCPU should hold this interrupt now, null for none; asked at events only (gic-v3.md A9.1). The caller holds
 * the interrupt's lock.
 */
export function* targetOracle(dist: VgicDist, irq: VgicIrq): Step<VgicCpu | null> {
  if (irq.active) return dist.hazards.moveActive ? irq.targetVcpu : (irq.vcpu ?? irq.targetVcpu);
  if (!irq.enabled || !irq.isPending()) return null;
  yield reads(dist, "enabled");
  return dist.enabled ? irq.targetVcpu : null;
}

/**
 * Puts the interrupt on the list of the vCPU that should hold it, and has that vCPU look (gic-v3.md A9.2). Called with
 * the interrupt's lock held, which it gives back. True if the interrupt was put on a list.
 *
 * The lock is given back before the list's is taken, so everything is asked again under both (hazard R30).
 */
export function* queueIrqUnlock(dist: VgicDist, irq: VgicIrq): Step<boolean> {
  for (;;) {
    const cpu = yield* targetOracle(dist, irq);
    if (irq.vcpu !== null || cpu === null) {
      yield* irq.lock.unlock();
      // Already listed: the vCPU may have ended the previous one in its list register and must exit to see this one.
      if (cpu !== null) yield* cpu.vcpu.requestIrqPending();
      return false;
    }
    yield* irq.lock.unlock();
    if (dist.hazards.kickBeforeInsert) yield* cpu.vcpu.requestIrqPending();

    yield* cpu.apList.lock.lock();
    yield* irq.lock.lock();
    const target = yield* targetOracle(dist, irq);
    if (irq.vcpu === null && (target === cpu || dist.hazards.insertWithoutRecheck)) {
      if (irq.isLpi()) yield* dist.lpis.pin(irq);
      yield* enlist(cpu, irq);
      yield* irq.lock.unlock();
      yield* cpu.apList.lock.unlock();
      if (!dist.hazards.kickBeforeInsert) yield* cpu.vcpu.requestIrqPending();
      return true;
    }
    yield* irq.lock.unlock();
    yield* cpu.apList.lock.unlock();
    yield* irq.lock.lock();
  }
}

/** Appends to the vCPU's list; both locks are held. */
export function* enlist(cpu: VgicCpu, irq: VgicIrq): Step<void> {
  yield* cpu.apList.append(irq);
  irq.vcpu = cpu;
}

/** Takes the interrupt off the list of `irq.vcpu`; both locks are held. */
export function* delist(cpu: VgicCpu, irq: VgicIrq): Step<void> {
  yield* cpu.apList.remove(irq);
  irq.vcpu = null;
}

/** May `owner` drive this line, and does that change anything? */
function isChange(dist: VgicDist, irq: VgicIrq, level: boolean, owner: object | null): boolean {
  if (irq.owner !== owner && !dist.hazards.ignoreOwner) return false;
  return irq.config === VgicConfig.LEVEL ? irq.lineLevel !== level : level;
}

/**
 * A line or an edge from outside the guest (gic-v3.md A9.2). `cpu` null: an SPI. 0, or -EBUSY (GICv3 not initialised),
 * -EINVAL (no such interrupt). A line that somebody else owns is left alone, with success (hazard R52).
 */
export function* injectIrq(dist: VgicDist, cpu: VgicCpu | null, intid: number, level: boolean, owner: object | null): Step<number> {
  const error = yield* ensureInitialized(dist);
  if (error !== 0) return error;
  if (cpu === null && intid < VGIC_NR_PRIVATE_IRQS) return -EINVAL;
  dist.sim.emit(Ev.vgic_update_irq_pending, cpu === null ? 0 : cpu.index, intid, level ? 1 : 0);
  const irq = dist.irq(cpu, intid);
  if (irq === null) return -EINVAL;
  yield* irq.lock.lock();
  if (!isChange(dist, irq, level, owner)) {
    yield* irq.lock.unlock();
    return 0;
  }
  if (irq.config === VgicConfig.LEVEL) irq.lineLevel = level;
  else irq.pendingLatch = true;
  yield* queueIrqUnlock(dist, irq);
  return 0;
}
