import type { Process } from "../host/process.js";
import type { Step } from "../sim/step.js";
import { EFAULT, EINVAL, ENOTTY } from "../uapi/errno.js";
import {
  VFIO_DEVICE_FEATURE,
  VFIO_DEVICE_FEATURE_GET,
  VFIO_DEVICE_FEATURE_MASK,
  VFIO_DEVICE_FEATURE_PROBE,
  VFIO_DEVICE_FEATURE_SET,
  vfio_device_feature,
} from "../uapi/vfio.js";
import { UserArgument } from "../host/user-argument.js";
import { VfioDeviceFile } from "./contract.js";
import type { VfioDevice } from "./device.js";

/** A device opened by its group (vfio.md 4.6, 7.1): opens of one device share its state. */
export class VfioDevicePathFile extends VfioDeviceFile {
  readonly kind = "vfio-device";
  /** The VM that tracks this file. A device opened by its group takes the group's at its first open instead. */
  kvm: object | null = null;

  constructor(readonly device: VfioDevice) {
    super();
  }

  override *ioctl(process: Process, request: number, argument: number): Step<number> {
    if (request === VFIO_DEVICE_FEATURE) return feature(process, argument);
    return yield* this.device.ioctl(process, request, argument);
  }

  override *read(process: Process, address: number, length: number, offset: number | null): Step<number> {
    return offset === null ? -EINVAL : yield* this.device.read(process, address, length, offset);
  }

  override *write(process: Process, address: number, length: number, offset: number | null): Step<number> {
    return offset === null ? -EINVAL : yield* this.device.write(process, address, length, offset);
  }

  override *mmap(process: Process, length: number, offset: number, isShared: boolean): Step<number> {
    return yield* this.device.mmap(process, length, offset, isShared);
  }

  override *setKvm(vm: object | null): Step<void> {
    this.kvm = vm;
  }

  override enforcesCoherency(): boolean {
    return this.device.group.iommuGroup.enforcesCoherency;
  }

  override *release(): Step<void> {
    yield* this.device.fileReleased();
  }
}

const GET_AND_SET = VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_SET;
const KNOWN_FLAGS = VFIO_DEVICE_FEATURE_MASK | GET_AND_SET | VFIO_DEVICE_FEATURE_PROBE;
const header = new UserArgument(vfio_device_feature.size);

/** DEVICE_FEATURE (vfio.md 15.1): -EFAULT, -EINVAL, and then -ENOTTY, for no device modelled so far has a feature. */
function feature(process: Process, address: number): number {
  if (!header.copyIn(process, address, vfio_device_feature.size)) return -EFAULT;
  const flags = vfio_device_feature.flags.get(header.view);
  if (vfio_device_feature.argsz.get(header.view) < vfio_device_feature.size || (flags & ~KNOWN_FLAGS) !== 0) return -EINVAL;
  const isBoth = (flags & GET_AND_SET) === GET_AND_SET;
  return isBoth && (flags & VFIO_DEVICE_FEATURE_PROBE) === 0 ? -EINVAL : -ENOTTY;
}
