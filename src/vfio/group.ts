import type { IommuGroup } from "../host/iommu/group.js";
import type { Process } from "../host/process.js";
import { guarded, shared, writes } from "../sim/access.js";
import type { Hazards } from "../sim/hazards.js";
import { Mutex } from "../sim/lock.js";
import type { Sim } from "../sim/sim.js";
import type { Step } from "../sim/step.js";
import { EBADF, EBADFD, EBUSY, EINVAL, EMFILE, ENODEV, EPERM } from "../uapi/errno.js";
import { type VfioContainer, VfioContainerFile } from "./container.js";
import type { VfioDevice } from "./device.js";
import { VfioGroupFile } from "./group-file.js";
import { IommufdFile } from "./iommufd/context.js";

/** The devices of one IOMMU group that VFIO drivers hold (vfio.md 1.1). Its lock is group_lock. */
export class VfioGroup {
  readonly lock: Mutex;
  /** Registered devices; opens and lookups see it under `deviceLock`. */
  private readonly devices: VfioDevice[] = [];
  private readonly deviceLock: Mutex;
  /** Registered devices that still count: 0 means the IOMMU group is gone. */
  private drivers = 0;
  private openedFile: VfioGroupFile | null = null;
  private container: VfioContainer | null = null;
  /** 1 for the container, and 1 for each opened device. */
  private containerUsers = 0;
  /** In place of a container: an iommufd, with a reference to its file. */
  private iommufd: IommufdFile | null = null;
  /** Devices that are open by their character device: as long as there is one, the group's file cannot be. */
  private cdevOpenCount = 0;
  private readonly hazards: Hazards;
  /** The VM that tracks the group's file. */
  private kvm: object | null = null;

  constructor(
    sim: Sim,
    readonly iommuGroup: IommuGroup,
    /** Made for a device that no IOMMU guards (19): it can reach all memory. */
    readonly isNoIommu = false,
  ) {
    this.hazards = sim.hazards;
    this.lock = new Mutex(sim, "vfio_group.group_lock");
    this.deviceLock = new Mutex(sim, "vfio_group.device_lock");
  }

  /** open(2) of /dev/vfio/N. */
  *open(process: Process): Step<number> {
    if (!process.hasFreeDescriptor()) return -EMFILE;
    const file = yield* this.openFile(process);
    if (typeof file === "number") return file;
    const fd = process.install(file);
    // Another thread has taken the last descriptor meanwhile.
    if (fd < 0) yield* file.put();
    return fd;
  }

  /** Its one file, or -ENODEV, -EPERM, -EBUSY in this order (4.2). */
  *openFile(process: Process): Step<VfioGroupFile | number> {
    yield* this.lock.lock();
    let result: VfioGroupFile | number;
    if (this.drivers === 0) result = -ENODEV;
    else if (this.isNoIommu && !process.capabilities.has("SYS_RAWIO")) result = -EPERM;
    else if (this.cdevOpenCount > 0 || this.openedFile !== null) result = -EBUSY;
    else result = this.openedFile = new VfioGroupFile(this);
    yield* this.lock.unlock();
    return result;
  }

  /** The last reference to the group's file is gone: device files hold it, so none is open any more (vfio.md 5.1). */
  *fileReleased(): Step<void> {
    yield* this.lock.lock();
    const iommufd = yield* this.detach();
    this.openedFile = null;
    yield* this.lock.unlock();
    yield* this.setKvm(null);
    if (iommufd !== null) yield* iommufd.put();
  }

  /** Lock held: from container or iommufd, whose reference the caller drops. */
  private *detach(): Step<IommufdFile | null> {
    const { container, iommufd } = this;
    this.container = null;
    this.iommufd = null;
    this.containerUsers = 0;
    if (container !== null) yield* container.detachGroup(this);
    return iommufd;
  }

  /** Lock held. */
  get hasIommu(): boolean {
    return this.container !== null || this.iommufd !== null;
  }

  /** Lock held. */
  get iommufdFile(): IommufdFile | null {
    return this.iommufd;
  }

  /** A device is opened by its character device: 0, or -EBUSY while the group's file is open. */
  *block(): Step<number> {
    yield* this.lock.lock();
    const isFree = this.openedFile === null;
    if (this.hazards.blockOutsideLock) {
      yield* this.lock.unlock();
      yield* this.lock.lock();
    }
    if (isFree) this.cdevOpenCount++;
    yield* this.lock.unlock();
    return isFree ? 0 : -EBUSY;
  }

  *unblock(): Step<void> {
    yield* this.lock.lock();
    this.cdevOpenCount--;
    yield* this.lock.unlock();
  }

  /** GROUP_GET_STATUS: bit 0 viable, bit 1 in a container; or -ENODEV. */
  *status(): Step<number> {
    yield* this.lock.lock();
    let flags = 0;
    if (this.drivers === 0) flags = -ENODEV;
    else {
      const isViable = yield* this.isViable();
      if (this.hasIommu) flags = this.iommuGroup.hasDmaOwnership || isViable ? 3 : 2;
      else flags = isViable ? 1 : 0;
    }
    yield* this.lock.unlock();
    return flags;
  }

  /** May user space have it: nobody's DMA is the host's (2.5), or, before that was kept, no member's driver is (2.6). */
  private *isViable(): Step<boolean> {
    if (!this.iommuGroup.hasDmaOwnership) return yield* this.iommuGroup.hasNoHostDriver();
    return !(yield* this.iommuGroup.isDmaOwnerClaimed());
  }

  /** GROUP_SET_CONTAINER, in the order of vfio.md 4.4. */
  *setContainer(process: Process, fd: number): Step<number> {
    const file = fd < 0 ? null : yield* process.fdget(fd);
    if (file === null) return -EBADF;
    yield* this.lock.lock();
    let result = -EBADFD;
    const isTaken = this.hasIommu;
    if (this.hazards.joinUnasked) {
      yield* this.lock.unlock();
      yield* this.lock.lock();
    }
    if (isTaken) result = -EINVAL;
    else if (this.drivers === 0) result = -ENODEV;
    else if (file instanceof VfioContainerFile) result = yield* this.attach(process, file.container);
    else if (file instanceof IommufdFile) result = yield* this.attachIommufd(file);
    yield* this.lock.unlock();
    yield* file.put();
    return result;
  }

  /** The same for a container that no descriptor names: 0, -EINVAL, -ENODEV, or as {@link setContainer}. */
  *enter(process: Process, container: VfioContainer): Step<number> {
    yield* this.lock.lock();
    let result = -EINVAL;
    if (this.drivers === 0) result = -ENODEV;
    else if (!this.hasIommu) result = yield* this.attach(process, container);
    yield* this.lock.unlock();
    return result;
  }

  private *attach(process: Process, container: VfioContainer): Step<number> {
    if (this.isNoIommu && !process.capabilities.has("SYS_RAWIO")) return -EPERM;
    if (!this.iommuGroup.hasDmaOwnership && (yield* container.iommu()) !== null && !(yield* this.isViable())) return -EINVAL;
    const result = yield* container.attachGroup(this);
    if (result !== 0) return result;
    this.container = container;
    this.containerUsers = 1;
    return 0;
  }

  private *attachIommufd(file: IommufdFile): Step<number> {
    const result = yield* file.context.useForGroup(this.isNoIommu);
    if (result !== 0) return result;
    file.get();
    this.iommufd = file;
    return 0;
  }

  *unsetContainer(): Step<number> {
    yield* this.lock.lock();
    let iommufd: IommufdFile | null = null;
    const result = this.mayLeave();
    if (this.hazards.unsetUnasked) {
      yield* this.lock.unlock();
      yield* this.lock.lock();
    }
    if (result === 0) iommufd = yield* this.detach();
    yield* this.lock.unlock();
    if (iommufd !== null) yield* iommufd.put();
    return result;
  }

  /** Lock held. Open devices hold an iommufd themselves, and go on (drivers/vfio/group.c). */
  private mayLeave(): number {
    if (!this.hasIommu) return -EINVAL;
    return this.container !== null && this.containerUsers !== 1 ? -EBUSY : 0;
  }

  /** GROUP_GET_DEVICE_FD: a descriptor, or a negative errno. */
  *deviceFd(process: Process, name: string): Step<number> {
    const device = yield* this.find(name);
    if (typeof device === "number") return device;
    let result = process.hasFreeDescriptor() ? 0 : -EMFILE;
    if (result === 0) {
      const file = yield* device.openFile(process);
      if (typeof file === "number") result = file;
      else {
        result = process.install(file);
        if (result >= 0) return result;
        yield* file.put();
        return result;
      }
    }
    yield* device.put();
    return result;
  }

  /** The device of a name with a reference taken; the search ends at the first match, or error of one. -ENODEV: none. */
  *find(name: string): Step<VfioDevice | number> {
    yield* this.deviceLock.lock();
    let found: VfioDevice | number = -ENODEV;
    for (let i = 0; i < this.devices.length && found === -ENODEV; i++) {
      const match = yield* this.devices[i].matches(name);
      if (match !== 0) found = match > 0 ? this.devices[i] : match;
    }
    if (typeof found !== "number") found.get();
    yield* this.deviceLock.unlock();
    return found;
  }

  /** Lock held, first open of a device: 1 with a use of the container and a reference to the group's file, 0 with an iommufd, -EINVAL, -EPERM. */
  *useContainer(process: Process): Step<number> {
    if (!this.hasIommu || this.openedFile === null) return -EINVAL;
    if (this.container !== null && (yield* this.container.iommu()) === null) return -EINVAL;
    if (this.isNoIommu && !process.capabilities.has("SYS_RAWIO")) return -EPERM;
    if (this.container === null) return 0;
    if (!this.iommuGroup.hasDmaOwnership && !(yield* this.isViable())) return -EINVAL;
    this.openedFile.get();
    this.containerUsers++;
    return 1;
  }

  /** Lock held, last close. The caller drops the returned file after giving the lock back. */
  unuseContainer(): VfioGroupFile | null {
    this.containerUsers--;
    return this.openedFile;
  }

  *addDriver(): Step<void> {
    yield* this.lock.lock();
    this.drivers++;
    yield* this.lock.unlock();
  }

  /** From now on the device is found by its name. */
  *show(device: VfioDevice): Step<void> {
    yield* this.deviceLock.lock();
    this.devices.push(device);
    yield* this.deviceLock.unlock();
  }

  /** The device can no longer be found by name; open files keep working (vfio.md 5.5). */
  *hide(device: VfioDevice): Step<void> {
    yield* this.deviceLock.lock();
    this.devices.splice(this.devices.indexOf(device), 1);
    yield* this.deviceLock.unlock();
  }

  /** A device's unregistration has ended. True: it was the last, and the group has left its container. */
  *removeDriver(): Step<boolean> {
    yield* this.lock.lock();
    this.drivers--;
    const isLast = this.drivers === 0;
    const iommufd = isLast ? yield* this.detach() : null;
    yield* this.lock.unlock();
    if (iommufd !== null) yield* iommufd.put();
    return isLast;
  }

  /** What a VM that tracks the file leaves for devices opened later. */
  *setKvm(vm: object | null): Step<void> {
    yield writes(this, "kvm");
    this.kvm = vm;
  }

  *trackingKvm(): Step<object | null> {
    yield writes(this, "kvm");
    return this.kvm;
  }

  /** The counters of vfio.md 1.2, for invariants. */
  *counters(): Step<{ drivers: number; openedFile: number; containerUsers: number }> {
    yield* this.lock.lock();
    const all = { drivers: this.drivers, openedFile: this.openedFile === null ? 0 : 1, containerUsers: this.containerUsers };
    yield* this.lock.unlock();
    return all;
  }
}
guarded(VfioGroup, (group) => group.lock, "drivers", "openedFile", "container", "containerUsers", "iommufd", "cdevOpenCount");
shared(VfioGroup, "kvm");
