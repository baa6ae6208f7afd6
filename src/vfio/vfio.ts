import type { DeviceNode, DeviceNodes } from "../host/device-nodes.js";
import { IommuGroup } from "../host/iommu/group.js";
import type { Host } from "../host/machine.js";
import type { Process } from "../host/process.js";
import { Mutex } from "../sim/lock.js";
import type { Sim } from "../sim/sim.js";
import type { Step } from "../sim/step.js";
import { EINVAL } from "../uapi/errno.js";
import { VFIO_DEVICE_FEATURE_MASK } from "../uapi/vfio.js";
import { VfioCdevNode } from "./cdev.js";
import { VfioContainer, VfioContainerFile } from "./container.js";
import type { VfioDevice } from "./device.js";
import { VfioGroup } from "./group.js";
import type { IommuBackend } from "./iommu/backend.js";
import { NoIommuBackend } from "./iommu/noiommu.js";
import { IommufdNode, type IommufdOptions } from "./iommufd/context.js";

/** Module parameters of vfio and iommufd. */
export interface VfioOptions extends IommufdOptions {
  /** Devices without an IOMMU get groups of their own, for who may do anything anyway (vfio.md 19). Default false. */
  readonly enableUnsafeNoiommuMode?: boolean;
  /** /dev/iommu (Linux 6.2), and nodes of the devices' own (6.6). Default true. */
  readonly hasIommufd?: boolean;
  /** The DEVICE_FEATURE with the highest number that this kernel has heard of; default all. */
  readonly lastFeature?: number;
  /** Other files than today's for groups and what they lead to: {@link draft2011}. */
  readonly abi?: NewVfioAbi;
}

/** An interface to user space in place of container, group and device files. */
export interface VfioAbi {
  /** /dev/vfio/N. */
  nodeOf(group: VfioGroup): DeviceNode;
}
export type NewVfioAbi = (sim: Sim, newContainer: () => VfioContainer) => VfioAbi;

/** The VFIO core of one host: its backends, its groups, the nodes `/dev/vfio/vfio`, `/dev/vfio/N`, `/dev/vfio/devices/vfioN`, `/dev/iommu`. */
export class Vfio {
  readonly sim: Sim;
  private readonly backends: IommuBackend[] = [];
  private readonly groups: VfioGroup[] = [];
  private readonly groupsLock: Mutex;
  readonly lastFeature: number;
  private readonly abi: VfioAbi | null;
  private readonly hasIommufd: boolean;
  /** By number, the lowest free first. */
  private readonly cdevs: (VfioDevice | null)[] = [];

  constructor(
    readonly host: Host,
    private readonly nodes: DeviceNodes,
    private readonly options: VfioOptions = {},
  ) {
    this.sim = host.sim;
    this.groupsLock = new Mutex(host.sim, "vfio.group_lock");
    this.abi = options.abi?.(this.sim, () => new VfioContainer(this.sim, this.backends)) ?? null;
    this.lastFeature = options.lastFeature ?? VFIO_DEVICE_FEATURE_MASK;
    this.hasIommufd = this.abi === null && (options.hasIommufd ?? true);
    if (this.abi === null) nodes.register("/dev/vfio/vfio", new ContainerNode(this.sim, this.backends));
    if (this.hasIommufd) nodes.register("/dev/iommu", new IommufdNode(this.sim, options));
    if (options.enableUnsafeNoiommuMode) this.registerIommu(new NoIommuBackend());
  }

  /** A kind of IOMMU that containers may be given; the latest registered is asked first. */
  registerIommu(backend: IommuBackend): void {
    this.backends.push(backend);
  }

  /** The lock of a device set. */
  newSetLock(): Mutex {
    return new Mutex(this.sim, "vfio_device_set.lock");
  }

  /** The group of an IOMMU group, or null while no VFIO driver holds a member. */
  groupOf(iommuGroup: IommuGroup): VfioGroup | null {
    return this.groups.find((group) => group.iommuGroup === iommuGroup) ?? null;
  }

  /**
   * A driver's probe: a device joins its group, which is made, with its node, for the first. Without an IOMMU group, or with
   * one whose DMA is not coherent, -EINVAL, unless the host was told to take the former all the same.
   */
  *join(iommuGroup: IommuGroup | null): Step<VfioGroup | number> {
    if (iommuGroup === null && !this.options.enableUnsafeNoiommuMode) return -EINVAL;
    if (iommuGroup !== null && !iommuGroup.isCoherent) return -EINVAL;
    yield* this.groupsLock.lock();
    let group = iommuGroup === null ? null : this.groupOf(iommuGroup);
    if (group === null) {
      group = new VfioGroup(this.sim, iommuGroup ?? new IommuGroup(this.sim, this.freeGroupId()), iommuGroup === null);
      // Its user has all memory within reach of a device.
      if (group.isNoIommu) this.host.taintUser();
      this.groups.push(group);
      this.nodes.register(pathOf(group), this.abi?.nodeOf(group) ?? group);
    }
    yield* group.addDriver();
    yield* this.groupsLock.unlock();
    return group;
  }

  /** Above the numbers that the host's IOMMUs gave. */
  private freeGroupId(): number {
    return this.groups.reduce((next, group) => Math.max(next, group.iommuGroup.id + 1), 0);
  }

  /** A device may be opened, by its group or by itself. */
  *show(device: VfioDevice): Step<void> {
    yield* device.group.show(device);
    if (device.group.isNoIommu || !this.hasIommufd) return;
    const free = this.cdevs.indexOf(null);
    const number = free < 0 ? this.cdevs.length : free;
    this.cdevs[number] = device;
    this.nodes.register(`/dev/vfio/devices/vfio${number}`, new VfioCdevNode(device));
  }

  /** The number of a device's character device, as /sys/bus/B/devices/X/vfio-dev shows it; -1 without one. */
  cdevOf(device: VfioDevice): number {
    return this.cdevs.indexOf(device);
  }

  /** Its name there; null without one. */
  cdevNameOf(device: VfioDevice): string | null {
    const number = this.cdevOf(device);
    return number < 0 ? null : `vfio${number}`;
  }

  removeCdev(device: VfioDevice): void {
    const number = this.cdevOf(device);
    if (number < 0) return;
    this.cdevs[number] = null;
    this.nodes.remove(`/dev/vfio/devices/vfio${number}`);
  }

  /** A device has left. Without the last one the node stays for whoever knows the path, and answers ENODEV until one comes back. */
  *leave(group: VfioGroup): Step<void> {
    yield* this.groupsLock.lock();
    const wasLast = yield* group.removeDriver();
    if (wasLast) this.groups.splice(this.groups.indexOf(group), 1);
    yield* this.groupsLock.unlock();
  }
}

function pathOf({ isNoIommu, iommuGroup }: VfioGroup): string {
  return `/dev/vfio/${isNoIommu ? "noiommu-" : ""}${iommuGroup.id}`;
}

class ContainerNode implements DeviceNode {
  constructor(
    private readonly sim: Sim,
    private readonly backends: readonly IommuBackend[],
  ) {}

  *open(process: Process): Step<number> {
    return process.install(new VfioContainerFile(new VfioContainer(this.sim, this.backends)));
  }
}
