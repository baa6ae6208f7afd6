import { baserAddress64k, baserBytes64k } from "../../../arch/gic/gits.js";
import type { Step } from "../../../sim/step.js";
import { EEXIST, EFAULT, EINVAL, ENOMEM } from "../../../uapi/errno.js";
import type { Its } from "./its.js";
import { EVENT_ID_BITS, type ItsDevice } from "./devices.js";
import { enter } from "./map-interrupt.js";
import { freeAll, freeDevice } from "./mappings.js";
import { collectionEntry, deviceEntry, ENTRY_SIZE, LEVEL2_ENTRIES, level2Page, UNREADABLE } from "./tables.js";
import { maxLpis } from "./lpi-config.js";
import { VGIC_MIN_LPI } from "../vgic-irq.js";

// KVM_DEV_ARM_ITS_RESTORE_TABLES (gic-its.md B9.2): collections, then devices with their events.

/**
 * Events that one restore may map, nine for each LPI that there is: tables that point at each other would otherwise make terabytes
 * of a megabyte. In the kernel the memory cgroup of the VMM ends it.
 */
const MAX_EVENTS = 2 ** 19;

/** 0 or a negative errno, after which nothing is mapped. */
export function* restoreTables(its: Its): Step<number> {
  its.restored = 0;
  let error = its.collectionTable.isValid ? yield* restoreCollections(its) : 0;
  if (error === 0 && its.deviceTable.isValid) error = yield* restoreDevices(its);
  if (error !== 0) yield* freeAll(its);
  return error;
}

/** Until the first entry that is not valid. */
function* restoreCollections(its: Its): Step<number> {
  const { low, high } = its.collectionTable;
  const base = baserAddress64k(low, high);
  for (let at = 0; at < baserBytes64k(low); at += ENTRY_SIZE) {
    const isRead = yield* its.vm.ram.readWords(base + at, its.entry, 2);
    if (!isRead) return -EFAULT;
    if (its.entry[1] >= 0) return 0;
    const error = yield* restoreCollection(its, its.entry[0] & 0xffff, (its.entry[0] >>> 16) | (its.entry[1] << 16));
    if (error !== 0) return error;
  }
  return 0;
}

function* restoreCollection(its: Its, id: number, target: number): Step<number> {
  if (target !== -1 && its.dist.cpuByRdbase(target >>> 0) === null) return -EINVAL;
  if (its.collections.find(id) !== null) return -EEXIST;
  const entry = yield* collectionEntry(its, id);
  if (entry < 0) return -EINVAL;
  its.collections.add(id).target = target;
  return 0;
}

function* restoreDevices(its: Its): Step<number> {
  const { low, high, isIndirect } = its.deviceTable;
  const entries = baserBytes64k(low) / ENTRY_SIZE;
  if (!isIndirect) {
    const last = yield* scanDevices(its, baserAddress64k(low, high), entries, 0);
    return Math.min(last, 0);
  }
  for (let index = 0; index < entries; index++) {
    const page = yield* level2Page(its, index);
    if (page === UNREADABLE) return -EFAULT;
    if (page < 0) continue;
    const last = yield* scanDevices(its, page, LEVEL2_ENTRIES, index * LEVEL2_ENTRIES);
    if (last <= 0) return last;
  }
  return 0;
}

/** Entries from `firstId` on: 1 when they go on behind the page, 0 when an entry was the last of all, or a negative errno. */
function* scanDevices(its: Its, base: number, entries: number, firstId: number): Step<number> {
  for (let index = 0; index < entries; ) {
    const isRead = yield* its.vm.ram.readWords(base + index * ENTRY_SIZE, its.entry, 2);
    if (!isRead) return -EFAULT;
    const [low, high] = its.entry;
    if (high >= 0) {
      index++;
      continue;
    }
    const error = yield* restoreDevice(its, firstId + index, low, high);
    if (error !== 0) return error;
    const next = (high >>> 17) & 0x3fff;
    if (next === 0) return 0;
    index += next;
  }
  return 1;
}

function* restoreDevice(its: Its, id: number, low: number, high: number): Step<number> {
  const bits = (low & 0x1f) + 1;
  if (bits > EVENT_ID_BITS) return -EINVAL;
  const entry = yield* deviceEntry(its, id);
  if (entry < 0) return -EINVAL;
  // Restored onto what is mapped already: what goes with the old one is released (hazards R5, R6).
  const old = its.devices.get(id);
  if (old !== undefined) yield* freeDevice(its, old);
  const itt = ((high & 0x1ffff) * 2 ** 32 + ((low & ~0x1f) >>> 0)) * 2 ** 3;
  return yield* restoreEvents(its, its.addDevice(id, bits, itt));
}

function* restoreEvents(its: Its, device: ItsDevice): Step<number> {
  for (let event = 0; event < device.events; ) {
    const isRead = yield* its.vm.ram.readWords(device.itt + event * ENTRY_SIZE, its.entry, 2);
    if (!isRead) return -EFAULT;
    const [low, high] = its.entry;
    const intid = ((low >>> 16) | (high << 16)) >>> 0;
    if (intid === 0) {
      event++;
      continue;
    }
    const next = high >>> 16;
    const error = yield* restoreEvent(its, device, event, next, intid, low & 0xffff);
    if (error !== 0) return error;
    if (next === 0) return 0;
    event += next;
  }
  return 0;
}

function* restoreEvent(its: Its, device: ItsDevice, event: number, next: number, intid: number, icid: number): Step<number> {
  const end = yield* maxLpis(its.dist);
  const collection = its.collections.find(icid);
  if (++its.restored > MAX_EVENTS) return -ENOMEM;
  if (intid < VGIC_MIN_LPI || intid >= end || event + next >= device.events || collection === null) return -EINVAL;
  return yield* enter(its, device, event, intid, collection);
}
