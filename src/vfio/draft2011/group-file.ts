import type { DeviceNode } from "../../host/device-nodes.js";
import { File } from "../../host/file.js";
import type { Process } from "../../host/process.js";
import { UserArgument } from "../../host/user-argument.js";
import { Mutex } from "../../sim/lock.js";
import type { Sim } from "../../sim/sim.js";
import type { Step } from "../../sim/step.js";
import { EBADF, EBUSY, EFAULT, EINVAL, EMFILE, ENODEV, ENOTTY, EPERM } from "../../uapi/errno.js";
import * as draft from "../../uapi/vfio-draft.js";
import { VfioPciDevice } from "../backends/pci/device.js";
import type { VfioContainer } from "../container.js";
import type { VfioGroup } from "../group.js";
import { readName } from "../group-file.js";
import type { NewVfioAbi, VfioAbi } from "../vfio.js";
import { AddressSpace, DraftGroup } from "./address-space.js";
import { DraftDeviceFile } from "./device-file.js";
import { DraftIommuFile } from "./iommu-file.js";

const argument = new UserArgument(draft.draft_group_info.size);

/** `new Vfio(host, nodes, { abi: draft2011 })`: what the December 2011 series proposed (vfio.md 21.6). */
export const draft2011: NewVfioAbi = (sim, newContainer) => new Draft2011(sim, newContainer);

/** VFIO as the December 2011 series proposed it, over the core of today (vfio.md 21.6). */
export class Draft2011 implements VfioAbi {
  /** vfio.lock: one for everything. */
  readonly lock: Mutex;

  constructor(
    sim: Sim,
    private readonly newContainer: () => VfioContainer,
  ) {
    this.lock = new Mutex(sim, "vfio.lock");
  }

  /** /dev/vfio/N. */
  nodeOf(group: VfioGroup): DeviceNode {
    const space = new AddressSpace(this.newContainer);
    const member = new DraftGroup(group, space);
    space.add(member);
    return new DraftGroupNode(this, member);
  }
}

class DraftGroupNode implements DeviceNode {
  constructor(
    private readonly vfio: Draft2011,
    private readonly group: DraftGroup,
  ) {}

  /** Any number of times. -ENODEV while no driver of VFIO's has a member. */
  *open(process: Process): Step<number> {
    if ((yield* this.group.core.status()) < 0) return -ENODEV;
    yield* this.vfio.lock.lock();
    const fd = process.install(new DraftGroupFile(this.vfio, this.group));
    if (fd >= 0) this.group.files++;
    yield* this.vfio.lock.unlock();
    return fd;
  }
}

/** A group, opened: it merges, and gives out files for the address space and for devices. */
export class DraftGroupFile extends File {
  readonly kind = "vfio-draft-group";

  constructor(
    private readonly vfio: Draft2011,
    readonly group: DraftGroup,
  ) {
    super();
  }

  override *ioctl(process: Process, request: number, address: number): Step<number> {
    yield* this.vfio.lock.lock();
    const result = yield* this.answer(process, request, address);
    yield* this.vfio.lock.unlock();
    return result;
  }

  private *answer(process: Process, request: number, address: number): Step<number> {
    if (request === draft.DRAFT_GROUP_GET_INFO) return yield* this.getInfo(process, address);
    const { owner } = this.group.space;
    if (owner !== null && owner !== process) return -EPERM;
    switch (request) {
      case draft.DRAFT_GROUP_MERGE:
        return yield* this.merge(process, address);
      case draft.DRAFT_GROUP_UNMERGE:
        return yield* this.unmerge();
      case draft.DRAFT_GROUP_GET_IOMMU_FD:
        return yield* this.iommuFd(process);
      case draft.DRAFT_GROUP_GET_DEVICE_FD: {
        const name = readName(process, address);
        return typeof name === "number" ? name : yield* this.deviceFd(process, name);
      }
      default:
        return -ENOTTY;
    }
  }

  private *getInfo(process: Process, address: number): Step<number> {
    const { argsz, flags, size } = draft.draft_group_info;
    if (!argument.copyIn(process, address)) return -EFAULT;
    const given = argsz.get(argument.view);
    if (given < size) return -EINVAL;
    const { space } = this.group;
    const viable = (yield* space.isViable()) ? draft.DRAFT_GROUP_FLAGS_VIABLE : 0;
    argsz.set(argument.view, given);
    flags.set(argument.view, viable | (space.owner === null ? 0 : draft.DRAFT_GROUP_FLAGS_MM_LOCKED));
    return argument.copyOut(process, address) ? 0 : -EFAULT;
  }

  /** The other group may not be in use: its files' state could not be kept across the merge. */
  private *merge(process: Process, address: number): Step<number> {
    if (!process.memory.isReadable(address, 4)) return -EFAULT;
    const fd = process.memory.getU32(address) | 0;
    if (fd < 0) return -EINVAL;
    const file = process.file(fd);
    if (file === null) return -EBADF;
    if (!(file instanceof DraftGroupFile) || file.group === this.group || file.group.space === this.group.space) return -EINVAL;
    if (file.group.space.container !== null || file.group.space.groups.length > 1) return -EINVAL;
    return yield* this.group.space.merge(process, file.group);
  }

  private *unmerge(): Step<number> {
    const { group } = this;
    const { space } = group;
    if (space.groups.length === 1) return -EINVAL;
    if (group.devices > 0) return -EBUSY;
    yield* group.leave();
    space.separate(group);
    return 0;
  }

  private *iommuFd(process: Process): Step<number> {
    const { space } = this.group;
    if (!process.hasFreeDescriptor()) return -EMFILE;
    const result = yield* space.open(process);
    if (result !== 0) return result;
    space.files++;
    return process.install(new DraftIommuFile(this.vfio, space));
  }

  /** Of any group that is merged with this one. */
  private *deviceFd(process: Process, name: string): Step<number> {
    const { space } = this.group;
    if (!process.hasFreeDescriptor()) return -EMFILE;
    let result = yield* space.open(process);
    for (let i = 0; i < space.groups.length && result === 0; i++) {
      const member = space.groups[i];
      const device = yield* member.core.find(name);
      if (device === -ENODEV) continue;
      if (typeof device === "number") result = device;
      else if (!(device instanceof VfioPciDevice)) {
        yield* device.put();
        result = -ENODEV;
      } else {
        const file = yield* device.openFile(process);
        if (typeof file === "number") {
          yield* device.put();
          result = file;
        } else {
          member.devices++;
          return process.install(new DraftDeviceFile(this.vfio, member, device, file));
        }
      }
    }
    yield* space.dissolve();
    return result === 0 ? -ENODEV : result;
  }

  override *release(): Step<void> {
    yield* this.vfio.lock.lock();
    this.group.files--;
    yield* this.group.space.dissolve();
    yield* this.vfio.lock.unlock();
  }
}
