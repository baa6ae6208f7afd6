import type { IommuGroup } from "../host/iommu-group.js";
import type { Process } from "../host/process.js";
import { guarded, shared, writes } from "../sim/access.js";
import { Mutex } from "../sim/lock.js";
import type { Sim } from "../sim/sim.js";
import type { Step } from "../sim/step.js";
import { EBADF, EBADFD, EBUSY, EINVAL, EMFILE, ENODEV } from "../uapi/errno.js";
import { type VfioContainer, VfioContainerFile } from "./container.js";
import type { VfioDevice } from "./device.js";
import { VfioGroupFile } from "./group-file.js";

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
  /** The VM that tracks the group's file. */
  private kvm: object | null = null;

  constructor(
    sim: Sim,
    readonly iommuGroup: IommuGroup,
  ) {
    this.lock = new Mutex(sim, "vfio_group.group_lock");
    this.deviceLock = new Mutex(sim, "vfio_group.device_lock");
  }

  /** open(2) of /dev/vfio/N. */
  *open(process: Process): Step<number> {
    yield* this.lock.lock();
    let result = 0;
    if (this.drivers === 0) result = -ENODEV;
    else if (this.openedFile !== null) result = -EBUSY;
    else {
      const file = new VfioGroupFile(this);
      result = process.install(file);
      if (result >= 0) this.openedFile = file;
    }
    yield* this.lock.unlock();
    return result;
  }

  /** The last reference to the group's file is gone: device files hold it, so none is open any more (vfio.md 5.1). */
  *fileReleased(): Step<void> {
    yield* this.lock.lock();
    if (this.container !== null) yield* this.detach(this.container);
    this.openedFile = null;
    yield* this.lock.unlock();
    yield* this.setKvm(null);
  }

  /** Lock held. */
  private *detach(container: VfioContainer): Step<void> {
    yield* container.detachGroup(this);
    this.container = null;
    this.containerUsers = 0;
  }

  /** GROUP_GET_STATUS: bit 0 viable, bit 1 in a container; or -ENODEV. */
  *status(): Step<number> {
    yield* this.lock.lock();
    let flags = 0;
    if (this.drivers === 0) flags = -ENODEV;
    else if (this.container !== null) flags = 3;
    else if (!(yield* this.iommuGroup.isDmaOwnerClaimed())) flags = 1;
    yield* this.lock.unlock();
    return flags;
  }

  /** GROUP_SET_CONTAINER, in the order of vfio.md 4.4. */
  *setContainer(process: Process, fd: number): Step<number> {
    const file = fd < 0 ? null : yield* process.fdget(fd);
    if (file === null) return -EBADF;
    yield* this.lock.lock();
    let result = 0;
    if (this.container !== null) result = -EINVAL;
    else if (this.drivers === 0) result = -ENODEV;
    else if (!(file instanceof VfioContainerFile)) result = -EBADFD;
    else {
      result = yield* file.container.attachGroup(this);
      if (result === 0) {
        this.container = file.container;
        this.containerUsers = 1;
      }
    }
    yield* this.lock.unlock();
    yield* file.put();
    return result;
  }

  *unsetContainer(): Step<number> {
    yield* this.lock.lock();
    let result = 0;
    if (this.container === null) result = -EINVAL;
    else if (this.containerUsers !== 1) result = -EBUSY;
    else yield* this.detach(this.container);
    yield* this.lock.unlock();
    return result;
  }

  /** GROUP_GET_DEVICE_FD: a descriptor, or a negative errno. */
  *deviceFd(process: Process, name: string): Step<number> {
    const device = yield* this.find(name);
    if (typeof device === "number") return device;
    let result = process.hasFreeDescriptor() ? 0 : -EMFILE;
    if (result === 0) {
      const file = yield* device.openFile();
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
  private *find(name: string): Step<VfioDevice | number> {
    yield* this.deviceLock.lock();
    let found: VfioDevice | number = -ENODEV;
    for (let i = 0; i < this.devices.length && found === -ENODEV; i++) {
      const match = this.devices[i].matches(name);
      if (match !== 0) found = match > 0 ? this.devices[i] : match;
    }
    if (typeof found !== "number") found.get();
    yield* this.deviceLock.unlock();
    return found;
  }

  /** Lock held, first open of a device: takes a use of the container and a reference to the group's file. 0 or -EINVAL. */
  *useContainer(): Step<number> {
    if (this.container === null || this.openedFile === null || (yield* this.container.iommu()) === null) return -EINVAL;
    this.openedFile.get();
    this.containerUsers++;
    return 0;
  }

  /** Lock held, last close. The caller drops the returned file after giving the lock back. */
  unuseContainer(): VfioGroupFile | null {
    this.containerUsers--;
    return this.openedFile;
  }

  /** Lock held. */
  get hasContainer(): boolean {
    return this.container !== null;
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
    if (isLast && this.container !== null) yield* this.detach(this.container);
    yield* this.lock.unlock();
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
guarded(VfioGroup, (group) => group.lock, "drivers", "openedFile", "container", "containerUsers");
shared(VfioGroup, "kvm");
