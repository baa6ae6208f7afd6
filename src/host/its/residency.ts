import { GICR_VLPI, GicrVlpi, VLPI_BASE, VPEND_DIRTY, VPEND_DOORBELL, VPEND_IDAI, VPEND_PENDING_LAST, VPEND_VALID, VPEND_VGRP0EN, VPEND_VGRP1EN } from "../../arch/gic/gicr-vlpi.js";
import { writes } from "../../sim/access.js";
import { current } from "../../sim/context.js";
import { Ev } from "../../sim/event.js";
import type { Step } from "../../sim/step.js";
import type { ItsDriver } from "./its-driver.js";
import type { ItsVpe } from "./its-vm.js";
import { VPE_ID_BITS } from "./vpe-map.js";

// A vPE on a physical CPU and off it again (gic-v4.md C5.1): SCHEDULE, COMMIT, DESCHEDULE. The CPU is the caller's own.

const VPROPBASER = VLPI_BASE + GICR_VLPI.table[GicrVlpi.VPROPBASER].offset;
const VPENDBASER = VLPI_BASE + GICR_VLPI.table[GicrVlpi.VPENDBASER].offset;
/** Inner write-back, inner shareable. */
const RAWAWB = 0x780;
/** Reads of Dirty before hardware is taken to be stuck. */
const POLLS = 1000;

/** The vPE becomes resident on this CPU; 4.1: with the guest's group enables. */
export function* schedule(driver: ItsDriver, vpe: ItsVpe, isGroup0: boolean, isGroup1: boolean): Step<void> {
  const { gic } = driver;
  const { cpu } = current();
  if (driver.is41) {
    const groups = (isGroup0 ? VPEND_VGRP0EN : 0) | (isGroup1 ? VPEND_VGRP1EN : 0);
    yield* gic.writeGicr(cpu, VPENDBASER, 8, vpe.id, VPEND_VALID | groups);
  } else {
    yield* gic.writeGicr(cpu, VPROPBASER, 8, (vpe.vm?.vprop ?? 0) | RAWAWB | (VPE_ID_BITS - 1), 0);
    yield* gic.writeGicr(cpu, VPENDBASER, 8, vpe.vpt | RAWAWB, VPEND_VALID | VPEND_PENDING_LAST | (vpe.idai ? VPEND_IDAI : 0));
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
 * The vPE leaves this CPU. 4.1: `isDoorbellOn` arms the default doorbell in the same write (hazard R8) and waits for what
 * is pending; without, there is nothing to wait for, and whoever runs it next will see.
 */
export function* deschedule(driver: ItsDriver, vpe: ItsVpe, isDoorbellOn: boolean): Step<void> {
  const { gic } = driver;
  const { cpu } = current();
  let pendingLast = true;
  if (driver.is41 && !isDoorbellOn) {
    yield* gic.writeGicr(cpu, VPENDBASER, 8, vpe.id, VPEND_PENDING_LAST);
    yield writes(vpe, "pendingLast");
    vpe.pendingLast = true;
  } else {
    // vpe_lock: a doorbell on another CPU that comes after the read must not be overwritten by what was read (hazard R9).
    yield* vpe.lock.lock();
    if (!driver.is41) yield* settle(driver, cpu);
    yield* gic.writeGicr(cpu, VPENDBASER, 8, driver.is41 ? vpe.id : vpe.vpt | RAWAWB, driver.is41 ? VPEND_DOORBELL : 0);
    const high = yield* settle(driver, cpu);
    const isStuck = (high & VPEND_DIRTY) !== 0;
    if (isStuck) driver.host.irqs.warn(vpe.irq, `ITS virtual pending table not cleaning (vPE ${vpe.id})`);
    vpe.idai = (high & VPEND_IDAI) !== 0;
    pendingLast = isStuck || (high & VPEND_PENDING_LAST) !== 0; // hazard R15
    yield writes(vpe, "pendingLast");
    vpe.pendingLast = pendingLast;
    yield* vpe.lock.unlock();
  }
  vpe.isResident = false;
  vpe.isReady = false;
  driver.sim.emit(Ev.vpe_away, cpu, vpe.id, pendingLast ? 1 : 0);
}

/** The high half of GICR_VPENDBASER once Dirty is 0, or after as many reads as a second has room for. */
function* settle(driver: ItsDriver, cpu: number): Step<number> {
  let high = yield* driver.gic.readGicr(cpu, VPENDBASER + 4, 4);
  for (let i = 0; (high & VPEND_DIRTY) !== 0 && i < POLLS; i++) high = yield* driver.gic.readGicr(cpu, VPENDBASER + 4, 4);
  return high;
}
