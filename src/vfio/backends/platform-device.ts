import type { KernelModule } from "../../host/module.js";
import type { PlatformDevice } from "../../host/platform-device.js";
import type { Process } from "../../host/process.js";
import { guarded } from "../../sim/access.js";
import { Mutex } from "../../sim/lock.js";
import type { Step } from "../../sim/step.js";
import { EFAULT, EINVAL, ENOTTY } from "../../uapi/errno.js";
import {
  VFIO_DEVICE_FLAGS_AMBA,
  VFIO_DEVICE_FLAGS_PLATFORM,
  VFIO_DEVICE_FLAGS_RESET,
  VFIO_DEVICE_GET_INFO,
  VFIO_DEVICE_GET_IRQ_INFO,
  VFIO_DEVICE_GET_REGION_INFO,
  VFIO_DEVICE_RESET,
  VFIO_DEVICE_SET_IRQS,
  VFIO_IRQ_SET_ACTION_MASK,
  VFIO_IRQ_SET_ACTION_TRIGGER,
  VFIO_IRQ_SET_ACTION_UNMASK,
  vfio_device_info,
  vfio_irq_info,
  vfio_region_info,
} from "../../uapi/vfio.js";
import { UserArgument } from "../../host/user-argument.js";
import type { ForwardableIrq } from "../contract.js";
import { VfioDevice } from "../device.js";
import type { VfioGroup } from "../group.js";
import { IrqSet } from "../set-irqs.js";
import type { Vfio } from "../vfio.js";
import { virqfdsOf } from "../virqfd.js";
import { PlatformIrq } from "./platform-irq.js";
import { PlatformRegion, REGION_SHIFT } from "./platform-region.js";

const argument = new UserArgument(vfio_region_info.size);

/** A device that vfio-platform or vfio-amba holds (vfio.md 16). */
export class VfioPlatformDevice extends VfioDevice {
  readonly isPlatform = true;
  readonly regions: readonly PlatformRegion[];
  readonly irqs: readonly PlatformIrq[];
  /** Serialises the configuration of all interrupts of the device. */
  readonly igate: Mutex;
  private readonly request = new IrqSet();
  /**
   * What vfio-platform tells the validator an index holds: the number of indexes, not the 1 of each
   * (drivers/vfio/platform/vfio_platform_common.c), so that its own handlers refuse a start or a count beyond.
   */
  private readonly countOf = (): number => this.irqs.length;

  constructor(
    vfio: Vfio,
    private readonly device: PlatformDevice,
    group: VfioGroup,
    module: KernelModule,
    private readonly resetRequired: boolean,
    requestsAtTrigger: boolean,
  ) {
    super(vfio, device.name, group, vfio.newSetLock(), module);
    this.igate = new Mutex(vfio.sim, "vfio_platform.igate");
    this.regions = device.resources.map((resource, index) => new PlatformRegion(vfio.sim, device.name, resource, index));
    this.irqs = device.irqs.map((irq, index) => new PlatformIrq(vfio.host, virqfdsOf(vfio.host), this.igate, device.name, index, irq, requestsAtTrigger));
  }

  protected override *openDevice(): Step<number> {
    for (let i = 0; i < this.irqs.length; i++) yield* this.irqs[i].open();
    const result = yield* this.reset();
    if (result === 0 || !this.resetRequired) return 0;
    yield* this.quiesce();
    return result;
  }

  protected override *closeDevice(): Step<void> {
    for (let i = 0; i < this.regions.length; i++) yield* this.regions[i].revoke();
    yield* this.reset();
    yield* this.quiesce();
  }

  private *quiesce(): Step<void> {
    for (let i = 0; i < this.irqs.length; i++) yield* this.irqs[i].close();
  }

  /** -EINVAL without a reset method. */
  private *reset(): Step<number> {
    return this.device.reset === null ? -EINVAL : yield* this.device.reset.reset();
  }

  override forwardable(index: number, subindex: number): ForwardableIrq | null {
    return subindex === 0 && index < this.irqs.length ? this.irqs[index] : null;
  }

  override *ioctl(process: Process, request: number, address: number): Step<number> {
    switch (request) {
      case VFIO_DEVICE_GET_INFO:
        return this.getInfo(process, address);
      case VFIO_DEVICE_GET_REGION_INFO:
        return this.getRegionInfo(process, address);
      case VFIO_DEVICE_GET_IRQ_INFO:
        return this.getIrqInfo(process, address);
      case VFIO_DEVICE_SET_IRQS:
        return yield* this.setIrqs(process, address);
      case VFIO_DEVICE_RESET:
        return yield* this.reset();
      default:
        return -ENOTTY;
    }
  }

  private getInfo(process: Process, address: number): number {
    const { view } = argument;
    const { argsz, flags, num_regions, num_irqs, minsz } = vfio_device_info;
    if (!argument.copyIn(process, address, minsz)) return -EFAULT;
    if (argsz.get(view) < minsz) return -EINVAL;
    const bus = this.device.isAmba ? VFIO_DEVICE_FLAGS_AMBA : VFIO_DEVICE_FLAGS_PLATFORM;
    flags.set(view, this.device.reset === null ? bus : bus | VFIO_DEVICE_FLAGS_RESET);
    num_regions.set(view, this.regions.length);
    num_irqs.set(view, this.irqs.length);
    return argument.copyOut(process, address, minsz) ? 0 : -EFAULT;
  }

  private getRegionInfo(process: Process, address: number): number {
    const { view } = argument;
    const { argsz, flags, index, size_, offset, minsz } = vfio_region_info;
    if (!argument.copyIn(process, address, minsz)) return -EFAULT;
    const wanted = index.get(view);
    if (argsz.get(view) < minsz || wanted >= this.regions.length) return -EINVAL;
    const region = this.regions[wanted];
    flags.set(view, region.flags);
    size_.setNumber(view, region.size);
    offset.setNumber(view, wanted * REGION_SHIFT);
    return argument.copyOut(process, address, minsz) ? 0 : -EFAULT;
  }

  private getIrqInfo(process: Process, address: number): number {
    const { view } = argument;
    const { argsz, flags, index, count, minsz } = vfio_irq_info;
    if (!argument.copyIn(process, address, minsz)) return -EFAULT;
    const wanted = index.get(view);
    if (argsz.get(view) < minsz || wanted >= this.irqs.length) return -EINVAL;
    flags.set(view, this.irqs[wanted].flags);
    count.set(view, 1);
    return argument.copyOut(process, address, minsz) ? 0 : -EFAULT;
  }

  private *setIrqs(process: Process, address: number): Step<number> {
    yield* this.igate.lock();
    const { request } = this;
    let result = request.decode(process, address, this.irqs.length, this.countOf);
    if (result === 0) result = yield* this.dispatch(process, request);
    yield* this.igate.unlock();
    return result;
  }

  private *dispatch(process: Process, request: IrqSet): Step<number> {
    const irq = this.irqs[request.index];
    // The open went on without the line; each use of it tells why (polling drivers can live without).
    if (irq.requestError !== 0) return irq.requestError;
    switch (request.action) {
      case VFIO_IRQ_SET_ACTION_MASK:
        return yield* irq.setMask(process, request);
      case VFIO_IRQ_SET_ACTION_UNMASK:
        return yield* irq.setUnmask(process, request);
      case VFIO_IRQ_SET_ACTION_TRIGGER:
        return yield* irq.setTrigger(process, request);
      default:
        return -ENOTTY;
    }
  }

  override *read(process: Process, address: number, length: number, offset: number): Step<number> {
    const region = this.regionAt(offset);
    return region === null ? -EINVAL : yield* region.read(process, address, length, offset % REGION_SHIFT);
  }

  override *write(process: Process, address: number, length: number, offset: number): Step<number> {
    const region = this.regionAt(offset);
    return region === null ? -EINVAL : yield* region.write(process, address, length, offset % REGION_SHIFT);
  }

  override *mmap(process: Process, length: number, offset: number, isShared: boolean): Step<number> {
    const region = isShared ? this.regionAt(offset) : null;
    return region === null ? -EINVAL : region.mmap(process, length, offset % REGION_SHIFT);
  }

  private regionAt(offset: number): PlatformRegion | null {
    return this.regions[Math.floor(offset / REGION_SHIFT)] ?? null;
  }
}
guarded(VfioPlatformDevice, (device) => device.igate, "request");
