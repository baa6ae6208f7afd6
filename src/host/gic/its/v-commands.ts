import {
  deviceIdOf,
  doorbellOf,
  eventIdOf,
  hasDoorbell,
  isAlloc,
  isPendingZero,
  isValid,
  ItsVOp,
  NO_DOORBELL,
  opcodeOf,
  rdbaseOf,
  vconfAddressOf,
  virtualIdOf,
  vpeidOf,
  vptAddressOf,
  vptSizeOf,
} from "../../../arch/gic/its-command.js";
import { VpeRecord } from "./entries.js";
import { changePendingBit, sgiConfigAddress } from "./lpi-set.js";
import { isLpi, Outcome, type Translation } from "./translation.js";

/** Bytes of a pending table that are not LPIs'. */
const TABLE_HEAD = 1024;

/** Executes one GICv4 command (gic-v4.md C1.3), VMOVP apart: that one is all ITSs' matter. Others are skipped. */
export function executeVirtual(its: Translation, dw: Int32Array): Outcome {
  switch (opcodeOf(dw)) {
    case ItsVOp.VMAPP:
      return vmapp(its, dw);
    case ItsVOp.VMAPTI:
      return vmapti(its, dw, virtualIdOf(dw));
    case ItsVOp.VMAPI:
      return vmapti(its, dw, eventIdOf(dw));
    case ItsVOp.VMOVI:
      return vmovi(its, dw);
    case ItsVOp.VINVALL:
      return vinvall(its, dw);
    case ItsVOp.VSYNC:
      return Outcome.DONE;
    case ItsVOp.VSGI:
      return its.gic.is41 ? vsgi(its, dw) : Outcome.SKIPPED;
    case ItsVOp.INVDB:
      return its.gic.is41 ? invdb(its, dw) : Outcome.SKIPPED;
    default:
      return Outcome.SKIPPED;
  }
}

const isDoorbell = (intid: number): boolean => intid === NO_DOORBELL || isLpi(intid);

function vmapp(its: Translation, dw: Int32Array): Outcome {
  const { gic, ram, vpe } = its;
  const vpeid = vpeidOf(dw);
  const cpu = its.redistributor(rdbaseOf(dw), true);
  if (vpeid >= its.vpes.entries || vptSizeOf(dw) >= its.eventBits || (isValid(dw) && cpu < 0)) return Outcome.SKIPPED;
  const at = its.vpes.find(vpeid);
  if (at < 0) return at === -2 ? Outcome.STALLED : Outcome.DONE;
  const wasMapped = vpe.load(ram, at, gic.is41);
  if (!isValid(dw)) {
    its.isUnpredictable = wasMapped && isBusyWith(its, vpeid);
    VpeRecord.clear(ram, at);
    if (isAlloc(dw)) gic.caches?.close(vpeid);
    return Outcome.DONE;
  }
  // ITSs of 4.1 share their vPE table: only the first mapping of all has Alloc.
  its.isUnpredictable = wasMapped && (!gic.is41 || isAlloc(dw));
  vpe.redistributor = cpu;
  vpe.vpt = gic.caches?.open(vpeid, vptAddressOf(dw), 2 ** (vptSizeOf(dw) - 2)) ?? vptAddressOf(dw);
  vpe.idBits = vptSizeOf(dw) + 1;
  if (gic.is41) {
    vpe.configuration = vconfAddressOf(dw);
    vpe.doorbell = dw[2] >>> 0;
    if (isAlloc(dw)) VpeRecord.ask(ram, at, 0);
    if (isAlloc(dw) && isPendingZero(dw) && ram.has(vpe.vpt, TABLE_HEAD)) ram.fill(vpe.vpt, TABLE_HEAD, 0);
  }
  vpe.store(ram, at, gic.is41);
  return Outcome.DONE;
}

/** Is the vPE that is loaded resident where the redistributor still reads or writes its table? */
function isBusyWith({ gic, vpe }: Translation, vpeid: number): boolean {
  const frame = vpe.redistributor < gic.cpus ? gic.vlpis(vpe.redistributor) : null;
  return frame !== null && frame.isBusy && frame.hosts(vpeid, vpe.vpt);
}

/** The vPE need not be mapped yet: events are dropped until it is. */
function vmapti(its: Translation, dw: Int32Array, intid: number): Outcome {
  const { interrupt } = its;
  if (vpeidOf(dw) >= its.vpes.entries) return Outcome.SKIPPED;
  let outcome = its.findDevice(deviceIdOf(dw));
  if (outcome !== Outcome.DONE) return outcome;
  if (!isLpi(intid) || !isDoorbell(doorbellOf(dw))) return Outcome.SKIPPED;
  outcome = its.findSlot(eventIdOf(dw));
  if (outcome !== Outcome.DONE) return outcome;
  interrupt.intid = intid;
  interrupt.isVirtual = true;
  interrupt.target = vpeidOf(dw);
  interrupt.doorbell = doorbellOf(dw);
  interrupt.store(its.ram, its.interruptAt);
  its.isUnpredictable = its.findVpe(interrupt.target) !== Outcome.DONE;
  return Outcome.DONE;
}

/** The pending bit moves along, and rings at the new vPE if that is not resident. */
function vmovi(its: Translation, dw: Int32Array): Outcome {
  const { gic, interrupt, ram, vpe } = its;
  const to = vpeidOf(dw);
  let outcome = its.findInterrupt(deviceIdOf(dw), eventIdOf(dw));
  if (outcome !== Outcome.DONE) return outcome;
  if (!interrupt.isVirtual || (hasDoorbell(dw) && !isDoorbell(doorbellOf(dw)))) return Outcome.SKIPPED;
  outcome = its.findVpe(interrupt.target);
  if (outcome !== Outcome.DONE) return outcome;
  if (!its.fitsVpe(interrupt.intid)) return Outcome.SKIPPED;
  const from = interrupt.target;
  const oldVpt = vpe.vpt;
  const oldFrame = gic.vlpis(vpe.redistributor);
  outcome = its.findVpe(to);
  if (outcome !== Outcome.DONE) return outcome;
  if (!its.fitsVpe(interrupt.intid)) return Outcome.SKIPPED;
  interrupt.target = to;
  if (hasDoorbell(dw)) interrupt.doorbell = doorbellOf(dw);
  if (oldVpt !== vpe.vpt) {
    const wasPending = oldFrame.hosts(from, oldVpt) ? oldFrame.change(interrupt.intid, false) : changePendingBit(ram, oldVpt, interrupt.intid, false);
    if (wasPending) its.signalVpe(to, vpe, interrupt.intid, true, interrupt.doorbell);
  }
  interrupt.store(ram, its.interruptAt);
  return Outcome.DONE;
}

/** VMOVP's part on one ITS: a vPE that is not mapped here is left alone. */
export function moveVpe(its: Translation, vpeid: number, cpu: number, dw: Int32Array): Outcome {
  const outcome = its.findVpe(vpeid);
  if (outcome !== Outcome.DONE) return outcome;
  its.isUnpredictable = isBusyWith(its, vpeid);
  its.vpe.redistributor = cpu;
  if (its.gic.is41 && dw[5] < 0) its.vpe.doorbell = dw[6] >>> 0;
  its.vpe.store(its.ram, its.vpeAt, its.gic.is41);
  return Outcome.DONE;
}

function vinvall(its: Translation, dw: Int32Array): Outcome {
  const outcome = its.findVpe(vpeidOf(dw));
  if (outcome !== Outcome.DONE) return outcome;
  const frame = its.gic.vlpis(its.vpe.redistributor);
  if (frame.hosts(vpeidOf(dw), its.vpe.vpt)) frame.invalidate();
  return Outcome.DONE;
}

/** The default doorbell's own configuration. */
function invdb(its: Translation, dw: Int32Array): Outcome {
  const outcome = its.findVpe(vpeidOf(dw));
  if (outcome === Outcome.DONE) its.gic.lpis(its.vpe.redistributor).invalidate();
  return outcome;
}

/** Configures an SGI of a vPE, or takes its pending state back: a command with Clear configures nothing. */
function vsgi(its: Translation, dw: Int32Array): Outcome {
  const outcome = its.findVpe(vpeidOf(dw));
  if (outcome !== Outcome.DONE) return outcome;
  const { gic, ram, vpe } = its;
  const sgi = dw[1] & 0xf;
  const frame = gic.vlpis(vpe.redistributor);
  const isResident = frame.hosts(vpeidOf(dw), vpe.vpt);
  if ((dw[0] & (1 << 9)) !== 0) {
    if (isResident) frame.change(sgi, false);
    else changePendingBit(ram, vpe.vpt, sgi, false);
    return Outcome.DONE;
  }
  const isEnabled = (dw[0] >>> 8) & 1;
  const group = (dw[0] >>> 10) & 1;
  ram.setU8(sgiConfigAddress(vpe.vpt, sgi), (((dw[0] >>> 20) & 0xf) << 4) | (group << 1) | isEnabled);
  if (isResident) frame.invalidate();
  return Outcome.DONE;
}
