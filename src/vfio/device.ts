import type { File } from "../host/file.js";
import type { KernelModule } from "../host/module.js";
import type { Process } from "../host/process.js";
import { guarded, type Waitable, writes } from "../sim/access.js";
import { Context, current } from "../sim/context.js";
import { Lifetime } from "../sim/lifetime.js";
import type { Mutex } from "../sim/lock.js";
import type { Sim } from "../sim/sim.js";
import type { Step } from "../sim/step.js";
import { EBADF, EBADFD, EINVAL, EIO, ENODEV, ENOTTY } from "../uapi/errno.js";
import { VFIO_DEVICE_FEATURE } from "../uapi/vfio.js";
import type { VfioCdevFile } from "./cdev.js";
import type { ForwardableIrq, ForwardingDevice } from "./contract.js";
import { VfioDevicePathFile } from "./device-file.js";
import { deviceFeature } from "./feature.js";
import type { FeatureCall } from "./feature-call.js";
import type { IommufdDevice } from "./iommufd/device.js";
import { type IommufdContext, IommufdFile } from "./iommufd/context.js";
import type { DmaLog } from "./migration/dma-log.js";
import type { Migration } from "./migration/migration.js";
import type { VfioGroup } from "./group.js";
import type { Vfio } from "./vfio.js";

/** The reference that it has to itself while it is registered. */
const REGISTRATION = 1;

/**
 * A device that a VFIO driver holds: what the core knows of it, whatever its bus (vfio.md 1.1, 5). Backends say how it
 * opens, closes and answers.
 */
export abstract class VfioDevice implements ForwardingDevice {
  abstract readonly isPlatform: boolean;
  /** Held by open files and forwarding nodes; the registration is not counted. */
  private holders = 0;
  /** Of its memory: until it is unregistered, and nobody holds it. */
  private readonly lifetime: Lifetime;
  private openCount = 0;
  /** The VM that is told of the device, from its first open to its last close. */
  kvm: object | null = null;
  /** Of a device that is open through an iommufd: what it is there. */
  private iommufd: IommufdDevice | null = null;
  /** The file of that iommufd, with a reference. */
  private iommufdFile: IommufdFile | null = null;
  /** Opened by a group in a container, which it holds, and not by one in an iommufd. */
  private usesContainer = false;
  /** Open by its character device, not by its group. */
  private isCdev = false;
  /** What it can of migration and of logging its DMA; null, the default, nothing. */
  readonly migration: Migration | null = null;
  readonly dmaLog: DmaLog | null = null;

  /**
   * @param setLock dev_set.lock of the devices that are reset together: opens and closes exclude each other
   * @param module of its driver, which stays loaded while the device is open
   */
  constructor(
    protected readonly vfio: Vfio,
    readonly name: string,
    readonly group: VfioGroup,
    readonly setLock: Mutex,
    private readonly module: KernelModule,
  ) {
    this.lifetime = new Lifetime("VFIO device", name);
    this.lifetime.spans(this);
  }

  /** First open: 0 or a negative errno, with nothing left behind. */
  protected abstract openDevice(): Step<number>;
  /** Last close: quiet on return. */
  protected abstract closeDevice(): Step<void>;
  /** A request that the core does not answer; -ENOTTY for an unknown one. */
  protected abstract ioctl(process: Process, request: number, argument: number): Step<number>;
  abstract forwardable(index: number, subindex: number): ForwardableIrq | null;

  /** A request on an open device (vfio.md 7.1). */
  *handle(process: Process, request: number, argument: number): Step<number> {
    if (request === VFIO_DEVICE_FEATURE) return yield* deviceFeature(this, this.vfio.lastFeature, process, argument);
    return yield* this.ioctl(process, request, argument);
  }

  /** A feature that is the backend's own (15.1). */
  *feature(_call: FeatureCall): Step<number> {
    return -ENOTTY;
  }

  /** May whoever has this token, or none, open the device (4.6)? 0, -EINVAL, -EACCES. */
  *checkToken(token: string | null): Step<number> {
    return token === null ? 0 : -EINVAL;
  }

  /** Does GET_DEVICE_FD's string name this device? 1 or 0, or a negative errno that ends the search (4.6). */
  *matches(name: string): Step<number> {
    return name === this.name ? 1 : 0;
  }

  /** The bus has a way to ask the user to let go. */
  readonly canAsk: boolean = false;

  /** Asks the user to let go, for the `count`-th time. */
  *askForRelease(_count: number): Step<void> {}

  /** Set lock held: is any file on the device open? */
  get isOpen(): boolean {
    return this.openCount > 0;
  }

  *read(_process: Process, _address: number, _length: number, _offset: number): Step<number> {
    return -EINVAL;
  }

  *write(_process: Process, _address: number, _length: number, _offset: number): Step<number> {
    return -EINVAL;
  }

  /** write(2), which a migration may keep out: {@link write}'s result, or -EIO. */
  *writeUnlessStopped(process: Process, address: number, length: number, offset: number): Step<number> {
    const { migration } = this;
    if (migration === null || length === 0) return yield* this.write(process, address, length, offset);
    if (!(yield* migration.beginWrite())) return -EIO;
    const result = yield* this.write(process, address, length, offset);
    yield* migration.endWrite();
    return result;
  }

  *mmap(_process: Process, _length: number, _offset: number, _isShared: boolean): Step<number> {
    return -EINVAL;
  }

  get references(): number {
    return this.holders;
  }

  get(): void {
    this.lifetime.raise(REGISTRATION + this.holders);
    this.holders++;
  }

  *put(): Step<void> {
    yield writes(this, "holders");
    this.lifetime.lower(REGISTRATION + --this.holders);
  }

  /** A file on the device, which takes over the caller's reference; or a negative errno. */
  *openFile(process: Process): Step<VfioDevicePathFile | number> {
    yield* this.group.lock.lock();
    yield* this.setLock.lock();
    let result = 0;
    if (!this.group.hasIommu) result = -EINVAL;
    else if (this.openCount === 0) result = yield* this.firstOpen(process);
    if (result === 0) this.openCount++;
    yield* this.setLock.unlock();
    yield* this.group.lock.unlock();
    return result === 0 ? new VfioDevicePathFile(this) : result;
  }

  /** The driver's code stays from the first open to the last close: false while its module is going (4.6, 5.1). */
  private *holdModule(): Step<boolean> {
    return this.vfio.sim.hazards.openUnheld || (yield* this.module.tryGet());
  }

  private *dropModule(): Step<void> {
    if (!this.vfio.sim.hazards.openUnheld) yield* this.module.put();
  }

  private *firstOpen(process: Process): Step<number> {
    if (!(yield* this.holdModule())) return -ENODEV;
    const result = yield* this.openByGroup(process);
    if (result !== 0) yield* this.dropModule();
    return result;
  }

  private *openByGroup(process: Process): Step<number> {
    const used = yield* this.group.useContainer(process);
    if (used < 0) return used;
    this.usesContainer = used > 0;
    this.kvm = yield* this.group.trackingKvm();
    const file = this.group.isNoIommu ? null : this.group.iommufdFile;
    const result = file === null ? yield* this.openDevice() : yield* this.openOn(file, true);
    if (result !== 0) {
      this.kvm = null;
      const groupFile = this.usesContainer ? this.group.unuseContainer() : null;
      // Never the last reference: the ioctl in flight holds the group's file.
      if (groupFile !== null) yield* groupFile.put();
    }
    return result;
  }

  private *openByItself(file: VfioCdevFile, iommufd: IommufdFile): Step<number> {
    if (!(yield* this.holdModule())) return -ENODEV;
    this.kvm = file.kvm;
    const result = yield* this.openOn(iommufd, false);
    if (result === 0) return 0;
    this.kvm = null;
    yield* this.dropModule();
    return result;
  }

  /** Bound before it is opened, so that nobody else owns its DMA; by its group, it gets the compat address space at once. */
  private *openOn(file: IommufdFile, isCompat: boolean): Step<number> {
    const bound = yield* file.context.bind(this.group.iommuGroup);
    if (typeof bound === "number") return bound;
    let result = yield* this.openDevice();
    if (result === 0 && isCompat) {
      const attached = yield* file.context.attachCompat(bound);
      if (attached < 0) {
        yield* this.closeDevice();
        result = attached;
      }
    }
    if (result !== 0) {
      yield* bound.unbind();
      return result;
    }
    file.get();
    this.iommufd = bound;
    this.iommufdFile = file;
    return 0;
  }

  /** The iommufd's file, whose reference the caller drops. */
  private *close(): Step<IommufdFile | null> {
    const { iommufd, iommufdFile } = this;
    yield* this.closeDevice();
    this.iommufd = null;
    this.iommufdFile = null;
    this.kvm = null;
    if (iommufd !== null) yield* iommufd.unbind();
    yield* this.dropModule();
    return iommufdFile;
  }

  /**
   * A file of the character device is bound to an iommufd (vfio.md 6): what it is there, or -EBUSY while the group's file
   * is open, -EINVAL for a second bind or a device that another file has, the token's, the descriptor's, or the open's error.
   */
  *bindFile(file: VfioCdevFile, token: string | null, process: Process, fd: number): Step<IommufdDevice | number> {
    let result = yield* this.group.block();
    if (result !== 0) return result;
    let iommufd: File | null = null;
    yield* this.setLock.lock();
    result = file.isBound ? -EINVAL : yield* this.checkToken(token);
    if (result === 0) {
      // Held until the end: another thread may close the descriptor meanwhile (iommufd_ctx_from_fd).
      iommufd = this.vfio.sim.hazards.bindUnheld ? process.file(fd) : yield* process.fdget(fd);
      if (iommufd === null) result = -EBADF;
      else if (!(iommufd instanceof IommufdFile)) result = -EBADFD;
      else if (this.openCount > 0) result = -EINVAL;
      else result = yield* this.openByItself(file, iommufd);
    }
    if (result === 0) {
      this.openCount = 1;
      this.isCdev = true;
    }
    const bound = this.iommufd;
    yield* this.setLock.unlock();
    if (iommufd !== null && !this.vfio.sim.hazards.bindUnheld) yield* iommufd.put();
    if (result === 0 && bound !== null) return bound;
    yield* this.group.unblock();
    return result;
  }

  *unbindFile(): Step<void> {
    yield* this.setLock.lock();
    this.isCdev = false;
    this.openCount = 0;
    const file = yield* this.close();
    yield* this.setLock.unlock();
    yield* this.group.unblock();
    if (file !== null) yield* file.put();
  }

  /** Set lock held: where the device is bound, if it is open by its character device. */
  get cdevContext(): IommufdContext | null {
    return this.isCdev ? (this.iommufdFile?.context ?? null) : null;
  }

  /** Set lock held: its id in an iommufd; 0 where it is not bound there. */
  idIn(context: IommufdContext): number {
    return this.iommufd?.context === context ? this.iommufd.id : 0;
  }

  /** A file on the device is gone. The last one closes the device, then lets go of the group's file (vfio.md 5.1). */
  *fileReleased(): Step<void> {
    let groupFile: File | null = null;
    let iommufdFile: IommufdFile | null = null;
    yield* this.group.lock.lock();
    yield* this.setLock.lock();
    if (--this.openCount === 0) {
      iommufdFile = yield* this.close();
      if (this.usesContainer) groupFile = this.group.unuseContainer();
    }
    yield* this.setLock.unlock();
    yield* this.group.lock.unlock();
    if (groupFile !== null) yield* groupFile.put();
    if (iommufdFile !== null) yield* iommufdFile.put();
    yield* this.put();
  }

  /**
   * The driver's remove: the device cannot be found any more, and the caller blocks until the last file on it is closed;
   * its user is asked at once, and then every ten seconds (vfio.md 5.5). Never fails.
   */
  *unregister(): Step<void> {
    const { sim } = this.vfio;
    if (!sim.hazards.hideLate) yield* this.group.hide(this);
    const requester = this.canAsk && this.references > 0 ? new Requester(sim, this) : null;
    if (requester !== null) yield* requester.body();
    yield* sim.wait(new LetGo(this));
    if (sim.hazards.hideLate) yield* this.group.hide(this);
    this.vfio.removeCdev(this);
    if (requester !== null) sim.cancel(requester);
    yield* this.vfio.leave(this.group);
    this.lifetime.free();
  }
}

const REQUEST_PERIOD_NS = 10e9;

/** Asks again and again, as long as anybody is left who could answer. */
class Requester extends Context {
  private count = 0;

  constructor(
    private readonly sim: Sim,
    private readonly device: VfioDevice,
  ) {
    super(`request ${device.name}`, "timer", current().cpu);
  }

  override *body(): Step<void> {
    yield* this.device.askForRelease(this.count++);
    if (this.count === 1 || !this.sim.isQuiet()) this.sim.wake(this, REQUEST_PERIOD_NS);
  }
}

/** Nobody holds the device any more. */
class LetGo implements Waitable {
  constructor(private readonly device: VfioDevice) {}
  isOpen(): boolean {
    return this.device.references === 0;
  }
}
guarded(VfioDevice, (device) => device.setLock, "openCount", "iommufd", "iommufdFile", "isCdev", "usesContainer");
