import { ItsError } from "../../../arch/gic/its-command.js";
import type { Step } from "../../../sim/step.js";
import type { Its } from "./its.js";
import type { ItsCollection, ItsDevice } from "./devices.js";
import { targetOf } from "./mappings.js";
import { collectionEntry, ENTRY_SIZE } from "./tables.js";
import { maxLpis, reloadConfig, takePendingBit } from "./lpi-config.js";
import { VGIC_MIN_LPI } from "../vgic-irq.js";

/** MAPTI and MAPI (gic-its.md B4.4), its_lock held: 0, a positive {@link ItsError}, or -EFAULT. */
export function* mapInterrupt(its: Its, device: ItsDevice, event: number, intid: number, icid: number): Step<number> {
  if (event >= device.events) return ItsError.MAPTI_ID_OOR;
  const isVisible = its.dist.is2017 || (yield* its.vm.ram.isVisible(device.itt + event * ENTRY_SIZE));
  if (!isVisible) return ItsError.MAPTI_ID_OOR;
  const end = yield* maxLpis(its.dist);
  if (intid < VGIC_MIN_LPI || intid >= end) return ItsError.MAPTI_PHYSICALID_OOR;
  if (device.intid(event) !== 0) return 0;
  const known = its.collections.find(icid);
  if (known === null) {
    const entry = yield* collectionEntry(its, icid);
    if (entry < 0) return ItsError.MAPC_COLLECTION_OOR;
  }
  const collection = known ?? its.collections.add(icid);
  const error = yield* enter(its, device, event, intid, collection);
  if (error !== 0 && known === null) its.collections.remove(collection);
  return error;
}

/**
 * The entry itself, and its LPI: one that another event has already keeps its target and state, a new one reads its
 * configuration and its pending bit. On -EFAULT nothing stays.
 */
export function* enter(its: Its, device: ItsDevice, event: number, intid: number, collection: ItsCollection): Step<number> {
  const { lpis } = its.dist;
  const isNew = yield* lpis.map(intid, targetOf(its, collection));
  const irq = isNew ? yield* lpis.get(intid) : null;
  let error = irq === null ? 0 : yield* reloadConfig(its.dist, irq, null);
  if (irq !== null && error === 0) error = yield* takePendingBit(its.dist, irq);
  if (error === 0) device.map(event, intid, collection.slot);
  else yield* lpis.release(intid);
  if (irq !== null) yield* lpis.put(irq);
  return error;
}
