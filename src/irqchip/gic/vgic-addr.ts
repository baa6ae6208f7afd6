import type { Process } from "../../host/process.js";
import type { Step } from "../../sim/step.js";
import * as A from "../../uapi/arm.js";
import { E2BIG, EEXIST, EFAULT, EINVAL, ENOENT, ENXIO } from "../../uapi/errno.js";
import { RedistRegion, REDIST_SIZE } from "./redist-region.js";
import { userWord } from "./user-word.js";
import { VGIC_ADDR_UNDEF } from "./vgic-cpu.js";
import type { VgicDist } from "./vgic-dist.js";
import { overlaps, V2_CPU_SIZE, V2_DIST_SIZE, V3_DIST_SIZE } from "./vgic-init.js";

// KVM_DEV_ARM_VGIC_GRP_ADDR (gic-v3.md A3.3). A guest physical address stays in halves until it is known to fit.

const ALIGN_4K = 0x1000;
const ALIGN_64K = 0x10000;
const TWO_32 = 0x1_0000_0000;

const addressOf = (low: number, high: number): number => (high >>> 0) * TWO_32 + (low >>> 0);

/** Does base + size pass the end of 64 bits? */
const wraps = (low: number, high: number, size: number): boolean => size > 0 && high === -1 && (low >>> 0) + size >= TWO_32;

/** A range that an address is set to: 0, or -EEXIST, -EINVAL, -E2BIG, asked in this order. */
function checkRange(dist: VgicDist, isSet: boolean, low: number, high: number, alignment: number, size: number): number {
  if (isSet) return -EEXIST;
  if ((low & (alignment - 1)) !== 0 || wraps(low, high, size)) return -EINVAL;
  return addressOf(low, high) + size > 2 ** dist.vm.ipaBits ? -E2BIG : 0;
}

const isModelOf = (dist: VgicDist, type: number): boolean =>
  dist.model === 2
    ? type === A.KVM_VGIC_V2_ADDR_TYPE_DIST || type === A.KVM_VGIC_V2_ADDR_TYPE_CPU
    : type === A.KVM_VGIC_V3_ADDR_TYPE_DIST || type === A.KVM_VGIC_V3_ADDR_TYPE_REDIST || type === A.KVM_VGIC_V3_ADDR_TYPE_REDIST_REGION;

export const hasAddress = (dist: VgicDist, type: number): number => (isModelOf(dist, type) ? 0 : -ENXIO);

/** 0, -EFAULT, -ENXIO (not an address of this model), -EEXIST, -EINVAL, -E2BIG, or the bus's errno. */
export function* setAddress(dist: VgicDist, process: Process, type: number, address: number): Step<number> {
  if (!userWord.fetch(process, address, 8)) return -EFAULT;
  const { low, high } = userWord;
  if (!isModelOf(dist, type)) return -ENXIO;
  yield* dist.vm.slotsLock.lock();
  const error = yield* storeAddress(dist, type, low, high);
  yield* dist.vm.slotsLock.unlock();
  return error;
}

function* storeAddress(dist: VgicDist, type: number, low: number, high: number): Step<number> {
  if (type === A.KVM_VGIC_V3_ADDR_TYPE_REDIST) return yield* addRegion(dist, 0, low, high, 0);
  if (type === A.KVM_VGIC_V3_ADDR_TYPE_REDIST_REGION) {
    const count = A.redistRegionCount(high);
    if (count === 0 || A.redistRegionFlags(low) !== 0) return -EINVAL;
    return yield* addRegion(dist, A.redistRegionIndex(low), low & 0xffff0000, high & 0xfffff, count);
  }
  yield* dist.configLock.lock();
  const error = storeBase(dist, type, low, high);
  yield* dist.configLock.unlock();
  return error;
}

function storeBase(dist: VgicDist, type: number, low: number, high: number): number {
  if (type === A.KVM_VGIC_V2_ADDR_TYPE_CPU) {
    const error = checkRange(dist, dist.cpuInterfaceBase !== VGIC_ADDR_UNDEF, low, high, ALIGN_4K, V2_CPU_SIZE);
    if (error === 0) dist.cpuInterfaceBase = addressOf(low, high);
    return error;
  }
  const isV2 = dist.model === 2;
  const error = checkRange(dist, dist.distBase !== VGIC_ADDR_UNDEF, low, high, isV2 ? ALIGN_4K : ALIGN_64K, isV2 ? V2_DIST_SIZE : V3_DIST_SIZE);
  if (error === 0) dist.distBase = addressOf(low, high);
  return error;
}

/**
 * Adds a region of redistributor frames and gives them to the vCPUs that have none, in order of creation; `count` 0 is
 * the legacy region, that grows. slots_lock is held; frames are registered without config_lock, because the bus waits
 * for readers that may want it.
 */
function* addRegion(dist: VgicDist, index: number, low: number, high: number, count: number): Step<number> {
  yield* dist.configLock.lock();
  const error = checkRegion(dist, index, low, high, count);
  const region = new RedistRegion(index, addressOf(low, high), count);
  if (error === 0) dist.redistRegions.push(region);
  yield* dist.configLock.unlock();
  return error === 0 ? yield* bindFrames(dist, region) : error;
}

/** The numbered checks of gic-v3.md A3.3. */
function checkRegion(dist: VgicDist, index: number, low: number, high: number, count: number): number {
  const size = (count === 0 ? dist.vm.vcpus.length : count) * REDIST_SIZE;
  if (wraps(low, high, size)) return -EINVAL; // 1
  const last = dist.redistRegions.at(-1);
  if (last === undefined) {
    if (index !== 0) return -EINVAL; // 2
  } else if (count === 0) return last.isLegacy ? -EEXIST : -EINVAL; // 3
  else if (index !== last.index + 1) return -EINVAL;
  const base = addressOf(low, high);
  if (count === 0 && dist.distBase !== VGIC_ADDR_UNDEF && overlaps(dist.distBase, V3_DIST_SIZE, base, size)) return -EINVAL; // 4
  for (const other of dist.redistRegions) if (overlaps(other.base, other.sizeFor(dist.vm.vcpus.length), base, size)) return -EINVAL; // 5
  return checkRange(dist, false, low, high, ALIGN_64K, size); // 6
}

/** Step 7: when a frame finds no place on the bus, the region goes again with all its frames. */
function* bindFrames(dist: VgicDist, region: RedistRegion): Step<number> {
  const { frames } = dist;
  let error = 0;
  for (let i = 0; i < dist.cpus.length && error === 0; i++) error = yield* frames.bindRedist(dist.cpus[i]);
  if (error === 0) return 0;
  for (let i = 0; i < dist.cpus.length; i++) if (dist.cpus[i].rdRegion === region) yield* frames.releaseRedist(dist.cpus[i]);
  yield* dist.configLock.lock();
  dist.redistRegions.splice(dist.redistRegions.indexOf(region), 1);
  yield* dist.configLock.unlock();
  return error;
}

/** The address, all ones while it is not set; a region is asked for by the index in the payload. */
export function* getAddress(dist: VgicDist, process: Process, type: number, address: number): Step<number> {
  const isRegion = type === A.KVM_VGIC_V3_ADDR_TYPE_REDIST_REGION;
  if (isRegion && !userWord.fetch(process, address, 8)) return -EFAULT;
  const index = A.redistRegionIndex(userWord.low);
  if (!isModelOf(dist, type)) return -ENXIO;
  yield* dist.vm.slotsLock.lock();
  yield* dist.configLock.lock();
  const region = isRegion ? dist.redistRegions.find((each) => each.index === index) : undefined;
  const base = isRegion ? 0 : baseOf(dist, type);
  yield* dist.configLock.unlock();
  yield* dist.vm.slotsLock.unlock();
  if (!isRegion) return put(process, address, base === VGIC_ADDR_UNDEF ? -1 : base | 0, base === VGIC_ADDR_UNDEF ? -1 : Math.floor(base / TWO_32));
  if (region === undefined) return -ENOENT;
  return put(process, address, A.redistRegionLo(region.base, 0, index) | 0, A.redistRegionHi(region.base, region.count) | 0);
}

function baseOf(dist: VgicDist, type: number): number {
  if (type === A.KVM_VGIC_V2_ADDR_TYPE_CPU) return dist.cpuInterfaceBase;
  if (type === A.KVM_VGIC_V3_ADDR_TYPE_REDIST) return dist.redistRegions[0]?.base ?? VGIC_ADDR_UNDEF;
  return dist.distBase;
}

const put = (process: Process, address: number, low: number, high: number): number => (userWord.store(process, address, 8, low, high) ? 0 : -EFAULT);
