import { baserAddress64k, baserBytes64k } from "../../../arch/gic/gits.js";
import type { Step } from "../../../sim/step.js";
import { EACCES, EFAULT, EINVAL } from "../../../uapi/errno.js";
import type { Its } from "./its.js";
import type { ItsDevice } from "./devices.js";
import { deviceEntry, ENTRY_SIZE } from "./tables.js";

// KVM_DEV_ARM_ITS_SAVE_TABLES (gic-its.md B5, B9.1): ABI revision 0, entries of 8 bytes.

/** Farthest that an entry can point to the next one. */
const MAX_DEVICE_STEP = 2 ** 14 - 1;
const MAX_EVENT_STEP = 2 ** 16 - 1;
const VALID_HIGH = 0x80000000 | 0;

function* write(its: Its, address: number, low: number, high: number): Step<number> {
  its.entry[0] = low;
  its.entry[1] = high;
  const isWritten = yield* its.vm.ram.writeWords(address, its.entry, 2);
  return isWritten ? 0 : -EFAULT;
}

/** An entry that is gone reads as zero, so that a restore's single steps do not find it. [6.1] leaves it. */
export function* clearEntry(its: Its, address: number): Step<void> {
  if (!its.dist.isLinux61 && !its.dist.hazards.keepDiscardedEntry) yield* write(its, address, 0, 0);
}

/** 0 or a negative errno; what is mapped stays. */
export function* saveTables(its: Its): Step<number> {
  const error = its.deviceTable.isValid ? yield* saveDevices(its) : 0;
  if (error !== 0 || !its.collectionTable.isValid) return error;
  return yield* saveCollections(its);
}

function* saveDevices(its: Its): Step<number> {
  const devices = [...its.devices.values()].sort((a, b) => a.id - b.id);
  for (let i = yield* nextReachable(its, devices, 0); i < devices.length; ) {
    const address = yield* deviceEntry(its, devices[i].id);
    if (address < 0) return -EINVAL;
    const next: number = yield* nextReachable(its, devices, i + 1);
    const step = next < devices.length ? Math.min(devices[next].id - devices[i].id, MAX_DEVICE_STEP) : 0;
    let error = yield* saveEvents(its, devices[i]);
    if (error === 0) error = yield* saveDevice(its, devices[i], address, step);
    if (error !== 0) return error;
    i = next;
  }
  return 0;
}

/** The first device from `index` on that its table still reaches; [6.1] any, and a save ends at one that it does not. */
function* nextReachable(its: Its, devices: readonly ItsDevice[], index: number): Step<number> {
  if (its.dist.isLinux61) return index;
  for (let i = index; i < devices.length; i++) {
    const address = yield* deviceEntry(its, devices[i].id);
    if (address >= 0) return i;
  }
  return devices.length;
}

/** V 63, next [62:49], ITT address [51:8] at [48:5], event bits - 1 [4:0]. */
function* saveDevice(its: Its, device: ItsDevice, address: number, next: number): Step<number> {
  const itt = device.itt / 2 ** 8;
  const low = ((itt * 2 ** 5) % 2 ** 32 | 0) | (device.eventBits - 1);
  const high = VALID_HIGH | (next << 17) | Math.floor(itt / 2 ** 27);
  return yield* write(its, address, low, high);
}

/** Next [63:48], LPI [47:16], collection [15:0]. An event without a collection is an empty entry, and nobody's next. */
function* saveEvents(its: Its, device: ItsDevice): Step<number> {
  for (let event = device.next(0); event >= 0; event = device.next(event + 1)) {
    const address = device.itt + event * ENTRY_SIZE;
    // What is pending for a VLPI of 4.0 nobody can read back (gic-v4.md C6).
    const { v4 } = its.dist;
    const isUnreadable = v4 !== null && !v4.is41 && (yield* v4.isDirect(device.intid(event)));
    if (isUnreadable) return -EACCES;
    const collection = its.collections.at(device.slot(event));
    const intid = device.intid(event);
    const low = collection === null ? 0 : (intid << 16) | collection.id;
    const high = collection === null ? 0 : (nextSaved(its, device, event) << 16) | (intid >>> 16);
    const error = yield* write(its, address, low, high);
    if (error !== 0) return error;
  }
  return 0;
}

/** Distance to the next event that is saved, 0 for the last. */
function nextSaved(its: Its, device: ItsDevice, event: number): number {
  for (let next = device.next(event + 1); next >= 0; next = device.next(next + 1))
    if (its.collections.at(device.slot(next)) !== null) return Math.min(next - event, MAX_EVENT_STEP);
  return 0;
}

/** V 63, vcpu_id [47:16] (all ones: unmapped), id [15:0]; packed, ended by a zero entry where there is room. */
function* saveCollections(its: Its): Step<number> {
  const { low, high } = its.collectionTable;
  const base = baserAddress64k(low, high);
  const all = its.collections.inOrder;
  for (let i = 0; i < all.length; i++) {
    const { target, id } = all[i];
    const error = yield* write(its, base + i * ENTRY_SIZE, (target << 16) | id, VALID_HIGH | (target >>> 16));
    if (error !== 0) return error;
  }
  if (all.length * ENTRY_SIZE >= baserBytes64k(low)) return 0;
  return yield* write(its, base + all.length * ENTRY_SIZE, 0, 0);
}
