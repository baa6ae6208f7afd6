import { File } from "../host/file.js";
import { DmaFaults } from "../host/iommu/faults.js";
import type { Process } from "../host/process.js";
import { reads, shared, writes } from "../sim/access.js";
import type { Hazards } from "../sim/hazards.js";
import { Lifetime } from "../sim/lifetime.js";
import { Mutex } from "../sim/lock.js";
import type { Sim } from "../sim/sim.js";
import type { Step } from "../sim/step.js";
import { EINVAL, ENODEV, EPERM } from "../uapi/errno.js";
import { VFIO_API_VERSION, VFIO_CHECK_EXTENSION, VFIO_GET_API_VERSION, VFIO_SET_IOMMU } from "../uapi/vfio.js";
import { VFIO_IOMMU_TAKE_FAULT } from "../uapi/vfio-fault.js";
import type { VfioGroup } from "./group.js";
import type { IommuBackend, IommuInstance } from "./iommu/backend.js";
import { takeFault } from "./take-fault.js";

/**
 * One I/O address space that groups share (vfio.md 4.1). It outlives its file while groups are attached; its IOMMU goes
 * when the last group leaves, and with it every mapping.
 */
export class VfioContainer {
  /** container.group_lock. */
  readonly lock: Mutex;
  private readonly groups: VfioGroup[] = [];
  private readonly faults = new DmaFaults();
  private instance: IommuInstance | null = null;
  private readonly hazards: Hazards;
  private readonly lifetime = new Lifetime("container");
  private isFileOpen = true;

  /** @param backends asked in the order of registration, latest first */
  constructor(
    sim: Sim,
    private readonly backends: readonly IommuBackend[],
  ) {
    this.hazards = sim.hazards;
    this.lock = new Mutex(sim, "vfio_container.group_lock");
    this.lifetime.spans(this, this.lock);
  }

  /** Its file is closed: it lives on with the groups that are in it. */
  *fileReleased(): Step<void> {
    yield* this.lock.lock();
    this.isFileOpen = false;
    const isLast = this.groups.length === 0;
    yield* this.lock.unlock();
    if (isLast) this.lifetime.free();
  }

  *ioctl(process: Process, request: number, argument: number): Step<number> {
    if (request === VFIO_GET_API_VERSION) return VFIO_API_VERSION;
    if (request === VFIO_CHECK_EXTENSION) return yield* this.checkExtension(argument);
    if (request === VFIO_SET_IOMMU) return yield* this.setIommu(process, argument);
    if (this.hazards.ioctlOutsideLock) return yield* this.instanceIoctl(process, request, argument);
    // Or the last group leaves meanwhile, and the IOMMU's memory is given back under the request.
    yield* this.lock.lock();
    const result = yield* this.instanceIoctl(process, request, argument);
    yield* this.lock.unlock();
    return result;
  }

  private *instanceIoctl(process: Process, request: number, argument: number): Step<number> {
    const instance = yield* this.iommu();
    if (instance === null) return -EINVAL;
    if (request === VFIO_IOMMU_TAKE_FAULT) return yield* takeFault(this.faults, process, argument);
    return yield* instance.ioctl(process, request, argument);
  }

  /** The IOMMU instance, or null. */
  *iommu(): Step<IommuInstance | null> {
    yield reads(this, "instance");
    return this.instance;
  }

  private *checkExtension(extension: number): Step<number> {
    yield* this.lock.lock();
    const instance = yield* this.iommu();
    let answer = 0;
    if (instance !== null) answer = yield* instance.checkExtension(extension);
    else for (let i = this.backends.length - 1; i >= 0 && answer <= 0; i--) if (this.suits(this.backends[i])) answer = Math.max(0, this.backends[i].checkExtension(extension));
    yield* this.lock.unlock();
    return answer;
  }

  /** Groups that an IOMMU guards and groups that none does are never together: the first decides for the backends. Lock held. */
  private suits(backend: IommuBackend): boolean {
    return this.groups.length === 0 || this.groups[0].isNoIommu === backend.isNoIommu;
  }

  private *setIommu(process: Process, type: number): Step<number> {
    yield* this.lock.lock();
    let result = -EINVAL;
    if (this.groups.length > 0 && (yield* this.iommu()) === null) {
      result = -ENODEV;
      for (let i = this.backends.length - 1; i >= 0 && result !== 0; i--)
        if (this.suits(this.backends[i]) && this.backends[i].checkExtension(type) > 0) result = yield* this.tryBackend(process, this.backends[i], type);
    }
    yield* this.lock.unlock();
    return result;
  }

  private *tryBackend(process: Process, backend: IommuBackend, type: number): Step<number> {
    const instance = backend.open(type, process);
    if (typeof instance === "number") return instance;
    let result = 0;
    let attached = 0;
    while (attached < this.groups.length && result === 0) {
      result = yield* instance.attachGroup(this.groups[attached].iommuGroup);
      if (result === 0) attached++;
    }
    if (result === 0) {
      yield* this.setInstance(instance);
      return 0;
    }
    while (attached-- > 0) yield* instance.detachGroup(this.groups[attached].iommuGroup);
    yield* instance.release();
    return result;
  }

  private *setInstance(instance: IommuInstance | null): Step<void> {
    yield writes(this, "instance");
    this.instance = instance;
  }

  /** Takes a group in, and its DMA with it: 0, -EPERM, -EBUSY, -EINVAL or the IOMMU's error. The group's lock is held. */
  *attachGroup(group: VfioGroup): Step<number> {
    const before = this.hazards.iommuOutsideLock ? yield* this.iommu() : null;
    yield* this.lock.lock();
    let result = this.groups.length > 0 && this.groups[0].isNoIommu !== group.isNoIommu ? -EPERM : 0;
    if (result === 0 && !group.isNoIommu) result = yield* group.iommuGroup.claimDmaOwner(group, this.faults);
    if (result === 0) {
      const instance = this.hazards.iommuOutsideLock ? before : yield* this.iommu();
      if (instance !== null) result = yield* instance.attachGroup(group.iommuGroup);
      if (result === 0) this.groups.push(group);
      else if (!group.isNoIommu) yield* group.iommuGroup.releaseDmaOwner();
    }
    yield* this.lock.unlock();
    return result;
  }

  /** The group's lock is held. */
  *detachGroup(group: VfioGroup): Step<void> {
    yield* this.lock.lock();
    const instance = yield* this.iommu();
    if (instance !== null) yield* instance.detachGroup(group.iommuGroup);
    if (!group.isNoIommu) yield* group.iommuGroup.releaseDmaOwner();
    this.groups.splice(this.groups.indexOf(group), 1);
    if (instance !== null && this.groups.length === 0 && !this.hazards.keepInstance) {
      yield* this.setInstance(null);
      yield* instance.release();
    }
    const isLast = !this.isFileOpen && this.groups.length === 0;
    yield* this.lock.unlock();
    if (isLast) this.lifetime.free();
  }
}
shared(VfioContainer, "instance");

/** `/dev/vfio/vfio`, opened. */
export class VfioContainerFile extends File {
  readonly kind = "vfio-container";

  constructor(readonly container: VfioContainer) {
    super();
  }

  override *ioctl(process: Process, request: number, argument: number): Step<number> {
    return yield* this.container.ioctl(process, request, argument);
  }

  override *release(): Step<void> {
    yield* this.container.fileReleased();
  }
}
