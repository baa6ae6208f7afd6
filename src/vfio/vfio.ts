import type { DeviceNode, DeviceNodes } from "../host/device-nodes.js";
import type { IommuGroup } from "../host/iommu-group.js";
import type { Host } from "../host/machine.js";
import type { Process } from "../host/process.js";
import { Mutex } from "../sim/lock.js";
import type { Sim } from "../sim/sim.js";
import type { Step } from "../sim/step.js";
import { VfioContainer, VfioContainerFile } from "./container.js";
import { VfioGroup } from "./group.js";
import type { IommuBackend } from "./iommu/backend.js";
import { VirqfdQueues } from "./virqfd.js";

/** The VFIO core of one host: its backends, its groups, the nodes `/dev/vfio/vfio` and `/dev/vfio/N`. */
export class Vfio {
  readonly sim: Sim;
  readonly virqfds: VirqfdQueues;
  private readonly backends: IommuBackend[] = [];
  private readonly groups: VfioGroup[] = [];
  private readonly groupsLock: Mutex;

  constructor(
    readonly host: Host,
    private readonly nodes: DeviceNodes,
  ) {
    this.sim = host.sim;
    this.groupsLock = new Mutex(host.sim, "vfio.group_lock");
    this.virqfds = new VirqfdQueues(host.sim, host.events);
    nodes.register("/dev/vfio/vfio", new ContainerNode(this.sim, this.backends));
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

  /** A driver's probe: a device joins its group, which is made, with its node, for the first. */
  *join(iommuGroup: IommuGroup): Step<VfioGroup> {
    yield* this.groupsLock.lock();
    let group = this.groupOf(iommuGroup);
    if (group === null) {
      group = new VfioGroup(this.sim, iommuGroup);
      this.groups.push(group);
      this.nodes.register(`/dev/vfio/${iommuGroup.id}`, group);
    }
    yield* group.addDriver();
    yield* this.groupsLock.unlock();
    return group;
  }

  /** A device has left. Without the last one the node stays for whoever knows the path, and answers ENODEV until one comes back. */
  *leave(group: VfioGroup): Step<void> {
    yield* this.groupsLock.lock();
    const wasLast = yield* group.removeDriver();
    if (wasLast) this.groups.splice(this.groups.indexOf(group), 1);
    yield* this.groupsLock.unlock();
  }
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
