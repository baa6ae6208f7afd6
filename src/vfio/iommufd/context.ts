import type { DeviceNode } from "../../host/device-nodes.js";
import { File } from "../../host/file.js";
import { DmaFaults } from "../../host/iommu/faults.js";
import type { IommuGroup } from "../../host/iommu/group.js";
import type { Process } from "../../host/process.js";
import { guarded } from "../../sim/access.js";
import { Lifetime } from "../../sim/lifetime.js";
import { Mutex } from "../../sim/lock.js";
import type { Sim } from "../../sim/sim.js";
import type { Step } from "../../sim/step.js";
import { EINVAL, ENODEV, ENOENT, EPERM } from "../../uapi/errno.js";
import { IOMMUFD_CMD_BASE } from "../../uapi/iommufd.js";
import { _IOC_NR } from "../../uapi/ioctl.js";
import { VFIO_IOMMU_TAKE_FAULT } from "../../uapi/vfio-fault.js";
import { takeFault } from "../take-fault.js";
import { compatIoctl } from "./compat.js";
import { IommufdDevice } from "./device.js";
import { type Hwpt, Ioas } from "./ioas.js";
import { nativeIoctl } from "./native.js";

/** Module parameters of iommufd. */
export interface IommufdOptions {
  /** Devices that could forge messages are bound all the same (vfio.md 20.1). Default false. */
  readonly allowUnsafeInterrupts?: boolean;
}

/** A page table: the kernel made it for the attach of a device, or a user. */
export interface HwptObject {
  readonly kind: "hwpt";
  readonly ioas: Ioas;
  readonly hwpt: Hwpt;
}

export type IommufdObject = { readonly kind: "ioas"; readonly ioas: Ioas } | { readonly kind: "device"; readonly device: IommufdDevice } | HwptObject;

/** What one open of /dev/iommu has: objects by number, from 1 on (vfio.md 6, 19). It outlives its file while devices are bound. */
export class IommufdContext {
  readonly lock: Mutex;
  private readonly lifetime = new Lifetime("iommufd context");
  private readonly faults = new DmaFaults();
  private readonly objects = new Map<number, IommufdObject>();
  private compat: Ioas | null = null;
  private isNoIommu = false;
  /** IOMMU_OPTION_RLIMIT_MODE: kept for who asks; virq's processes have one account each. */
  countsByProcess = false;
  /** Page tables in use, by group: all devices of a group have the same. */
  private readonly groups = new Map<IommuGroup, { attached: HwptObject; devices: number }>();

  constructor(
    readonly sim: Sim,
    private readonly options: IommufdOptions,
  ) {
    this.lock = new Mutex(sim, "iommufd_ctx.lock");
    this.lifetime.spans(this, this.lock);
  }

  /** Lock held: the lowest free number. */
  private newId(): number {
    let id = 1;
    while (this.objects.has(id)) id++;
    return id;
  }

  /** Lock held. */
  find(id: number): IommufdObject | null {
    return this.objects.get(id) ?? null;
  }

  /** Lock held: null where the number is of something else, or of nothing. */
  ioas(id: number): Ioas | null {
    const object = this.find(id);
    return object?.kind === "ioas" ? object.ioas : null;
  }

  /** Lock held. */
  newIoas(): Ioas {
    const ioas = new Ioas(this.sim, this.newId());
    this.objects.set(ioas.id, { kind: "ioas", ioas });
    return ioas;
  }

  /** Lock held. */
  destroy(id: number): void {
    const object = this.objects.get(id);
    if (object?.kind === "ioas" && object.ioas === this.compat) this.compat = null;
    this.objects.delete(id);
    if (object?.kind === "ioas") object.ioas.lifetime.free();
  }

  /** Lock held: a user's own, of a group's IOMMU, or {@link Ioas.newHwpt}'s errno. */
  *newHwpt(ioas: Ioas, group: IommuGroup, isTracked: boolean): Step<Hwpt | number> {
    yield* ioas.lock.lock();
    const hwpt = yield* ioas.newHwpt(group, this.newId(), { isAuto: false, isTracked });
    yield* ioas.lock.unlock();
    if (typeof hwpt !== "number") this.objects.set(hwpt.id, { kind: "hwpt", ioas, hwpt });
    return hwpt;
  }

  /** Lock held. False: devices are attached, or the kernel has it for them. */
  *destroyHwpt(id: number): Step<boolean> {
    const object = this.find(id);
    if (object?.kind !== "hwpt") return false;
    const { ioas, hwpt } = object;
    yield* ioas.lock.lock();
    const isFree = !hwpt.isAuto && hwpt.groups.length === 0;
    if (isFree) yield* ioas.removeHwpt(hwpt);
    yield* ioas.lock.unlock();
    if (isFree) this.objects.delete(id);
    return isFree;
  }

  /** Lock held. */
  get isEmpty(): boolean {
    return this.objects.size === 0;
  }

  // --- what VFIO's container ioctls act on ---

  /** Lock held: null where no group has come yet. */
  get compatIoas(): Ioas | null {
    return this.compat;
  }

  set compatIoas(ioas: Ioas | null) {
    this.compat = ioas;
  }

  /** A group is put into this context in place of a container: the compat address space exists from then on. 0, -EINVAL. */
  *useForGroup(isNoIommu: boolean): Step<number> {
    yield* this.lock.lock();
    let result = 0;
    if (isNoIommu ? this.compat !== null : this.isNoIommu) result = -EINVAL;
    else if (isNoIommu) this.isNoIommu = true;
    else this.compat ??= this.newIoas();
    yield* this.lock.unlock();
    return result;
  }

  // --- devices ---

  /** iommufd_device_bind: the device, whose id users see; -EINVAL, -EPERM, or what the DMA ownership says (vfio.md 2.5). */
  *bind(group: IommuGroup): Step<IommufdDevice | number> {
    if (!group.isCoherent) return -EINVAL;
    if (!group.isMsiIsolated && !(this.options.allowUnsafeInterrupts ?? false)) return -EPERM;
    const claimed = yield* group.claimDeviceOwner(this, this.faults);
    if (claimed !== 0) return claimed;
    yield* this.lock.lock();
    const device = new IommufdDevice(this, group, this.newId());
    this.objects.set(device.id, { kind: "device", device });
    yield* this.lock.unlock();
    return device;
  }

  *unbind(device: IommufdDevice): Step<void> {
    yield* this.lock.lock();
    yield* this.detachLocked(device);
    this.objects.delete(device.id);
    yield* this.lock.unlock();
    yield* device.group.releaseDeviceOwner();
    device.lifetime.free();
  }

  /** By number of an address space or of a page table: the page table's number; -ENOENT, -EINVAL, or {@link Ioas.attach}'s. */
  *attach(device: IommufdDevice, id: number): Step<number> {
    yield* this.lock.lock();
    const object = this.find(id);
    let result = -ENOENT;
    if (object !== null) result = object.kind === "device" ? -EINVAL : yield* this.attachTo(device, object.ioas, object.kind === "hwpt" ? object : null);
    yield* this.lock.unlock();
    return result;
  }

  /** To the compat address space, for a device that was opened by its group. */
  *attachCompat(device: IommufdDevice): Step<number> {
    yield* this.lock.lock();
    const result = this.compat === null ? -ENODEV : yield* this.attachTo(device, this.compat, null);
    yield* this.lock.unlock();
    return result;
  }

  private *attachTo(device: IommufdDevice, ioas: Ioas, wanted: HwptObject | null): Step<number> {
    const before = this.groups.get(device.group);
    const isThere = before !== undefined && before.attached.ioas === ioas && (wanted === null ? before.attached.hwpt.isAuto : wanted.hwpt === before.attached.hwpt);
    if (isThere) {
      if (!device.isAttached) before.devices++;
      device.isAttached = true;
      return before.attached.hwpt.id;
    }
    // A group is one for the IOMMU: a device attaches where its siblings are, and one that is attached takes them with it.
    if (before !== undefined && !device.isAttached) return -EINVAL;
    // One domain takes the place of the other, and there is no moment without (iommu_group_replace_domain, Linux addb665924f3).
    if (this.sim.hazards.replaceByBlocking) yield* device.group.attach(null);
    const hwpt = yield* ioas.attach(device.group, () => this.newId(), wanted?.hwpt ?? null);
    if (typeof hwpt === "number") return hwpt;
    const attached: HwptObject = { kind: "hwpt", ioas, hwpt };
    if (before !== undefined) yield* this.drop(device.group, before.attached);
    this.objects.set(hwpt.id, this.objects.get(hwpt.id) ?? attached);
    this.groups.set(device.group, { attached, devices: before?.devices ?? 1 });
    device.isAttached = true;
    return hwpt.id;
  }

  private *drop(group: IommuGroup, { ioas, hwpt }: HwptObject): Step<void> {
    if (yield* ioas.detach(group, hwpt)) this.objects.delete(hwpt.id);
  }

  *detach(device: IommufdDevice): Step<void> {
    yield* this.lock.lock();
    yield* this.detachLocked(device);
    yield* this.lock.unlock();
  }

  private *detachLocked(device: IommufdDevice): Step<void> {
    const entry = this.groups.get(device.group);
    if (!device.isAttached || entry === undefined) return;
    device.isAttached = false;
    if (--entry.devices > 0) return;
    this.groups.delete(device.group);
    yield* this.drop(device.group, entry.attached);
  }

  /** Is the group owned through this context? */
  *owns(group: IommuGroup): Step<boolean> {
    return yield* group.isOwnedBy(this);
  }

  *ioctl(process: Process, request: number, argument: number): Step<number> {
    if (request === VFIO_IOMMU_TAKE_FAULT) return yield* takeFault(this.faults, process, argument);
    if (_IOC_NR(request) >= IOMMUFD_CMD_BASE) return yield* nativeIoctl(this, process, request, argument);
    return yield* compatIoctl(this, process, request, argument);
  }

  /** The file is closed: devices hold it, so that none is bound. What is mapped goes. */
  *release(): Step<void> {
    yield* this.lock.lock();
    const objects = [...this.objects.values()];
    for (let i = 0; i < objects.length; i++) {
      const object = objects[i];
      if (object.kind !== "hwpt") continue;
      yield* object.ioas.lock.lock();
      yield* object.ioas.removeHwpt(object.hwpt);
      yield* object.ioas.lock.unlock();
    }
    for (const object of objects) if (object.kind === "ioas") object.ioas.lifetime.free();
    this.objects.clear();
    this.compat = null;
    yield* this.lock.unlock();
    this.lifetime.free();
  }
}
guarded(IommufdContext, (context) => context.lock, "compat", "isNoIommu");

/** /dev/iommu, opened. */
export class IommufdFile extends File {
  readonly kind = "iommufd";

  constructor(readonly context: IommufdContext) {
    super();
  }

  override *ioctl(process: Process, request: number, argument: number): Step<number> {
    return yield* this.context.ioctl(process, request, argument);
  }

  override *release(): Step<void> {
    yield* this.context.release();
  }
}

/** The node /dev/iommu. */
export class IommufdNode implements DeviceNode {
  constructor(
    private readonly sim: Sim,
    private readonly options: IommufdOptions,
  ) {}

  *open(process: Process): Step<number> {
    return process.install(new IommufdFile(new IommufdContext(this.sim, this.options)));
  }
}
