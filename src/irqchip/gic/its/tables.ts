import { baserAddress64k, baserBytes64k } from "../../../arch/gic/gits.js";
import type { Step } from "../../../sim/step.js";
import type { Its } from "./its.js";

// Where the entry of a device or a collection is in guest memory (gic-its.md B3). Mappings do not live there; the places are
// asked for to check ids, and for the tables of a save.

/** Bytes of every entry in guest memory. */
export const ENTRY_SIZE = 8;
const MAX_ID = 0xffff;
/** Entries of a second-level page of 64 KiB. */
export const LEVEL2_ENTRIES = 0x10000 / ENTRY_SIZE;

/** The address of a device's entry, -1 where the table has no room for the id or is not in visible memory. */
export function* deviceEntry(its: Its, id: number): Step<number> {
  if (id > MAX_ID) return -1;
  const table = its.deviceTable;
  if (!table.isIndirect) return yield* flatEntry(its, table.low, table.high, id);
  const page = yield* level2Page(its, Math.floor(id / LEVEL2_ENTRIES));
  return page < 0 ? -1 : yield* visible(its, page + (id % LEVEL2_ENTRIES) * ENTRY_SIZE);
}

/** The first level of the devices' table cannot be read. */
export const UNREADABLE = -2;

/** The address of a second-level page of devices; -1: not there, or {@link UNREADABLE}. */
export function* level2Page(its: Its, index: number): Step<number> {
  const { low, high } = its.deviceTable;
  if (index >= baserBytes64k(low) / ENTRY_SIZE) return -1;
  const isRead = yield* its.vm.ram.readWords(baserAddress64k(low, high) + index * ENTRY_SIZE, its.entry, 2);
  if (!isRead) return UNREADABLE;
  if (its.entry[1] >= 0) return -1;
  return (its.entry[1] & 0xfffff) * 2 ** 32 + ((its.entry[0] & 0xffff0000) >>> 0);
}

/** As {@link deviceEntry}: does the table have room for a collection id? A save packs its entries (B5). */
export function* collectionEntry(its: Its, id: number): Step<number> {
  if (id > MAX_ID) return -1;
  return yield* flatEntry(its, its.collectionTable.low, its.collectionTable.high, id);
}

function* flatEntry(its: Its, low: number, high: number, id: number): Step<number> {
  if (id >= baserBytes64k(low) / ENTRY_SIZE) return -1;
  return yield* visible(its, baserAddress64k(low, high) + id * ENTRY_SIZE);
}

function* visible(its: Its, address: number): Step<number> {
  const isVisible = yield* its.vm.ram.isVisible(address);
  return isVisible ? address : -1;
}
