import type { VirtualInterface } from "../../arch/gic/contract.js";
import { EOI_COUNT_SHIFT, IchHcr } from "../../arch/gic/gich.js";
import { writes } from "../../sim/access.js";
import { Cost } from "../../sim/cost.js";
import type { Step } from "../../sim/step.js";
import { LrFlag, lrFlags } from "./lr-driver.js";
import { leaveVpe } from "./v4/series2017.js";
import type { VgicCpu } from "./vgic-cpu.js";
import type { VgicDist } from "./vgic-dist.js";
import { loadedInterface } from "./vgic-flush.js";
import { handleResampling } from "./vgic-hw.js";
import { VGIC_MIN_LPI, VGIC_NR_PRIVATE_IRQS, VgicConfig, type VgicIrq } from "./vgic-irq.js";
import { pruneApList } from "./vgic-prune.js";

/** Takes the list registers back after guest exit, interrupts off (gic-v3.md A9.4). */
export function* syncHwstate(dist: VgicDist, cpu: VgicCpu): Step<void> {
  const { v4 } = dist;
  if (dist.is2017 && v4 !== null && v4.hasVpes) yield* leaveVpe(v4, v4.cpus[cpu.index].vpe);
  const isEmpty = yield* cpu.apList.isEmpty();
  if (isEmpty && cpu.usedLrs === 0) return;
  yield* saveState(cpu, loadedInterface(cpu));
  if (!dist.hazards.foldByInterrupt) yield* foldState(dist, cpu); // K14: that interrupt is never taken
  yield* pruneApList(dist, cpu);
}

/** Empties the hardware. The control register goes to 0 before host interrupts are on, so PPI 25 is never taken. */
function* saveState(cpu: VgicCpu, vif: VirtualInterface): Step<void> {
  yield writes(vif, "LR");
  for (let i = 0; i < cpu.usedLrs; i++) {
    cpu.lrLo[i] = vif.lrLo[i];
    cpu.lrHi[i] = vif.lrHi[i];
    vif.lrLo[i] = 0;
    vif.lrHi[i] = 0;
  }
  cpu.hcr = vif.hcr;
  vif.hcr = 0;
  yield* vif.update();
}

function* foldState(dist: VgicDist, cpu: VgicCpu): Step<void> {
  const { driver } = dist;
  const eoiCount = (cpu.hcr & IchHcr.LRENPIE) === 0 || dist.hazards.ignoreEoiCount ? 0 : cpu.hcr >>> EOI_COUNT_SHIFT;
  const ended = eoiCount === 0 ? 0 : yield* collectEnded(cpu, eoiCount);
  for (let i = 0; i < cpu.usedLrs; i++) {
    const lo = cpu.lrLo[i];
    dist.sim.charge(Cost.vgicSync);
    yield* foldLr(dist, cpu, driver.intidOf(lo), driver.flagsOf(lo, cpu.lrHi[i]), driver.sourceOf(lo));
  }
  cpu.usedLrs = 0;
  for (let i = 0; i < ended; i++) yield* endOutsideLr(dist, cpu, cpu.ended[i]);
}

/**
 * EOIcount says how many interrupts without a list register the guest ended: the active ones, in the order of the list
 * (gic-v3.md A9.4 step 2, hazard R51). Asked before the fold, while `onLr` still tells them apart.
 */
function* collectEnded(cpu: VgicCpu, eoiCount: number): Step<number> {
  let ended = 0;
  yield* cpu.apList.lock.lock();
  for (let irq = cpu.apList.head; irq !== null && ended < eoiCount; irq = irq.apNext) {
    yield* irq.lock.lock();
    if (irq.active && !irq.onLr) cpu.ended[ended++] = irq;
    yield* irq.lock.unlock();
  }
  yield* cpu.apList.lock.unlock();
  return ended;
}

/** Deactivates an interrupt that no list register holds, as the hardware would have done with the image it would have. */
export function* endOutsideLr(dist: VgicDist, cpu: VgicCpu, irq: VgicIrq): Step<void> {
  const { driver } = dist;
  yield* irq.lock.lock();
  if (!irq.active || irq.onLr) {
    yield* irq.lock.unlock();
    return;
  }
  const flags = lrFlags(irq, dist.hazards) & ~LrFlag.ACTIVE;
  driver.encode(irq, flags);
  const source = driver.sourceOf(driver.lo);
  const hwintid = (flags & LrFlag.HW) === 0 ? -1 : irq.hwintid;
  yield* irq.lock.unlock();
  if (hwintid >= 0) yield* dist.hostGic.deactivate(cpu.physicalCpu, hwintid);
  yield* foldLr(dist, cpu, irq.intid, flags, source);
}

/**
 * Takes one list register's state into the interrupt. Who waits for the end of a level SPI is told before the state
 * changes (kvm-irq-core.md 5.6): an empty register with an EOI request was pending or active when it was loaded.
 */
export function* foldLr(dist: VgicDist, cpu: VgicCpu, intid: number, flags: number, source: number): Step<void> {
  const irq = intid < VGIC_MIN_LPI ? dist.irq(cpu, intid) : yield* dist.lpis.get(intid);
  const { hazards } = dist;
  if (irq === null) return;
  if ((flags & (LrFlag.STATE | LrFlag.EOI)) === LrFlag.EOI && irq.isSpi()) yield* dist.vm.acks.notifyAcked(0, intid - VGIC_NR_PRIVATE_IRQS);

  yield* irq.lock.lock();
  const isActive = (flags & LrFlag.ACTIVE) !== 0 && (dist.isLinux61 || intid < VGIC_MIN_LPI);
  const isPending = (flags & LrFlag.PENDING) !== 0;
  const wasDeactivated = irq.active && !isActive;
  irq.active = isActive;
  if (dist.model === 2 && irq.isSgi()) {
    if (isPending) irq.source |= 1 << source;
    if (isActive) irq.activeSource = source;
  }
  // What was latched while the list register was full comes on top (R35); a level interrupt has its line (R34).
  if (irq.config === VgicConfig.EDGE) {
    if (isPending || hazards.foldOverLatch) irq.pendingLatch = isPending;
  } else if ((flags & LrFlag.STATE) === 0) irq.pendingLatch = false;
  else if (isPending && hazards.foldLevelPending) irq.pendingLatch = true;
  yield* handleResampling(dist, irq, wasDeactivated, isPending);
  irq.onLr = false;
  if (irq.isLpi()) yield* dist.lpis.unpin(irq);
  yield* irq.lock.unlock();
}
