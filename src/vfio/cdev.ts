import type { DeviceNode } from "../host/device-nodes.js";
import type { Process } from "../host/process.js";
import { UserArgument } from "../host/user-argument.js";
import type { Step } from "../sim/step.js";
import { EFAULT, EINVAL, EMFILE, EOPNOTSUPP } from "../uapi/errno.js";
import {
  VFIO_DEVICE_ATTACH_IOMMUFD_PT,
  VFIO_DEVICE_ATTACH_PASID,
  VFIO_DEVICE_BIND_FLAG_TOKEN,
  VFIO_DEVICE_BIND_IOMMUFD,
  VFIO_DEVICE_DETACH_IOMMUFD_PT,
  vfio_device_attach_iommufd_pt,
  vfio_device_bind_iommufd,
  vfio_device_detach_iommufd_pt,
} from "../uapi/vfio.js";
import { VfioDeviceFile } from "./contract.js";
import type { VfioDevice } from "./device.js";
import type { IommufdDevice } from "./iommufd/device.js";

const bindArgument = new UserArgument(vfio_device_bind_iommufd.size);
const attachArgument = new UserArgument(vfio_device_attach_iommufd_pt.size);

/** `/dev/vfio/devices/vfioN`, opened (vfio.md 6): nothing but a number until it is bound to an iommufd. */
export class VfioCdevFile extends VfioDeviceFile {
  readonly kind = "vfio-device";
  kvm: object | null = null;
  /** Written under the device set's lock, once: what the file is bound as. */
  private bound: IommufdDevice | null = null;

  constructor(readonly device: VfioDevice) {
    super();
  }

  override *ioctl(process: Process, request: number, address: number): Step<number> {
    if (request === VFIO_DEVICE_BIND_IOMMUFD) return yield* this.bind(process, address);
    const { bound } = this;
    if (bound === null) return -EINVAL;
    if (request === VFIO_DEVICE_ATTACH_IOMMUFD_PT) return yield* attach(bound, process, address);
    if (request === VFIO_DEVICE_DETACH_IOMMUFD_PT) return yield* detach(bound, process, address);
    return yield* this.device.handle(process, request, address);
  }

  private *bind(process: Process, address: number): Step<number> {
    const layout = vfio_device_bind_iommufd;
    const { view } = bindArgument;
    if (!bindArgument.copyIn(process, address, layout.minsz)) return -EFAULT;
    const flags = layout.flags.get(view);
    const fd = layout.iommufd.get(view);
    const argsz = layout.argsz.get(view);
    if (argsz < layout.minsz || (flags & ~VFIO_DEVICE_BIND_FLAG_TOKEN) !== 0 || fd < 0) return -EINVAL;
    let token: string | null = null;
    if (flags !== 0) {
      if (argsz < layout.size) return -EINVAL;
      if (!bindArgument.copyIn(process, address)) return -EFAULT;
      const uuid = readUuid(process, layout.token_uuid_ptr.getNumber(view));
      if (uuid === null) return -EFAULT;
      token = uuid;
    }
    const bound = yield* this.device.bindFile(this, token, process, fd);
    if (typeof bound === "number") return bound;
    if (!process.memory.isWritable(address + layout.out_devid.offset, 4)) {
      yield* this.device.unbindFile();
      return -EFAULT;
    }
    process.memory.setU32(address + layout.out_devid.offset, bound.id);
    this.bound = bound;
    return 0;
  }

  /** Set lock held. */
  get isBound(): boolean {
    return this.bound !== null;
  }

  override *read(process: Process, address: number, length: number, offset: number | null): Step<number> {
    return offset === null || this.bound === null ? -EINVAL : yield* this.device.read(process, address, length, offset);
  }

  override *write(process: Process, address: number, length: number, offset: number | null): Step<number> {
    return offset === null || this.bound === null ? -EINVAL : yield* this.device.writeUnlessStopped(process, address, length, offset);
  }

  override *mmap(process: Process, length: number, offset: number, isShared: boolean): Step<number> {
    return this.bound === null ? -EINVAL : yield* this.device.mmap(process, length, offset, isShared);
  }

  override *setKvm(vm: object | null): Step<void> {
    this.kvm = vm;
  }

  override enforcesCoherency(): boolean {
    return this.device.group.iommuGroup.enforcesCoherency;
  }

  override *release(): Step<void> {
    const { bound } = this;
    this.bound = null;
    if (bound !== null) yield* this.device.unbindFile();
    yield* this.device.put();
  }
}

function readUuid(process: Process, address: number): string | null {
  if (!process.memory.isReadable(address, 16)) return null;
  let hex = "";
  for (let i = 0; i < 16; i++) hex += process.memory.getU8(address + i).toString(16).padStart(2, "0");
  return hex;
}

/** The page table's id is written back. */
function* attach(device: IommufdDevice, process: Process, address: number): Step<number> {
  const { argsz, flags, pt_id, minsz, size } = vfio_device_attach_iommufd_pt;
  const { view } = attachArgument;
  if (!attachArgument.copyIn(process, address, minsz)) return -EFAULT;
  const given = argsz.get(view);
  if (given < minsz || (flags.get(view) & ~VFIO_DEVICE_ATTACH_PASID) !== 0) return -EINVAL;
  if (flags.get(view) !== 0) return given < size ? -EINVAL : -EOPNOTSUPP;
  const result = yield* device.attach(pt_id.get(view));
  if (result < 0) return result;
  if (!process.memory.isWritable(address + pt_id.offset, 4)) {
    yield* device.detach();
    return -EFAULT;
  }
  process.memory.setU32(address + pt_id.offset, result);
  return 0;
}

function* detach(device: IommufdDevice, process: Process, address: number): Step<number> {
  const { argsz, flags, minsz, size } = vfio_device_detach_iommufd_pt;
  const { view } = attachArgument;
  if (!attachArgument.copyIn(process, address, minsz)) return -EFAULT;
  const given = argsz.get(view);
  if (given < minsz || (flags.get(view) & ~VFIO_DEVICE_ATTACH_PASID) !== 0) return -EINVAL;
  if (flags.get(view) !== 0) return given < size ? -EINVAL : -EOPNOTSUPP;
  yield* device.detach();
  return 0;
}

/** The character device of one VFIO device: each open is a file of its own. */
export class VfioCdevNode implements DeviceNode {
  constructor(private readonly device: VfioDevice) {}

  *open(process: Process): Step<number> {
    if (!process.hasFreeDescriptor()) return -EMFILE;
    this.device.get();
    return process.install(new VfioCdevFile(this.device));
  }
}
