import { invalidateAll } from "../../../host/its/vpe-map.js";
import { VlpiCommand } from "../../../host/its/vlpis.js";
import { reads } from "../../../sim/access.js";
import type { Step } from "../../../sim/step.js";
import { unmapVlpi } from "./unmap.js";
import type { VgicCpu } from "../vgic-cpu.js";
import type { VgicDist } from "../vgic-dist.js";
import type { VgicIrq } from "../vgic-irq.js";

// What the guest does with an LPI that is a VLPI (gic-v4.md C4): the hardware is told.

const INVALLR = { name: "INVALLR", offset: 0xb0 };
const VALID = 0x80000000 | 0;

/** INT and CLEAR, MSIs of software: the pending state is the hardware's. irq_lock is held. */
export function* pendVlpi(dist: VgicDist, irq: VgicIrq, isPending: boolean): Step<void> {
  if (dist.v4 !== null) yield* dist.v4.driver.host.setIrqchipState(irq.hwintid, "pending", isPending);
}

/** INV, and with `invalidates` false a part of INVALL: 0 or the driver's errno. */
export function* updateVlpi(dist: VgicDist, irq: VgicIrq, byte: number, invalidates: boolean): Step<number> {
  if (dist.v4 === null) return 0;
  return yield* dist.v4.driver.host.setIrqVcpuAffinity(irq.hwintid, new VlpiCommand("prop", null, byte, invalidates));
}

/** MOVI, MOVALL, MAPC to another vCPU: VMOVI, so that what is pending moves along (hazard R48). `from` is the old target. */
export function* moveVlpi(dist: VgicDist, irq: VgicIrq, from: VgicCpu | null, to: VgicCpu | null): Step<number> {
  const { v4 } = dist;
  const vpe = v4?.vpeOf(to) ?? null;
  if (v4 === null || vpe === null) return 0;
  const { host } = v4.driver;
  const query = new VlpiCommand("get");
  const found = yield* host.setIrqVcpuAffinity(irq.hwintid, query);
  if (found < 0 || query.map === null) return found;
  const old = v4.vpeOf(from);
  if (old !== null) yield* old.count(-1);
  yield* vpe.count(1);
  return yield* host.setIrqVcpuAffinity(irq.hwintid, new VlpiCommand("map", { ...query.map, vpe }));
}

/** The end of INVALL: one invalidation for the whole vPE (hazard R49). 4.0: on one ITS; 4.1: at the vPE's redistributor. */
export function* invalidateVpe(dist: VgicDist, cpu: VgicCpu): Step<void> {
  const { v4 } = dist;
  const vpe = v4?.vpeOf(cpu) ?? null;
  if (v4 === null || vpe === null) return;
  const { driver } = v4;
  if (driver.is41 && driver.isDirect) {
    yield reads(vpe, "cpu");
    yield* driver.store(vpe.cpu, INVALLR, 0, VALID + vpe.id);
    return;
  }
  yield* invalidateAll(driver, vpe);
}

/** An event's mapping of an LPI ends: a VLPI is the host's again before anybody can map the INTID anew (hazards R5, R6). */
export function* releaseLpi(dist: VgicDist, intid: number): Step<void> {
  const { v4 } = dist;
  const isDirect = v4 !== null && !dist.hazards.releaseWithoutUnmap && (yield* v4.isDirect(intid));
  if (v4 !== null && isDirect) {
    const irq = yield* dist.lpis.get(intid);
    if (irq !== null) {
      yield* unmapVlpi(v4, irq);
      yield* dist.lpis.put(irq);
    }
  }
  yield* dist.lpis.release(intid);
}
