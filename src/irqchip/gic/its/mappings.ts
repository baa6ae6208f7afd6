import { type Step, STRAIGHT } from "../../../sim/step.js";
import type { Its } from "./its.js";
import { ItsCollections, ItsDevice } from "./devices.js";
import type { ItsCollection } from "./devices.js";
import { moveVlpi, releaseLpi } from "../v4/commands.js";
import type { VgicCpu } from "../vgic-cpu.js";
import type { VgicDist } from "../vgic-dist.js";

// What an ITS has mapped, its_lock held throughout. Every way that ends a mapping empties the translation cache before it
// returns (gic-its.md B7.3, hazard R25).

/** The vCPU that a collection leads to, null where it leads nowhere. */
export function targetOf(its: Its, collection: ItsCollection | null): VgicCpu | null {
  if (collection === null) return null;
  if (!STRAIGHT) collection.lifetime.touch();
  return collection.target < 0 ? null : its.dist.cpuByRdbase(collection.target);
}

/** An LPI goes to another vCPU from its next look on; a pending one moves when the old vCPU prunes its list (B6.4). */
export function* retarget(dist: VgicDist, intid: number, target: VgicCpu | null): Step<void> {
  const irq = yield* dist.lpis.get(intid);
  if (irq === null) return;
  yield* irq.lock.lock();
  const from = irq.targetVcpu;
  irq.targetVcpu = target;
  const isDirect = irq.hw;
  yield* irq.lock.unlock();
  if (isDirect) yield* moveVlpi(dist, irq, from, target);
  yield* dist.lpis.put(irq);
}

/** DISCARD's part on the mapping: the LPI itself lives while a list holds it. */
export function* unmapEvent(its: Its, device: ItsDevice, event: number): Step<void> {
  const intid = device.intid(event);
  device.unmap(event);
  yield* releaseLpi(its.dist, intid);
  yield* forgetTranslations(its);
}

/** Before the command that asked for it is over (hazard R25). */
function* forgetTranslations(its: Its): Step<void> {
  if (!its.dist.hazards.keepTranslations) yield* its.cache.invalidate();
}

export function* freeDevice(its: Its, device: ItsDevice): Step<void> {
  its.devices.delete(device.id);
  for (let event = device.next(0); event >= 0; event = device.next(event + 1)) yield* releaseLpi(its.dist, device.intid(event));
  yield* forgetTranslations(its);
  device.lifetime.free();
}

/** MAPC with V=0: entries keep their LPIs and have no collection any more, for good (B4.3). */
export function* freeCollection(its: Its, collection: ItsCollection): Step<void> {
  for (const device of its.devices.values())
    for (let event = device.next(0); event >= 0; event = device.next(event + 1))
      if (device.slot(event) === collection.slot) device.map(event, device.intid(event), -1);
  its.collections.remove(collection);
  yield* its.cache.invalidate();
}

/** MAPC to another vCPU takes all LPIs of the collection along. */
export function* moveCollection(its: Its, collection: ItsCollection, target: VgicCpu): Step<void> {
  const devices = [...its.devices.values()];
  for (let i = 0; i < devices.length; i++)
    for (let event = devices[i].next(0); event >= 0; event = devices[i].next(event + 1))
      if (devices[i].slot(event) === collection.slot) yield* retarget(its.dist, devices[i].intid(event), target);
}

export function* freeDevices(its: Its): Step<void> {
  const all = [...its.devices.values()];
  its.devices = new Map<number, ItsDevice>();
  for (let i = 0; i < all.length; i++) for (let event = all[i].next(0); event >= 0; event = all[i].next(event + 1)) yield* releaseLpi(its.dist, all[i].intid(event));
  yield* its.cache.invalidate();
  for (const device of all) device.lifetime.free();
}

export function* freeCollections(its: Its): Step<void> {
  for (const device of its.devices.values()) for (let event = device.next(0); event >= 0; event = device.next(event + 1)) device.map(event, device.intid(event), -1);
  its.collections.removeAll();
  its.collections = new ItsCollections();
  yield* its.cache.invalidate();
}

export function* freeAll(its: Its): Step<void> {
  yield* freeDevices(its);
  yield* freeCollections(its);
}
