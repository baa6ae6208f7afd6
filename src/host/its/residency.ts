import { GICR_VLPI, GicrVlpi, VLPI_BASE, VPEND_DIRTY, VPEND_DOORBELL, VPEND_IDAI, VPEND_PENDING_LAST, VPEND_VALID, VPEND_VGRP0EN, VPEND_VGRP1EN } from "../../arch/gic/gicr-vlpi.js";
import { reads, writes } from "../../sim/access.js";
import { current } from "../../sim/context.js";
import { Ev } from "../../sim/event.js";
import type { Step } from "../../sim/step.js";
import { moveIrq } from "../irq/affinity.js";
import type { ItsDriver, RedistRegister } from "./its-driver.js";
import type { ItsVpe } from "./its-vm.js";
import { VPE_ID_BITS } from "./vpe-map.js";

// A vPE on a physical CPU and off it again (gic-v4.md C5.1): SCHEDULE, COMMIT, DESCHEDULE. The CPU is the caller's own.

const VPROPBASER: RedistRegister = { name: "VPROPBASER", offset: VLPI_BASE + GICR_VLPI.table[GicrVlpi.VPROPBASER].offset };
const VPENDBASER: RedistRegister = { name: "VPENDBASER", offset: VLPI_BASE + GICR_VLPI.table[GicrVlpi.VPENDBASER].offset };
/** Inner write-back, inner shareable. */
const RAWAWB = 0x780;
/** Reads of Dirty before hardware is taken to be stuck. */
const POLLS = 1000;

/** VMOVP, where the vPE was on another CPU: 0, or its errno, of which the host has a warning. */
export function* moveHere(driver: ItsDriver, vpe: ItsVpe): Step<number> {
  const { cpu } = current();
  const { irqs } = driver.host;
  yield reads(vpe, "cpu");
  if (vpe.cpu === cpu) return 0;
  const moved = yield* moveIrq(irqs, vpe.irq, cpu);
  if (moved < 0) irqs.warn(vpe.irq, `vgic_v4_load: vPE ${vpe.id} cannot be moved to CPU ${cpu} (${moved})`);
  return moved;
}

/** The vPE becomes resident on this CPU; 4.1: with the guest's group enables. */
export function* schedule(driver: ItsDriver, vpe: ItsVpe, isGroup0: boolean, isGroup1: boolean): Step<void> {
  const { cpu } = current();
  if (driver.is41) {
    const groups = (isGroup0 ? VPEND_VGRP0EN : 0) | (isGroup1 ? VPEND_VGRP1EN : 0);
    yield* driver.store(cpu, VPENDBASER, vpe.id, VPEND_VALID | groups);
  } else {
    yield* driver.store(cpu, VPROPBASER, (vpe.vm?.vprop ?? 0) | RAWAWB | (VPE_ID_BITS - 1), 0);
    yield* driver.store(cpu, VPENDBASER, vpe.vpt | RAWAWB, VPEND_VALID | VPEND_PENDING_LAST | (vpe.idai ? VPEND_IDAI : 0));
  }
  vpe.isResident = true;
  driver.sim.emit(Ev.vpe_resident, cpu, vpe.id);
}

/** Waits until the redistributor has found the vPE's candidates; once per residency. */
export function* commit(driver: ItsDriver, vpe: ItsVpe): Step<void> {
  yield* settle(driver, current().cpu);
  vpe.isReady = true;
}

/**
 * The vPE leaves this CPU. 4.1: `isDoorbellOn` arms the default doorbell in the same write (hazard R8) and asks what is
 * pending; without, nobody asks: a vCPU that may run finds out.
 */
export function* deschedule(driver: ItsDriver, vpe: ItsVpe, isDoorbellOn: boolean): Step<void> {
  const { is41 } = driver;
  const { pendingLastUnlocked } = driver.sim.hazards;
  const asks = !is41 || isDoorbellOn;
  // vpe_lock: a doorbell on another CPU that comes after the read must not be overwritten by what was read (hazard R9).
  const isLocked = asks && !pendingLastUnlocked;
  if (isLocked) yield* vpe.lock.lock();
  const isPending = yield* clearValid(driver, vpe, !is41 ? 0 : isDoorbellOn ? VPEND_DOORBELL : VPEND_PENDING_LAST);
  const pendingLast = isPending || !asks;
  yield writes(vpe, "pendingLast");
  vpe.pendingLast = pendingLast;
  if (isLocked) yield* vpe.lock.unlock();
  vpe.isResident = false;
  vpe.isReady = false;
  driver.sim.emit(Ev.vpe_away, current().cpu, vpe.id, pendingLast ? 1 : 0);
}

/** VPENDBASER with Valid 0 and `high`: PendingLast, which is true where the redistributor never settles (hazard R15). */
function* clearValid(driver: ItsDriver, vpe: ItsVpe, high: number): Step<boolean> {
  const { gic, is41, sim } = driver;
  const { cpu } = current();
  const { armAfterDeschedule, descheduleWhileDirty, readWhileDirty, trustStuckFrame } = sim.hazards;
  const low = is41 ? vpe.id : vpe.vpt | RAWAWB;
  // While it is Dirty the register is the redistributor's alone (Linux af27e41612ec).
  const before = descheduleWhileDirty ? 0 : yield* settle(driver, cpu);
  const kept = is41 ? before & (VPEND_VGRP0EN | VPEND_VGRP1EN) : 0; // Valid goes, the doorbell is for the guest's groups
  yield* driver.store(cpu, VPENDBASER, low, kept | (armAfterDeschedule ? high & ~VPEND_DOORBELL : high));
  const found = readWhileDirty ? yield* gic.readGicr(cpu, VPENDBASER.offset + 4, 4) : yield* settle(driver, cpu);
  if (armAfterDeschedule) yield* driver.store(cpu, VPENDBASER, low, kept | high);
  vpe.idai = (found & VPEND_IDAI) !== 0;
  if ((found & VPEND_DIRTY) === 0 || readWhileDirty) return (found & VPEND_PENDING_LAST) !== 0;
  driver.host.irqs.warn(vpe.irq, `ITS virtual pending table not cleaning (vPE ${vpe.id})`);
  return !trustStuckFrame || (found & VPEND_PENDING_LAST) !== 0;
}

/** The high half of GICR_VPENDBASER once Dirty is 0, or after as many reads as a second has room for. */
function* settle(driver: ItsDriver, cpu: number): Step<number> {
  let high = yield* driver.gic.readGicr(cpu, VPENDBASER.offset + 4, 4);
  for (let i = 0; (high & VPEND_DIRTY) !== 0 && i < POLLS; i++) high = yield* driver.gic.readGicr(cpu, VPENDBASER.offset + 4, 4);
  return high;
}
