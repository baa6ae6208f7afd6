import { EAGAIN, EEXIST, EINVAL } from "../../uapi/errno.js";
import type { Step } from "../../sim/step.js";
import type { MappedIrqOps } from "../contract.js";
import type { VgicCpu } from "./vgic-cpu.js";
import type { VgicDist } from "./vgic-dist.js";
import { VGIC_NR_SGIS } from "./vgic-irq.js";

/**
 * Links a virtual PPI or SPI to a physical interrupt: the guest's end of the one deactivates the other (gic-v3.md A9.9,
 * kvm-irq-core.md 8.3). 0, or -EINVAL where either interrupt does not exist.
 */
export function* mapPhysIrq(dist: VgicDist, cpu: VgicCpu | null, intid: number, hostIntid: number, ops: MappedIrqOps | null): Step<number> {
  const irq = intid < VGIC_NR_SGIS ? null : dist.irq(cpu, intid);
  if (irq === null || hostIntid < VGIC_NR_SGIS || hostIntid >= dist.hostGic.interrupts) return -EINVAL;
  yield* irq.lock.lock();
  irq.hw = true;
  irq.hwintid = hostIntid;
  irq.ops = ops;
  yield* irq.lock.unlock();
  return 0;
}

/** 0, -EAGAIN before INIT, -EINVAL. */
export function* unmapPhysIrq(dist: VgicDist, cpu: VgicCpu | null, intid: number): Step<number> {
  if (!dist.initialized) return -EAGAIN;
  const irq = dist.irq(cpu, intid);
  if (irq === null) return -EINVAL;
  yield* irq.lock.lock();
  irq.hw = false;
  irq.hwintid = -1;
  irq.ops = null;
  yield* irq.lock.unlock();
  return 0;
}

/** Is it pending or active (kvm_vgic_map_is_active)? */
export function* isMappedActive(dist: VgicDist, cpu: VgicCpu | null, intid: number): Step<boolean> {
  const irq = dist.irq(cpu, intid);
  if (irq === null) return false;
  yield* irq.lock.lock();
  const isBusy = irq.isPending() || irq.active;
  yield* irq.lock.unlock();
  return isBusy;
}

/** Forgets what is pending and active on a mapped interrupt: its vCPU was reset. */
export function* resetMappedIrq(dist: VgicDist, cpu: VgicCpu, intid: number): Step<void> {
  const irq = dist.irq(cpu, intid);
  if (irq === null) return;
  yield* irq.lock.lock();
  if (irq.hw) {
    irq.active = false;
    irq.pendingLatch = false;
    irq.lineLevel = false;
  }
  yield* irq.lock.unlock();
}

/** Claims a line for an in-kernel device: 0, -EAGAIN before INIT, -EINVAL (an SGI, no such SPI), -EEXIST. */
export function* setOwner(dist: VgicDist, cpu: VgicCpu | null, intid: number, owner: object): Step<number> {
  if (!dist.initialized) return -EAGAIN;
  const irq = intid < VGIC_NR_SGIS ? null : dist.irq(cpu, intid);
  if (irq === null) return -EINVAL;
  yield* irq.lock.lock();
  const isFree = irq.owner === null || irq.owner === owner;
  if (isFree) irq.owner = owner;
  yield* irq.lock.unlock();
  return isFree ? 0 : -EEXIST;
}
