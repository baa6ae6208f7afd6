import { ItsError } from "../../../arch/gic/its-command.js";
import { reads } from "../../../sim/access.js";
import { UseAfterFree } from "../../../sim/list.js";
import type { Step } from "../../../sim/step.js";
import { EBUSY, EINVAL, ENODEV, EWOULDBLOCK } from "../../../uapi/errno.js";
import { KVM_MSI_VALID_DEVID } from "../../../uapi/kvm.js";
import type { ArmMessage } from "../../contract.js";
import type { Its } from "./its.js";
import { targetOf } from "./mappings.js";
import { pendVlpi } from "../v4/commands.js";
import type { VgicDist } from "../vgic-dist.js";
import { queueIrqUnlock } from "../vgic-queue.js";

// From a device's event to a pending LPI (gic-its.md B7).

/** The ITS whose frames hold the message's address; null: nobody's. */
export function itsOf(dist: VgicDist, message: ArmMessage): Its | null {
  const { itses } = dist;
  for (let i = 0; i < itses.length; i++) if (itses[i].covers(message.addressHi, message.addressLo)) return itses[i];
  return null;
}

/**
 * Delivers a message: 1, 0 (the guest has not mapped the event), -ENODEV (no ITS), -EINVAL (no device id, or not an ITS's
 * address), -EBUSY (the ITS, or the target's LPIs, are off). A translation that is remembered is used before anything is
 * checked, KVM_MSI_VALID_DEVID included.
 */
export function* injectMsi(dist: VgicDist, message: ArmMessage): Step<number> {
  if (!dist.hasIts) return -ENODEV;
  const its = itsOf(dist, message);
  const isDone = yield* injectCached(dist, its, message);
  if (isDone) return 1;
  if (its === null || (message.flags & KVM_MSI_VALID_DEVID) === 0) return -EINVAL;
  yield* its.itsLock.lock();
  const late = dist.hazards.rememberUnlocked ? yield* translate(its, message.devid, message.data) : 0;
  const result = yield* trigger(its, message.devid, message.data);
  yield* its.itsLock.unlock();
  if (late !== 0 && result === 0) yield* its.cache.insert(its, message.devid | 0, message.data | 0, late);
  return result < 0 ? result : result === 0 ? 1 : 0;
}

/** {@link injectMsi} where nothing may sleep: only what the cache knows, else -EWOULDBLOCK. */
export function* injectMsiAtomic(dist: VgicDist, message: ArmMessage): Step<number> {
  if (!dist.hasIts) return -EWOULDBLOCK;
  const isDone = yield* injectCached(dist, itsOf(dist, message), message);
  return isDone ? 1 : -EWOULDBLOCK;
}

function* injectCached(dist: VgicDist, its: Its | null, { addressHi, addressLo, devid, data }: ArmMessage): Step<boolean> {
  const cache = dist.lruTranslations ?? its?.cache ?? null;
  if (cache === null) return false;
  const intid = yield* cache.find(addressHi | 0, addressLo | 0, devid | 0, data | 0);
  if (intid === 0) return false;
  return yield* pend(dist, intid);
}

/** An event, its_lock held: 0, a positive command error, or -EBUSY. INT and messages that are not cached come here. */
export function* trigger(its: Its, devid: number, event: number): Step<number> {
  const intid = yield* translate(its, devid, event);
  if (!isLpi(intid)) return intid;
  const { dist } = its;
  const isDirect = dist.v4 !== null && (yield* dist.v4.isDirect(intid));
  if (!isDirect && !dist.hazards.rememberUnlocked) yield* its.cache.insert(its, devid | 0, event | 0, intid);
  yield* pend(dist, intid);
  return 0;
}

/** Of what {@link translate} answers. */
export const isLpi = (answer: number): boolean => answer >= 0 && answer !== (ItsError.INT_UNMAPPED_INTERRUPT as number);

/** The LPI of an event (B7.2), its_lock held; else -EBUSY or {@link ItsError.INT_UNMAPPED_INTERRUPT}, which is no LPI. */
export function* translate(its: Its, devid: number, event: number): Step<number> {
  yield reads(its, "enabled");
  if (!its.enabled) return -EBUSY;
  const device = its.devices.get(devid);
  const intid = device === undefined ? 0 : device.intid(event);
  const target = device === undefined || intid === 0 ? null : targetOf(its, its.collections.at(device.slot(event)));
  if (target === null) return ItsError.INT_UNMAPPED_INTERRUPT;
  yield reads(target, "lpisEnabled");
  return target.lpisEnabled ? intid : -EBUSY;
}

/**
 * Latches an LPI and has its vCPU look; a VLPI is the hardware's, also one that a cache still knows (hazard R27). False: it is
 * gone. A translation is no reference that keeps it, so one is taken where it is looked up (Linux ad362fe07fec).
 */
function* pend(dist: VgicDist, intid: number): Step<boolean> {
  const irq = yield* dist.lpis.get(intid);
  if (irq === null) {
    if (dist.hazards.hitWithoutReference) throw new UseAfterFree(`LPI ${intid} is used after its last reference has gone`);
    return false;
  }
  yield* irq.lock.lock();
  if (irq.hw && !dist.hazards.latchUnasked) {
    yield* pendVlpi(dist, irq, true);
    yield* irq.lock.unlock();
  } else {
    irq.pendingLatch = true;
    yield* queueIrqUnlock(dist, irq);
  }
  yield* dist.lpis.put(irq);
  return true;
}
