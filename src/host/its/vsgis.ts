import { encodeVsgi } from "../../arch/gic/its-encode.js";
import { GITS_SGIR } from "../../arch/gic/gits.js";
import { VLPI_BASE } from "../../arch/gic/gicr-vlpi.js";
import { reads } from "../../sim/access.js";
import type { Step } from "../../sim/step.js";
import type { ItsDriver } from "./its-driver.js";
import type { ItsNode } from "./its-node.js";
import type { ItsVpe } from "./its-vm.js";

// SGIs of a vPE in hardware (GICv4.1, gic-v4.md C7): any ITS that the vPE is mapped on will do.

const VSGIR = VLPI_BASE + 0x80;
const VSGIPENDR = VLPI_BASE + 0x88;
const BUSY = 0x80000000 | 0;

const nodeOf = (driver: ItsDriver): ItsNode | null => driver.nodes.find((each) => each.isV4) ?? null;

/** `vpe.sgiConfig` to the hardware. */
export function* configureVsgi(driver: ItsDriver, vpe: ItsVpe, sgi: number): Step<void> {
  yield* send(driver, vpe, sgi, false);
}

/** Takes the pending state back; a command that does configures nothing, so that each has its own. */
export function* clearVsgi(driver: ItsDriver, vpe: ItsVpe, sgi: number): Step<void> {
  yield* send(driver, vpe, sgi, true);
}

function* send(driver: ItsDriver, vpe: ItsVpe, sgi: number, isClear: boolean): Step<void> {
  const node = nodeOf(driver);
  if (node === null) return;
  yield* node.lock.lock();
  encodeVsgi(node.words, vpe.id, sgi, vpe.sgiConfig[sgi], isClear);
  yield* node.sendAndVsync(vpe.id);
  yield* node.lock.unlock();
}

/** GITS_SGIR. */
export function* raiseVsgi(driver: ItsDriver, vpe: ItsVpe, sgi: number): Step<void> {
  const node = nodeOf(driver);
  if (node === null) return;
  driver.traceWrite(-1, "GITS_SGIR", sgi, vpe.id);
  yield* node.its.write(GITS_SGIR, 8, sgi, vpe.id);
}

/** GICR_VSGIR asks the vPE's redistributor, GICR_VSGIPENDR answers; vpe_lock keeps a move away meanwhile. */
export function* isVsgiPending(driver: ItsDriver, vpe: ItsVpe, sgi: number): Step<boolean> {
  yield* vpe.lock.lock();
  yield reads(vpe, "cpu");
  const { cpu } = vpe;
  driver.traceWrite(cpu, "VSGIR", vpe.id, 0);
  yield* driver.gic.writeGicr(cpu, VSGIR, 4, vpe.id);
  let pending = yield* driver.gic.readGicr(cpu, VSGIPENDR, 4);
  while ((pending & BUSY) !== 0) pending = yield* driver.gic.readGicr(cpu, VSGIPENDR, 4);
  yield* vpe.lock.unlock();
  return (pending & (1 << sgi)) !== 0;
}
