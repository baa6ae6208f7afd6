import {
  BASER_INDIRECT_HIGH,
  BASER_VALID_HIGH,
  cbaserBytes,
  GITS,
  GITS_CTLR_ENABLED,
  GITS_CTLR_QUIESCENT,
  Gits,
} from "../../../arch/gic/gits.js";
import { W64 } from "../../../arch/gic/register-table.js";
import { reads, writes } from "../../../sim/access.js";
import type { Step } from "../../../sim/step.js";
import { EBUSY, EINVAL } from "../../../uapi/errno.js";
import type { Its, ItsTable } from "./its.js";
import { processCommands } from "./commands.js";
import { freeCollections, freeDevices } from "./mappings.js";
import { IIDR_REVISION_MASK, KVM_IIDR } from "../vgic-frame.js";

// The registers of an ITS (gic-its.md B2), whoever accesses them.

/** 16 bits of device id and of event id, entries of 8 bytes, physical LPIs. */
const TYPER_LOW = 0x1ef71;
const QUEUE_OFFSET = 0xfffe0;
const PAGE_SIZE_64K = 2 << 8;
/** Identification registers from 0xffd0 on. */
const ID = [0x40, 0, 0, 0, 0x92, 0xb4, 0x3b, 0, 0x0d, 0xf0, 0x05, 0xb1];
/** Type [58:56] and EntrySize [52:48]. */
const BASER_FIXED_HIGH = 0x071f0000;
const PAGE_SIZE_MASK = 3 << 8;
/** The queue is on 64 KiB. */
const CBASER_UNALIGNED = 0xf000;

/** The low half; the high one of a 64-bit access in `its.high`. Nothing there: RAZ. */
export function* readGits(its: Its, offset: number, size: number): Step<number> {
  const row: Gits = GITS.find(offset, size);
  const isUpper = (offset & 4) !== 0;
  its.high = 0;
  switch (row) {
    case Gits.CTLR:
      return yield* readCtlr(its);
    case Gits.IIDR:
      return KVM_IIDR;
    case Gits.TYPER:
      return isUpper ? 0 : TYPER_LOW;
    case Gits.CBASER:
      return half(its, isUpper, size, its.cbaserLow, its.cbaserHigh);
    case Gits.CWRITER:
      return isUpper ? 0 : its.cwriter;
    case Gits.CREADR:
      return isUpper ? 0 : its.creadr;
    case Gits.BASER: {
      const table = tableAt(its, offset);
      return table === null ? 0 : half(its, isUpper, size, table.low, table.high);
    }
    case Gits.ID:
      return ID[(offset - 0xffd0) >> 2];
    default:
      return 0;
  }
}

/** Under cmd_lock: nobody sees a queue half done. */
function* readCtlr(its: Its): Step<number> {
  yield* its.cmdLock.lock();
  yield reads(its, "enabled");
  const value = (its.enabled ? GITS_CTLR_ENABLED : 0) | (its.creadr === its.cwriter ? GITS_CTLR_QUIESCENT : 0);
  yield* its.cmdLock.unlock();
  return value;
}

function half(its: Its, isUpper: boolean, size: number, low: number, high: number): number {
  if (size === W64) its.high = high;
  return isUpper ? high : low;
}

function tableAt(its: Its, offset: number): ItsTable | null {
  const index = (offset - 0x100) >> 3;
  return index === 0 ? its.deviceTable : index === 1 ? its.collectionTable : null;
}

/** 0, and to user space -EINVAL or -EBUSY. */
export function* writeGits(its: Its, offset: number, size: number, low: number, high: number, isUser: boolean): Step<number> {
  const row: Gits = GITS.find(offset, size);
  const isUpper = (offset & 4) !== 0;
  switch (row) {
    case Gits.CTLR:
      yield* writeCtlr(its, (low & GITS_CTLR_ENABLED) !== 0);
      return 0;
    case Gits.IIDR:
      return isUser && (low & IIDR_REVISION_MASK) !== 0 ? -EINVAL : 0;
    case Gits.CBASER:
      yield* writeCbaser(its, isUpper ? its.cbaserLow : low, isUpper ? low : size === W64 ? high : its.cbaserHigh);
      return 0;
    case Gits.CWRITER:
      yield* writeCwriter(its, isUpper ? its.cwriter : low);
      return 0;
    case Gits.CREADR:
      return isUser ? yield* restoreCreadr(its, low) : 0;
    case Gits.BASER: {
      const table = tableAt(its, offset);
      if (table !== null) yield* writeBaser(its, table, isUpper ? table.low : low, isUpper ? low : size === W64 ? high : table.high);
      return 0;
    }
    default:
      return 0;
  }
}

/** Enabled without its three tables: the whole write is ignored (B2.1). */
function* writeCtlr(its: Its, isOn: boolean): Step<void> {
  yield* its.cmdLock.lock();
  const hasTables = its.deviceTable.isValid && its.collectionTable.isValid && (its.cbaserHigh & BASER_VALID_HIGH) !== 0;
  yield writes(its, "enabled");
  if (hasTables || its.enabled || !isOn) {
    its.enabled = isOn;
    if (!isOn) yield* its.cache.invalidate();
    yield* processCommands(its);
  }
  yield* its.cmdLock.unlock();
}

function* writeCbaser(its: Its, low: number, high: number): Step<void> {
  yield reads(its, "enabled");
  if (its.enabled) return;
  yield* its.cmdLock.lock();
  its.cbaserLow = sanitiseLow(low) & ~CBASER_UNALIGNED;
  its.cbaserHigh = sanitiseHigh(high);
  its.creadr = 0;
  // As the kernel does; a restore writes CWRITER afterwards (B10).
  its.cwriter = 0;
  yield* its.cmdLock.unlock();
}

function* writeCwriter(its: Its, low: number): Step<void> {
  yield* its.cmdLock.lock();
  const offset = low & QUEUE_OFFSET;
  if (offset < cbaserBytes(its.cbaserLow)) {
    yield writes(its, "CWRITER");
    its.cwriter = offset;
    if (its.dist.hazards.queueUnlocked) {
      yield* its.cmdLock.unlock();
      yield* processCommands(its);
      return;
    }
    yield* processCommands(its);
  }
  yield* its.cmdLock.unlock();
}

function* restoreCreadr(its: Its, low: number): Step<number> {
  yield* its.cmdLock.lock();
  const offset = low & QUEUE_OFFSET;
  yield reads(its, "enabled");
  const error = its.enabled ? -EBUSY : offset >= cbaserBytes(its.cbaserLow) ? -EINVAL : 0;
  if (error === 0) its.creadr = offset;
  yield* its.cmdLock.unlock();
  return error;
}

/** A table that moves loses what was mapped by it (B2.2); [6.1] only one that goes. */
function* writeBaser(its: Its, table: ItsTable, low: number, high: number): Step<void> {
  yield reads(its, "enabled");
  if (its.enabled) return;
  const isDevices = table === its.deviceTable;
  const newLow = (sanitiseLow(low) & ~PAGE_SIZE_MASK) | PAGE_SIZE_64K;
  const newHigh = (sanitiseHigh(high) & ~(BASER_FIXED_HIGH | (isDevices ? 0 : BASER_INDIRECT_HIGH))) | table.fixedHigh;
  yield* its.itsLock.lock();
  const isChanged = newLow !== table.low || newHigh !== table.high;
  table.low = newLow;
  table.high = newHigh;
  const isLost = its.dist.isLinux61 ? !table.isValid : isChanged;
  if (isLost && isDevices) yield* freeDevices(its);
  if (isLost && !isDevices) yield* freeCollections(its);
  yield* its.itsLock.unlock();
}

const OUTER_SHAREABLE = 2 << 10;
const INNER_SHAREABLE = 1 << 10;
const SHAREABILITY = 3 << 10;
const INNER_CACHE_SHIFT = 27;
const OUTER_CACHE_SHIFT = 21;
const READ_WRITE_ALLOCATE = 3;

/** As in the redistributors (gic-v3.md A6.4), the fields in other places. */
const sanitiseLow = (low: number): number => ((low & SHAREABILITY) === OUTER_SHAREABLE ? (low & ~SHAREABILITY) | INNER_SHAREABLE : low);

function sanitiseHigh(high: number): number {
  const inner = (high >>> INNER_CACHE_SHIFT) & 7;
  const outer = (high >>> OUTER_CACHE_SHIFT) & 7;
  const kept = high & ~((7 << INNER_CACHE_SHIFT) | (7 << OUTER_CACHE_SHIFT));
  return kept | ((inner <= 1 ? READ_WRITE_ALLOCATE : inner) << INNER_CACHE_SHIFT) | ((outer <= 1 ? outer : 0) << OUTER_CACHE_SHIFT);
}
