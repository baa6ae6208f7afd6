import type { VirtualInterface } from "../../arch/gic/contract.js";
import { IchHcr, IchVmcr } from "../../arch/gic/gich.js";
import { writes } from "../../sim/access.js";
import { Cost } from "../../sim/cost.js";
import { Ev } from "../../sim/event.js";
import type { Step } from "../../sim/step.js";
import { consume, LrFlag, lrFlags } from "./lr-driver.js";
import { commitVpe } from "./v4/run.js";
import type { VgicCpu } from "./vgic-cpu.js";
import type { VgicDist } from "./vgic-dist.js";
import type { VgicIrq } from "./vgic-irq.js";
import { targetOracle } from "./vgic-queue.js";

/** Conditions that concern what did not fit. */
const OUTSIDE = IchHcr.UIE | IchHcr.NPIE | IchHcr.LRENPIE;

/** Loads the list registers before guest entry, interrupts off (gic-v3.md A9.3). The vCPU is loaded. */
export function* flushHwstate(dist: VgicDist, cpu: VgicCpu): Step<void> {
  const vif = loadedInterface(cpu);
  const { v4 } = dist;
  if (v4 !== null && v4.hasVpes) yield* commitVpe(v4, v4.cpus[cpu.index]);
  const isEmpty = yield* cpu.apList.isEmpty();
  if (isEmpty) {
    cpu.usedLrs = 0;
    yield* flushNothing(dist, vif);
    return;
  }
  yield* cpu.apList.lock.lock();
  const isLong = cpu.apList.count > dist.nrLr;
  const maySortSources = dist.isLinux61 && dist.model === 2;
  if (isLong || maySortSources) yield* summarize(dist, cpu, vif.vmcr);
  const hasSources = maySortSources && cpu.nrMultiSource > 0;
  if (isLong || hasSources) cpu.apList.sort();
  const loadedSgis = yield* populate(dist, cpu, hasSources);
  const sgis = isLong ? cpu.nrSgis : loadedSgis; // the end of one outside of the list registers has to be counted, too
  const isOutside = isLong && cpu.nrPending + cpu.nrActive > dist.nrLr;
  const hcr = dist.isLinux61 ? control61(cpu) : control(dist, cpu, vif.vmcr, isOutside, sgis);
  yield* cpu.apList.lock.unlock();
  yield* restoreState(cpu, vif, hcr);
}

export function loadedInterface(cpu: VgicCpu): VirtualInterface {
  return cpu.vif ?? refuseUnloaded(cpu);
}

function refuseUnloaded(cpu: VgicCpu): never {
  throw new Error(`vCPU ${cpu.index} enters the guest without being loaded on a physical CPU`);
}

/** Nothing is listed: only a deactivation of somebody else's interrupt may have to trap (A9.10), or a VLPI come (gic-v4.md C2.5). */
function* flushNothing(dist: VgicDist, vif: VirtualInterface): Step<void> {
  if (dist.isLinux61 && dist.v4?.hasVpes !== true) return;
  yield writes(vif, "hcr");
  vif.hcr = IchHcr.EN | dist.driver.controlBits(0);
}

/** Counts what is listed and samples the order; the list's lock is held. */
function* summarize(dist: VgicDist, cpu: VgicCpu, vmcr: number): Step<void> {
  cpu.nrPending = 0;
  cpu.nrActive = 0;
  cpu.nrMultiSource = 0;
  cpu.nrSgis = 0;
  for (let irq = cpu.apList.head; irq !== null; irq = irq.apNext) {
    yield* irq.lock.lock();
    const target = yield* targetOracle(dist, irq);
    if (target === cpu) {
      if (irq.active) cpu.nrActive++;
      else cpu.nrPending++;
      if (irq.isSgi()) cpu.nrSgis++;
    }
    if ((irq.source & (irq.source - 1)) !== 0) cpu.nrMultiSource++;
    irq.sortKey = dist.isLinux61 ? sortKey61(irq) : sortKey(irq, target === cpu, vmcr);
    yield* irq.lock.unlock();
  }
}

/**
 * Candidates for delivery first, by priority, then those linked to a physical interrupt; behind them all whose group
 * is off, and last what another vCPU should hold: those could keep the others out of the list registers for ever, and
 * the group enable conditions bring a new order (vgic_irq_cmp; A9.3 has neither of the two).
 */
function sortKey(irq: VgicIrq, isOurs: boolean, vmcr: number): number {
  const isGroupOn = (vmcr & (irq.group === 1 ? IchVmcr.ENG1 : IchVmcr.ENG0)) !== 0;
  const isCandidate = irq.enabled && !irq.active && irq.isPending();
  const rank = (isOurs ? 0 : 1 << 11) | (isGroupOn ? 0 : 1 << 10) | (isCandidate ? 0 : 1 << 9);
  return rank | (irq.priority << 1) | (irq.hw ? 0 : 1);
}

/** [6.1]: active ones first, then pending ones by priority. */
function sortKey61(irq: VgicIrq): number {
  if (irq.active) return 0;
  return irq.enabled && irq.isPending() ? (1 << 8) | irq.priority : 2 << 8;
}

/**
 * Fills the list registers in the order of the list; the result is the number of SGIs among them. [6.1] with a GICv2
 * SGI of several sources: nothing less urgent goes in before all its sources were seen.
 */
function* populate(dist: VgicDist, cpu: VgicCpu, hasSources: boolean): Step<number> {
  let used = 0;
  let sgis = 0;
  let urgency = 0xff;
  cpu.isCut = false;
  for (let irq = cpu.apList.head; irq !== null; irq = irq.apNext) {
    if (used === dist.nrLr) {
      cpu.isCut = true;
      break;
    }
    yield* irq.lock.lock();
    if (hasSources && irq.priority > urgency) {
      yield* irq.lock.unlock();
      break;
    }
    const target = yield* targetOracle(dist, irq);
    if (target === cpu) {
      load(dist, cpu, irq, used++);
      if (irq.isSgi()) sgis++;
      if (irq.source !== 0) urgency = irq.priority;
    }
    yield* irq.lock.unlock();
  }
  cpu.usedLrs = used;
  return sgis;
}

function load(dist: VgicDist, cpu: VgicCpu, irq: VgicIrq, index: number): void {
  const { driver } = dist;
  const flags = lrFlags(irq, dist.hazards);
  driver.encode(irq, flags);
  cpu.lrLo[index] = driver.lo;
  cpu.lrHi[index] = driver.hi;
  consume(irq, flags);
  dist.sim.charge(Cost.vgicFlush);
  dist.sim.emit(Ev.vgic_lr, cpu.index, index, irq.intid, flags & LrFlag.STATE);
}

/**
 * What the hardware must report back (A9.3 step 6). With a single list register underflow would hold at once, before
 * the guest did anything (host-irq.md 2.4); there the other conditions bring the rest in.
 */
function control(dist: VgicDist, cpu: VgicCpu, vmcr: number, isOutside: boolean, sgis: number): number {
  let hcr = IchHcr.EN | dist.driver.controlBits(sgis);
  hcr |= (vmcr & IchVmcr.ENG0) !== 0 ? IchHcr.VGRP0DIE : IchHcr.VGRP0EIE;
  hcr |= (vmcr & IchVmcr.ENG1) !== 0 ? IchHcr.VGRP1DIE : IchHcr.VGRP1EIE;
  if (dist.hazards.alwaysUnderflow) return hcr | IchHcr.UIE; // K13
  if (!isOutside) return hcr;
  if (dist.nrLr > 1) hcr |= IchHcr.UIE;
  if (cpu.nrPending > dist.nrLr) hcr |= IchHcr.NPIE;
  if (cpu.nrActive > 0) hcr |= IchHcr.LRENPIE;
  return hcr;
}

/** [6.1]: underflow alone, and only when the list goes on behind the last list register. */
function control61(cpu: VgicCpu): number {
  return cpu.isCut ? IchHcr.EN | IchHcr.UIE : IchHcr.EN;
}

function* restoreState(cpu: VgicCpu, vif: VirtualInterface, hcr: number): Step<void> {
  yield writes(vif, "LR");
  for (let i = 0; i < cpu.usedLrs; i++) {
    vif.lrLo[i] = cpu.lrLo[i];
    vif.lrHi[i] = cpu.lrHi[i];
  }
  vif.hcr = hcr;
  // Without these nothing holds yet: what was just loaded is not empty, and the groups are as they were.
  if ((hcr & OUTSIDE) !== 0) yield* vif.update();
}
