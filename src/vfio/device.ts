import type { File } from "../host/file.js";
import type { Process } from "../host/process.js";
import { guarded, type Waitable, writes } from "../sim/access.js";
import { Context, current } from "../sim/context.js";
import type { Mutex } from "../sim/lock.js";
import type { Sim } from "../sim/sim.js";
import type { Step } from "../sim/step.js";
import { EINVAL } from "../uapi/errno.js";
import type { ForwardableIrq, ForwardingDevice } from "./contract.js";
import { VfioDevicePathFile } from "./device-file.js";
import type { VfioGroup } from "./group.js";
import type { Vfio } from "./vfio.js";

/**
 * A device that a VFIO driver holds: what the core knows of it, whatever its bus (vfio.md 1.1, 5). Backends say how it
 * opens, closes and answers.
 */
export abstract class VfioDevice implements ForwardingDevice {
  abstract readonly isPlatform: boolean;
  /** Held by open files and forwarding nodes; the registration is not counted. */
  private holders = 0;
  private openCount = 0;
  /** The VM that is told of the device, from its first open to its last close. */
  kvm: object | null = null;

  /** @param setLock dev_set.lock of the devices that are reset together: opens and closes exclude each other */
  constructor(
    protected readonly vfio: Vfio,
    readonly name: string,
    readonly group: VfioGroup,
    readonly setLock: Mutex,
  ) {}

  /** First open: 0 or a negative errno, with nothing left behind. */
  protected abstract openDevice(): Step<number>;
  /** Last close: quiet on return. */
  protected abstract closeDevice(): Step<void>;
  abstract ioctl(process: Process, request: number, argument: number): Step<number>;
  abstract forwardable(index: number, subindex: number): ForwardableIrq | null;

  /** Does GET_DEVICE_FD's string name this device? 1 or 0, or a negative errno that ends the search (4.6). */
  matches(name: string): number {
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

  *mmap(_process: Process, _length: number, _offset: number, _isShared: boolean): Step<number> {
    return -EINVAL;
  }

  get references(): number {
    return this.holders;
  }

  get(): void {
    this.holders++;
  }

  *put(): Step<void> {
    yield writes(this, "holders");
    this.holders--;
  }

  /** A file on the device, which takes over the caller's reference; or a negative errno. */
  *openFile(): Step<VfioDevicePathFile | number> {
    yield* this.group.lock.lock();
    yield* this.setLock.lock();
    let result = 0;
    if (!this.group.hasContainer) result = -EINVAL;
    else if (this.openCount === 0) result = yield* this.firstOpen();
    if (result === 0) this.openCount++;
    yield* this.setLock.unlock();
    yield* this.group.lock.unlock();
    return result === 0 ? new VfioDevicePathFile(this) : result;
  }

  private *firstOpen(): Step<number> {
    let result = yield* this.group.useContainer();
    if (result !== 0) return result;
    this.kvm = yield* this.group.trackingKvm();
    result = yield* this.openDevice();
    if (result !== 0) {
      this.kvm = null;
      const file = this.group.unuseContainer();
      // Never the last reference: the ioctl in flight holds the group's file.
      if (file !== null) yield* file.put();
    }
    return result;
  }

  /** A file on the device is gone. The last one closes the device, then lets go of the group's file (vfio.md 5.1). */
  *fileReleased(): Step<void> {
    let groupFile: File | null = null;
    yield* this.group.lock.lock();
    yield* this.setLock.lock();
    if (--this.openCount === 0) {
      yield* this.closeDevice();
      this.kvm = null;
      groupFile = this.group.unuseContainer();
    }
    yield* this.setLock.unlock();
    yield* this.group.lock.unlock();
    if (groupFile !== null) yield* groupFile.put();
    yield* this.put();
  }

  /**
   * The driver's remove: the device cannot be found any more, and the caller blocks until the last file on it is closed;
   * its user is asked at once, and then every ten seconds (vfio.md 5.5). Never fails.
   */
  *unregister(): Step<void> {
    yield* this.group.hide(this);
    const { sim } = this.vfio;
    const requester = this.canAsk && this.references > 0 ? new Requester(sim, this) : null;
    if (requester !== null) yield* requester.body();
    yield* sim.wait(new LetGo(this));
    if (requester !== null) sim.cancel(requester);
    yield* this.vfio.leave(this.group);
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
guarded(VfioDevice, (device) => device.setLock, "openCount");
