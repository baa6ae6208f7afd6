import { cbaserAddress, cbaserBytes } from "../../../arch/gic/gits.js";
import {
  deviceIdOf,
  eventIdOf,
  icidOf,
  isValid,
  ITS_COMMAND_SIZE,
  ITS_COMMAND_WORDS,
  ItsError,
  ItsOp,
  ittOf,
  opcodeOf,
  physicalIdOf,
  rdbase2Of,
  rdbaseOf,
  sizeFieldOf,
} from "../../../arch/gic/its-command.js";
import { reads, writes } from "../../../sim/access.js";
import { Ev } from "../../../sim/event.js";
import { UseAfterFree } from "../../../sim/list.js";
import type { Step } from "../../../sim/step.js";
import { ENODEV } from "../../../uapi/errno.js";
import type { Its } from "./its.js";
import { EVENT_ID_BITS, type ItsCollection, type ItsDevice } from "./devices.js";
import { mapInterrupt } from "./map-interrupt.js";
import { freeCollection, freeDevice, moveCollection, retarget, targetOf, unmapEvent } from "./mappings.js";
import { trigger } from "./msi.js";
import { clearEntry } from "./save.js";
import { collectionEntry, deviceEntry, ENTRY_SIZE } from "./tables.js";
import { reloadAll, reloadConfig } from "./lpi-config.js";
import { moveVlpi, pendVlpi } from "../v4/commands.js";
import { VGIC_MIN_LPI } from "../vgic-irq.js";

/**
 * Executes what the guest has queued (gic-its.md B4), cmd_lock held throughout (hazard R42). A command that cannot be read,
 * or is wrong, has no effect, and CREADR goes on: the guest is never told.
 */
export function* processCommands(its: Its): Step<void> {
  yield reads(its, "enabled");
  if (!its.enabled) return;
  const queue = cbaserAddress(its.cbaserLow, its.cbaserHigh);
  const size = cbaserBytes(its.cbaserLow);
  yield writes(its, "CREADR");
  while (its.creadr !== its.cwriter) {
    const isRead = yield* its.vm.ram.readWords(queue + its.creadr, its.command, ITS_COMMAND_WORDS);
    if (isRead) yield* execute(its);
    yield writes(its, "CREADR");
    its.creadr += ITS_COMMAND_SIZE;
    if (its.creadr >= size) its.creadr = 0;
  }
}

function* execute(its: Its): Step<void> {
  const { command } = its;
  yield* its.itsLock.lock();
  const code = yield* handle(its, command);
  yield* its.itsLock.unlock();
  its.vm.sim.emit(Ev.its_command, opcodeOf(command), deviceIdOf(command), eventIdOf(command), code);
}

/** 0, a positive {@link ItsError}, or a negative errno. */
function* handle(its: Its, dw: Int32Array): Step<number> {
  switch (opcodeOf(dw)) {
    case ItsOp.MAPD:
      return yield* mapd(its, dw);
    case ItsOp.MAPC:
      return yield* mapc(its, dw);
    case ItsOp.MAPI:
      return yield* mapti(its, dw, eventIdOf(dw));
    case ItsOp.MAPTI:
      return yield* mapti(its, dw, physicalIdOf(dw));
    case ItsOp.MOVI:
      return yield* movi(its, dw);
    case ItsOp.DISCARD:
      return yield* discard(its, dw);
    case ItsOp.CLEAR:
      return yield* clear(its, dw);
    case ItsOp.MOVALL:
      return yield* movall(its, dw);
    case ItsOp.INT:
      return yield* trigger(its, deviceIdOf(dw), eventIdOf(dw));
    case ItsOp.INV:
      return yield* inv(its, dw);
    case ItsOp.INVALL:
      return yield* invall(its, dw);
    case ItsOp.SYNC:
      return 0;
    default:
      return -ENODEV;
  }
}

function deviceOf(its: Its, dw: Int32Array): ItsDevice | null {
  return its.devices.get(deviceIdOf(dw)) ?? null;
}

/** The LPI of the command's event, 0 when it is not mapped. */
function interruptOf(its: Its, dw: Int32Array): number {
  return deviceOf(its, dw)?.intid(eventIdOf(dw)) ?? 0;
}

function mappedCollection(its: Its, id: number): ItsCollection | null {
  const collection = its.collections.find(id);
  return collection === null || collection.target < 0 ? null : collection;
}

/** B4.2: a device that was there loses all its events, whatever its table in memory says. */
function* mapd(its: Its, dw: Int32Array): Step<number> {
  const id = deviceIdOf(dw);
  const entry = yield* deviceEntry(its, id);
  if (entry < 0) return ItsError.MAPD_DEVICE_OOR;
  const isMapping = isValid(dw);
  const bits = sizeFieldOf(dw) + 1;
  if (isMapping && bits > EVENT_ID_BITS) return ItsError.MAPD_ITTSIZE_OOR;
  const old = deviceOf(its, dw);
  if (old !== null) yield* freeDevice(its, old);
  if (isMapping) its.addDevice(id, bits, ittOf(dw));
  else yield* clearEntry(its, entry);
  return 0;
}

/** B4.3. */
function* mapc(its: Its, dw: Int32Array): Step<number> {
  const id = icidOf(dw);
  const rdbase = rdbaseOf(dw);
  const cpu = its.dist.cpuByRdbase(rdbase);
  const isMapping = isValid(dw);
  if (cpu === null && (isMapping || its.dist.isLinux61)) return ItsError.MAPC_PROCNUM_OOR;
  const collection = its.collections.find(id);
  if (!isMapping) {
    if (collection !== null) yield* freeCollection(its, collection);
    return 0;
  }
  if (cpu === null) return ItsError.MAPC_PROCNUM_OOR;
  if (collection !== null) {
    collection.target = rdbase;
    yield* moveCollection(its, collection, cpu);
    return 0;
  }
  const entry = yield* collectionEntry(its, id);
  if (entry < 0) return ItsError.MAPC_COLLECTION_OOR;
  its.collections.add(id).target = rdbase;
  return 0;
}

/** B4.4. */
function* mapti(its: Its, dw: Int32Array, intid: number): Step<number> {
  const device = deviceOf(its, dw);
  if (device === null) return ItsError.MAPTI_UNMAPPED_DEVICE;
  return yield* mapInterrupt(its, device, eventIdOf(dw), intid, icidOf(dw));
}

/** B4.5. */
function* movi(its: Its, dw: Int32Array): Step<number> {
  const device = deviceOf(its, dw);
  const event = eventIdOf(dw);
  const intid = interruptOf(its, dw);
  if (device === null || intid === 0) return ItsError.MOVI_UNMAPPED_INTERRUPT;
  const to = mappedCollection(its, icidOf(dw));
  if (targetOf(its, its.collections.at(device.slot(event))) === null || to === null) return ItsError.MOVI_UNMAPPED_COLLECTION;
  device.map(event, intid, to.slot);
  yield* its.cache.invalidate();
  yield* retarget(its.dist, intid, targetOf(its, to));
  return 0;
}

/** B4.6: what is pending and listed is delivered all the same. */
function* discard(its: Its, dw: Int32Array): Step<number> {
  const device = deviceOf(its, dw);
  const event = eventIdOf(dw);
  if (device === null || interruptOf(its, dw) === 0 || targetOf(its, its.collections.at(device.slot(event))) === null) return ItsError.DISCARD_UNMAPPED_INTERRUPT;
  yield* unmapEvent(its, device, event);
  yield* clearEntry(its, device.itt + event * ENTRY_SIZE);
  return 0;
}

/** B4.8: the list registers of other vCPUs are not looked at, and may bring it back (hazard R55) unless that is asked for. */
function* clear(its: Its, dw: Int32Array): Step<number> {
  const { dist, vm } = its;
  const irq = yield* dist.lpis.get(interruptOf(its, dw));
  if (irq === null) return ItsError.CLEAR_UNMAPPED_INTERRUPT;
  if (dist.hazards.strictClear) yield* vm.haltGuest();
  yield* irq.lock.lock();
  irq.pendingLatch = false;
  if (irq.hw) yield* pendVlpi(dist, irq, false);
  yield* irq.lock.unlock();
  if (dist.hazards.strictClear) yield* vm.resumeGuest();
  yield* dist.lpis.put(irq);
  return 0;
}

/** B4.9. */
function* inv(its: Its, dw: Int32Array): Step<number> {
  const irq = yield* its.dist.lpis.get(interruptOf(its, dw));
  if (irq === null) return ItsError.INV_UNMAPPED_INTERRUPT;
  const error = yield* reloadConfig(its.dist, irq, null);
  yield* its.dist.lpis.put(irq);
  return error;
}

/** B4.10: of every ITS, by the vCPU. */
function* invall(its: Its, dw: Int32Array): Step<number> {
  const cpu = targetOf(its, mappedCollection(its, icidOf(dw)));
  if (cpu === null) return ItsError.INVALL_UNMAPPED_COLLECTION;
  yield* reloadAll(its.dist, cpu);
  return 0;
}

/** B4.11: LPIs of one vCPU, in newer kernels those of all, go to another; collections stay, and nobody is told. */
function* movall(its: Its, dw: Int32Array): Step<number> {
  const { dist } = its;
  const from = dist.cpuByRdbase(rdbaseOf(dw));
  const to = dist.cpuByRdbase(rdbase2Of(dw));
  if (from === null || to === null) return ItsError.MOVALL_PROCNUM_OOR;
  if (from === to) return 0;
  for (let intid = yield* dist.lpis.next(VGIC_MIN_LPI); intid >= 0; intid = yield* dist.lpis.next(intid + 1)) {
    const irq = yield* dist.lpis.get(intid);
    // Another ITS may have unmapped it since (Linux 85a71ee9a070).
    if (irq === null && dist.hazards.moveAllWithoutLook) throw new UseAfterFree(`MOVALL moves LPI ${intid}, which is gone`);
    if (irq === null) continue;
    yield* irq.lock.lock();
    const before = irq.targetVcpu;
    const isMoved = before === from || dist.hazards.movallOfAll;
    if (isMoved) irq.targetVcpu = to;
    const isDirect = irq.hw;
    yield* irq.lock.unlock();
    if (isMoved && isDirect) yield* moveVlpi(dist, irq, before, to);
    yield* dist.lpis.put(irq);
  }
  yield* its.cache.invalidate();
  return 0;
}
