import {
  deviceIdOf,
  eventIdOf,
  icidOf,
  isValid,
  ItsOp,
  ittOf,
  NO_DOORBELL,
  opcodeOf,
  physicalIdOf,
  rdbase2Of,
  rdbaseOf,
  sizeFieldOf,
} from "../../../arch/gic/its-command.js";
import { DeviceEntry, InterruptEntry, storeCollection } from "./entries.js";
import { isLpi, Outcome, type Translation } from "./translation.js";

/** Executes one command of a physical ITS (gic-its.md B11); a GICv4 one is not among them and is skipped. */
export function executePhysical(its: Translation, dw: Int32Array): Outcome {
  switch (opcodeOf(dw)) {
    case ItsOp.MAPD:
      return mapd(its, dw);
    case ItsOp.MAPC:
      return mapc(its, dw);
    case ItsOp.MAPTI:
      return mapti(its, dw, physicalIdOf(dw));
    case ItsOp.MAPI:
      return mapti(its, dw, eventIdOf(dw));
    case ItsOp.MOVI:
      return movi(its, dw);
    case ItsOp.MOVALL:
      return movall(its, dw);
    case ItsOp.INT:
      return its.signal(deviceIdOf(dw), eventIdOf(dw), true);
    case ItsOp.CLEAR:
      return its.signal(deviceIdOf(dw), eventIdOf(dw), false);
    case ItsOp.DISCARD:
      return discard(its, dw);
    case ItsOp.INV:
      return inv(its, dw);
    case ItsOp.INVALL:
      for (let cpu = 0; cpu < its.gic.cpus; cpu++) its.gic.lpis(cpu).invalidate();
      return Outcome.DONE;
    case ItsOp.SYNC:
      return Outcome.DONE;
    default:
      return Outcome.SKIPPED;
  }
}

function mapd(its: Translation, dw: Int32Array): Outcome {
  const id = deviceIdOf(dw);
  if (id >= its.devices.entries || sizeFieldOf(dw) >= its.eventBits) return Outcome.SKIPPED;
  const at = its.devices.find(id);
  if (at >= 0) DeviceEntry.store(its.ram, at, isValid(dw), sizeFieldOf(dw), ittOf(dw));
  return stored(at);
}

/** A store to a second-level page that is not there is lost; to what is no memory it stalls. */
const stored = (at: number): Outcome => (at === -2 ? Outcome.STALLED : Outcome.DONE);

function mapc(its: Translation, dw: Int32Array): Outcome {
  const icid = icidOf(dw);
  const cpu = its.redistributor(rdbaseOf(dw));
  if (icid >= its.collections.entries || (isValid(dw) && cpu < 0)) return Outcome.SKIPPED;
  const at = its.collections.find(icid);
  if (at >= 0) storeCollection(its.ram, at, isValid(dw) ? cpu : -1);
  return stored(at);
}

/** An event that is mapped already is mapped anew. */
function mapti(its: Translation, dw: Int32Array, intid: number): Outcome {
  const { interrupt } = its;
  let outcome = its.findDevice(deviceIdOf(dw));
  if (outcome !== Outcome.DONE) return outcome;
  if (icidOf(dw) >= its.collections.entries || !isLpi(intid)) return Outcome.SKIPPED;
  outcome = its.findSlot(eventIdOf(dw));
  if (outcome !== Outcome.DONE) return outcome;
  interrupt.intid = intid;
  interrupt.isVirtual = false;
  interrupt.target = icidOf(dw);
  interrupt.doorbell = NO_DOORBELL;
  interrupt.store(its.ram, its.interruptAt);
  return Outcome.DONE;
}

/** What is pending moves along. */
function movi(its: Translation, dw: Int32Array): Outcome {
  const { interrupt, gic } = its;
  const outcome = its.findInterrupt(deviceIdOf(dw), eventIdOf(dw));
  if (outcome !== Outcome.DONE) return outcome;
  if (interrupt.isVirtual) return Outcome.SKIPPED;
  const from = its.collectionTarget(interrupt.target);
  const to = its.collectionTarget(icidOf(dw));
  if (from < 0 || to < 0) return from === -2 || to === -2 ? Outcome.STALLED : Outcome.SKIPPED;
  if (from !== to) gic.lpis(from).move(interrupt.intid, gic.lpis(to));
  interrupt.target = icidOf(dw);
  interrupt.store(its.ram, its.interruptAt);
  return Outcome.DONE;
}

function movall(its: Translation, dw: Int32Array): Outcome {
  const from = its.redistributor(rdbaseOf(dw));
  const to = its.redistributor(rdbase2Of(dw));
  if (from < 0 || to < 0) return Outcome.SKIPPED;
  if (from !== to) its.gic.lpis(from).moveAll(its.gic.lpis(to));
  return Outcome.DONE;
}

/** Pending state and mapping, both or neither. */
function discard(its: Translation, dw: Int32Array): Outcome {
  const outcome = its.signal(deviceIdOf(dw), eventIdOf(dw), false);
  if (outcome === Outcome.DONE) InterruptEntry.clear(its.ram, its.interruptAt);
  return outcome;
}

function inv(its: Translation, dw: Int32Array): Outcome {
  const { interrupt, gic, vpe } = its;
  let outcome = its.findInterrupt(deviceIdOf(dw), eventIdOf(dw));
  if (outcome !== Outcome.DONE) return outcome;
  if (!interrupt.isVirtual) {
    const cpu = its.collectionTarget(interrupt.target);
    if (cpu < 0) return cpu === -2 ? Outcome.STALLED : Outcome.SKIPPED;
    gic.lpis(cpu).invalidate();
    return Outcome.DONE;
  }
  outcome = its.isVirtual ? its.findVpe(interrupt.target) : Outcome.SKIPPED;
  if (outcome !== Outcome.DONE) return outcome;
  if (!its.fitsVpe(interrupt.intid)) return Outcome.SKIPPED;
  const frame = gic.vlpis(vpe.redistributor);
  if (frame.hosts(interrupt.target, vpe.vpt)) frame.invalidate();
  return Outcome.DONE;
}
