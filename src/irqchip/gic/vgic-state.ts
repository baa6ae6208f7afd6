import { writes } from "../../sim/access.js";
import type { Step } from "../../sim/step.js";
import { hasVsgis, pendVsgi, pushVsgi, readVsgi, writeNassgireq } from "./v4/vsgi.js";
import type { VgicCpu } from "./vgic-cpu.js";
import { kickVcpus } from "./vgic-cpuif.js";
import type { VgicDist } from "./vgic-dist.js";
import { physLineLevel, setPhysActive, setPhysPending } from "./vgic-hw.js";
import { VGIC_NR_PRIVATE_IRQS, VgicConfig, type VgicIrq } from "./vgic-irq.js";
import { queueIrqUnlock } from "./vgic-queue.js";

// What one bit or field of a per-interrupt register means (gic-v3.md A7). `isUser`: access by device attribute. Reads
// take the lock for one field, which is the same as the kernel's plain read.

/** Bits of a priority that exist. */
const PRIORITY_MASK = 0xf8;
const ROUTER_MASK = 0xffffff;

/** GICD_CTLR's enable, and what a guest on GICv4.1 asks about its SGIs. Becoming enabled has vCPUs look, but queues nothing (A5). */
export function* writeDistEnable(dist: VgicDist, isEnabled: boolean, isUser: boolean, asksForVsgis = false): Step<void> {
  yield writes(dist, "enabled");
  const wasEnabled = dist.enabled;
  dist.enabled = isEnabled;
  if (isUser) dist.nassgireq = asksForVsgis && hasVsgis(dist);
  else yield* writeNassgireq(dist, wasEnabled, isEnabled, asksForVsgis);
  if (isEnabled && !wasEnabled && !isUser) yield* kickVcpus(dist);
}

/** ISENABLER, a one written (A7.1). */
export function* setEnabled(dist: VgicDist, irq: VgicIrq, isUser: boolean): Step<void> {
  yield* irq.lock.lock();
  if (!isUser && irq.isMappedLevel()) {
    const wasHigh = irq.lineLevel;
    irq.lineLevel = yield* physLineLevel(dist, irq);
    if (wasHigh && !irq.lineLevel && !irq.active) yield* setPhysActive(dist, irq, false);
  }
  irq.enabled = true;
  if (irq.isVsgi()) yield* pushVsgi(dist, irq);
  yield* queueIrqUnlock(dist, irq);
}

/** ICENABLER, a one written: the list keeps it until the next prune. */
export function* clearEnabled(dist: VgicDist, irq: VgicIrq): Step<void> {
  yield* irq.lock.lock();
  irq.enabled = false;
  if (irq.isVsgi()) yield* pushVsgi(dist, irq);
  yield* irq.lock.unlock();
}

export function* readEnabled(irq: VgicIrq): Step<boolean> {
  yield* irq.lock.lock();
  const { enabled } = irq;
  yield* irq.lock.unlock();
  return enabled;
}

/** ISPENDR and ICPENDR read (A7.2). GICv3 user space sees the latch alone: wires travel by LEVEL_INFO. */
export function* readPending(dist: VgicDist, irq: VgicIrq, isUser: boolean): Step<boolean> {
  yield* irq.lock.lock();
  let isPending = isUser && dist.model === 3 ? irq.pendingLatch : irq.isPending();
  if (irq.isVsgi()) isPending = yield* readVsgi(dist, irq);
  else if (!isUser && irq.isMappedLevel()) isPending = yield* physLineLevel(dist, irq);
  yield* irq.lock.unlock();
  return isPending;
}

const isSgiV2 = (dist: VgicDist, irq: VgicIrq): boolean => dist.model === 2 && irq.isSgi();

/** ISPENDR, a one written. GICv2 SGIs: ignored from the guest, sent by themselves from user space. */
export function* setPending(dist: VgicDist, irq: VgicIrq, isUser: boolean): Step<void> {
  if (isSgiV2(dist, irq) && !isUser) return;
  yield* irq.lock.lock();
  if (irq.isVsgi()) {
    yield* pendVsgi(dist, irq, true);
    yield* irq.lock.unlock();
    return;
  }
  if (isSgiV2(dist, irq) && irq.targetVcpu !== null) irq.source |= 1 << irq.targetVcpu.vcpu.id;
  irq.pendingLatch = true;
  if (irq.hw && !isUser) yield* setPhysActive(dist, irq, true);
  yield* queueIrqUnlock(dist, irq);
}

/** ICPENDR, a one written. The physical interrupt is released too, unless the virtual one is active. */
export function* clearPending(dist: VgicDist, irq: VgicIrq, isUser: boolean): Step<void> {
  if (isSgiV2(dist, irq) && !isUser) return;
  yield* irq.lock.lock();
  if (irq.isVsgi()) {
    yield* pendVsgi(dist, irq, false);
    yield* irq.lock.unlock();
    return;
  }
  if (isSgiV2(dist, irq)) irq.source = 0;
  irq.pendingLatch = false;
  if (irq.hw && !isUser) {
    yield* setPhysPending(dist, irq, false);
    if (!irq.active) yield* setPhysActive(dist, irq, false);
  }
  yield* irq.lock.unlock();
}

/** GICv3 user space writes ISPENDR: the latch becomes the bit, whatever the configuration (A7.2). */
export function* assignPending(dist: VgicDist, irq: VgicIrq, isPending: boolean): Step<void> {
  if (isPending) yield* setPending(dist, irq, true);
  else yield* clearPending(dist, irq, true);
}

/** GICv2 SPENDSGIR and CPENDSGIR: the sources of an SGI (A12). */
export function* setSources(dist: VgicDist, irq: VgicIrq, sources: number): Step<void> {
  yield* irq.lock.lock();
  irq.source |= sources;
  if (irq.source === 0) {
    yield* irq.lock.unlock();
    return;
  }
  irq.pendingLatch = true;
  yield* queueIrqUnlock(dist, irq);
}

export function* clearSources(irq: VgicIrq, sources: number): Step<void> {
  yield* irq.lock.lock();
  irq.source &= ~sources;
  if (irq.source === 0) irq.pendingLatch = false;
  yield* irq.lock.unlock();
}

export function* readSources(irq: VgicIrq): Step<number> {
  yield* irq.lock.lock();
  const { source } = irq;
  yield* irq.lock.unlock();
  return source;
}

/**
 * Brackets a guest access to ISACTIVER or ICACTIVER (A7.3, hazard R33): list registers hold the truth, so every vCPU
 * leaves the guest and is folded first. GICv2's private interrupts are only ever in the accessing vCPU's registers.
 */
export function* beginActiveAccess(dist: VgicDist, intid: number): Step<void> {
  yield* dist.configLock.lock();
  if (needsHalt(dist, intid)) yield* dist.vm.haltGuest();
}

export function* endActiveAccess(dist: VgicDist, intid: number): Step<void> {
  if (needsHalt(dist, intid)) yield* dist.vm.resumeGuest();
  yield* dist.configLock.unlock();
}

function needsHalt(dist: VgicDist, intid: number): boolean {
  return (dist.model === 3 || intid >= VGIC_NR_PRIVATE_IRQS) && !dist.hazards.activeWithoutHalt;
}

export function* readActive(irq: VgicIrq): Step<boolean> {
  yield* irq.lock.lock();
  const { active } = irq;
  yield* irq.lock.unlock();
  return active;
}

/** ISACTIVER, a one written; `requester` is the vCPU that writes, null for user space. */
export function* setActive(dist: VgicDist, irq: VgicIrq, requester: VgicCpu | null): Step<void> {
  yield* changeActive(dist, irq, true, requester);
}

/** ICACTIVER, a one written. */
export function* clearActive(dist: VgicDist, irq: VgicIrq, requester: VgicCpu | null): Step<void> {
  yield* changeActive(dist, irq, false, requester);
}

/** An interrupt that became active is queued, so that it gets a list register and can be ended. */
function* changeActive(dist: VgicDist, irq: VgicIrq, isActive: boolean, requester: VgicCpu | null): Step<void> {
  yield* irq.lock.lock();
  if (irq.isVsgi()) {
    yield* irq.lock.unlock();
    return;
  }
  if (!irq.hw) {
    irq.active = isActive;
    if (isActive && isSgiV2(dist, irq)) irq.activeSource = requester === null ? 0 : requester.vcpu.id;
  } else if (requester !== null) {
    irq.active = isActive;
    yield* setPhysActive(dist, irq, isActive);
  }
  if (irq.active) yield* queueIrqUnlock(dist, irq);
  else yield* irq.lock.unlock();
}

/** IPRIORITYR: a new order applies from the next flush on (A7.4). */
export function* writePriority(dist: VgicDist, irq: VgicIrq, priority: number): Step<void> {
  yield* irq.lock.lock();
  irq.priority = priority & PRIORITY_MASK;
  if (irq.isVsgi()) yield* pushVsgi(dist, irq);
  yield* irq.lock.unlock();
}

export function* readPriority(irq: VgicIrq): Step<number> {
  yield* irq.lock.lock();
  const { priority } = irq;
  yield* irq.lock.unlock();
  return priority;
}

/** IGROUPR. */
export function* writeGroup(dist: VgicDist, irq: VgicIrq, group: 0 | 1): Step<void> {
  yield* irq.lock.lock();
  irq.group = group;
  if (irq.isVsgi()) yield* pushVsgi(dist, irq);
  yield* queueIrqUnlock(dist, irq);
}

export function* readGroup(irq: VgicIrq): Step<0 | 1> {
  yield* irq.lock.lock();
  const { group } = irq;
  yield* irq.lock.unlock();
  return group;
}

/** ICFGR of an SPI: nothing else changes, not even the kept wire (A7.4). Private interrupts are fixed. */
export function* writeConfig(irq: VgicIrq, config: VgicConfig): Step<void> {
  if (irq.isPrivate()) return;
  yield* irq.lock.lock();
  irq.config = config;
  yield* irq.lock.unlock();
}

export function* readConfig(irq: VgicIrq): Step<VgicConfig> {
  yield* irq.lock.lock();
  const { config } = irq;
  yield* irq.lock.unlock();
  return config;
}

/** IROUTER, low word: the target changes, or there is none; nothing is queued or moved here (A5.2). */
export function* writeRouter(dist: VgicDist, irq: VgicIrq, low: number): Step<void> {
  yield* irq.lock.lock();
  irq.mpidr = low & ROUTER_MASK;
  irq.targetVcpu = dist.cpuByAffinity(irq.mpidr);
  yield* irq.lock.unlock();
}

export function* readRouter(irq: VgicIrq): Step<number> {
  yield* irq.lock.lock();
  const { mpidr } = irq;
  yield* irq.lock.unlock();
  return mpidr;
}

/** GICv2 ITARGETSR of an SPI: the lowest CPU named, CPU 0 where none is (A12). */
export function* writeTargets(dist: VgicDist, irq: VgicIrq, mask: number): Step<void> {
  if (irq.isPrivate()) return;
  const targets = mask & ((1 << dist.cpus.length) - 1);
  yield* irq.lock.lock();
  irq.targets = targets;
  irq.targetVcpu = dist.cpus[targets === 0 ? 0 : 31 - Math.clz32(targets & -targets)];
  yield* irq.lock.unlock();
}

export function* readTargets(irq: VgicIrq): Step<number> {
  yield* irq.lock.lock();
  const { targets } = irq;
  yield* irq.lock.unlock();
  return targets;
}

/** LEVEL_INFO: the wire of a level interrupt; edge reads 0 (A3.7). */
export function* readLineLevel(irq: VgicIrq): Step<boolean> {
  yield* irq.lock.lock();
  const isHigh = irq.config === VgicConfig.LEVEL && irq.lineLevel;
  yield* irq.lock.unlock();
  return isHigh;
}

export function* writeLineLevel(dist: VgicDist, irq: VgicIrq, isHigh: boolean): Step<void> {
  yield* irq.lock.lock();
  irq.lineLevel = isHigh;
  if (isHigh) yield* queueIrqUnlock(dist, irq);
  else yield* irq.lock.unlock();
}
