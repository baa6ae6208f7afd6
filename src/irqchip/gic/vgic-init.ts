import { EBUSY, EINVAL, ENODEV, ENXIO } from "../../uapi/errno.js";
import { reads } from "../../sim/access.js";
import { ICC_SRE_VALUE, idBitsFieldOf, priorityBitsOf } from "../../arch/gic/icc.js";
import type { Step } from "../../sim/step.js";
import { initV4, teardownV4 } from "./v4/init.js";
import { configureVsgis, hasVsgis } from "./v4/vsgi.js";
import { VGIC_ADDR_UNDEF, type VgicCpu } from "./vgic-cpu.js";
import { VGIC_NR_PRIVATE_IRQS, VgicIrq } from "./vgic-irq.js";
import type { VgicDist } from "./vgic-dist.js";

/** INTIDs where user space never says how many: 224 SPIs. */
export const VGIC_NR_IRQS_LEGACY = 256;
export const V3_DIST_SIZE = 0x10000;
export const V2_DIST_SIZE = 0x1000;
export const V2_CPU_SIZE = 0x2000;

/**
 * CTRL_INIT (gic-v3.md A3.5); the caller holds config_lock. 0, also when it was done before; -EBUSY while a vCPU is
 * being created, -ENODEV without any, or what installing the default routing answers.
 */
export function* initVgic(dist: VgicDist): Step<number> {
  if (dist.initialized) return 0;
  const { vm } = dist;
  if (vm.createdVcpus !== vm.vcpus.length) return -EBUSY;
  if (vm.vcpus.length === 0) return -ENODEV;
  if (dist.nrSpis === 0) dist.nrSpis = VGIC_NR_IRQS_LEGACY - VGIC_NR_PRIVATE_IRQS;
  for (let i = dist.spis.length; i < dist.nrSpis; i++)
    dist.spis.push(new VgicIrq(dist.sim, VGIC_NR_PRIVATE_IRQS + i, dist.cpus[0], dist.model));
  const direct = dist.v4 !== null && dist.v4.isSupported ? yield* initV4(dist) : 0;
  if (direct < 0) return direct;
  for (let i = 0; i < dist.cpus.length; i++) enableCpuInterface(dist, dist.cpus[i]);
  if (dist.hasIts && dist.lruTranslations !== null) yield* dist.lruTranslations.allocate(dist.cpus.length);
  const error = yield* vm.installDefaultRouting(dist.nrSpis);
  if (error === 0) dist.initialized = true;
  return error;
}

/** GICv2 initialises itself on first use, GICv3 answers -EBUSY (gic-v3.md A9.2, A12). */
export function* ensureInitialized(dist: VgicDist): Step<number> {
  yield reads(dist, "initialized");
  if (dist.initialized) return 0;
  if (dist.model === 3) return -EBUSY;
  yield* dist.configLock.lock();
  const error = yield* initVgic(dist);
  yield* dist.configLock.unlock();
  return error;
}

/** The CPU interface at reset: everything masked, both groups off, no active priority (gic-v3.md A10.1). */
function enableCpuInterface(dist: VgicDist, cpu: VgicCpu): void {
  cpu.vmcr = 0;
  cpu.ap0r.fill(0);
  cpu.ap1r.fill(0);
  cpu.sre = dist.model === 3 ? ICC_SRE_VALUE : 0;
  cpu.priorityBits = priorityBitsOf(dist.vtr);
  cpu.idBitsField = idBitsFieldOf(dist.vtr);
}

/**
 * The first KVM_RUN of any vCPU (gic-v3.md A3.8): the addresses must fit together, then the distributor appears on the
 * bus. 0, -ENXIO (an address is missing), -EINVAL (they overlap), -EBUSY (not initialised), or the bus's errno, after
 * which the controller is gone.
 */
export function* mapResources(dist: VgicDist): Step<number> {
  yield reads(dist, "ready");
  if (dist.ready) return 0;
  const { vm } = dist;
  yield* vm.slotsLock.lock();
  yield* dist.configLock.lock();
  let error = dist.ready ? 0 : dist.model === 3 ? checkResourcesV3(dist) : checkResourcesV2(dist);
  if (error === 0 && !dist.initialized) error = dist.model === 3 ? -EBUSY : yield* initVgic(dist);
  yield* dist.configLock.unlock();
  if (error === 0 && !dist.ready) error = yield* registerDistributor(dist);
  if (error === 0 && hasVsgis(dist)) yield* configureVsgis(dist);
  yield* vm.slotsLock.unlock();
  return error;
}

/** slots_lock is held, config_lock is not: the bus waits for its readers, and a register access may want config_lock. */
function* registerDistributor(dist: VgicDist): Step<number> {
  const error = yield* dist.vm.mmioBus.register(dist.distBase, dist.frames.distributorSize, dist.frames.distributor);
  if (error !== 0) yield* destroyLocked(dist);
  else dist.ready = true;
  return error;
}

function checkResourcesV3(dist: VgicDist): number {
  for (let i = 0; i < dist.cpus.length; i++) if (dist.cpus[i].rdBase === VGIC_ADDR_UNDEF) return -ENXIO;
  if (dist.distBase === VGIC_ADDR_UNDEF) return -ENXIO;
  const end = 2 ** dist.vm.ipaBits;
  if (dist.distBase + V3_DIST_SIZE > end) return -EINVAL;
  for (let i = 0; i < dist.redistRegions.length; i++) {
    const region = dist.redistRegions[i];
    const size = region.sizeFor(dist.vm.vcpus.length);
    if (region.base + size > end) return -EINVAL;
    if (overlaps(dist.distBase, V3_DIST_SIZE, region.base, size)) return -EINVAL;
  }
  return 0;
}

function checkResourcesV2(dist: VgicDist): number {
  if (dist.distBase === VGIC_ADDR_UNDEF || dist.cpuInterfaceBase === VGIC_ADDR_UNDEF) return -ENXIO;
  return overlaps(dist.distBase, V2_DIST_SIZE, dist.cpuInterfaceBase, V2_CPU_SIZE) ? -EINVAL : 0;
}

export const overlaps = (a: number, aSize: number, b: number, bSize: number): boolean => a < b + bSize && b < a + aSize;

/** The end of the VM, vCPUs still there (gic-v3.md A3.9, hazard R21). */
export function* destroyVgic(dist: VgicDist): Step<void> {
  yield* dist.vm.slotsLock.lock();
  yield* destroyLocked(dist);
  yield* dist.vm.slotsLock.unlock();
}

function* destroyLocked(dist: VgicDist): Step<void> {
  const { frames } = dist;
  for (let i = 0; i < dist.cpus.length; i++) yield* frames.releaseRedist(dist.cpus[i]);
  if (dist.ready) yield* dist.vm.mmioBus.unregister(dist.distBase, frames.distributor);
  yield* dist.configLock.lock();
  yield* teardownV4(dist);
  dist.ready = false;
  dist.initialized = false;
  dist.spis.length = 0;
  dist.nrSpis = 0;
  dist.redistRegions.length = 0;
  dist.distBase = VGIC_ADDR_UNDEF;
  dist.cpuInterfaceBase = VGIC_ADDR_UNDEF;
  yield* dist.configLock.unlock();
}
