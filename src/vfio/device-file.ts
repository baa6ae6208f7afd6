import type { Process } from "../host/process.js";
import type { Step } from "../sim/step.js";
import { EFAULT, EINVAL } from "../uapi/errno.js";
import { VFIO_DEVICE_BIND_IOMMUFD, vfio_device_bind_iommufd } from "../uapi/vfio.js";
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
    if (request === VFIO_DEVICE_BIND_IOMMUFD) return process.memory.isReadable(argument, vfio_device_bind_iommufd.minsz) ? -EINVAL : -EFAULT;
    return yield* this.device.handle(process, request, argument);
  }

  override *read(process: Process, address: number, length: number, offset: number | null): Step<number> {
    return offset === null ? -EINVAL : yield* this.device.read(process, address, length, offset);
  }

  override *write(process: Process, address: number, length: number, offset: number | null): Step<number> {
    return offset === null ? -EINVAL : yield* this.device.writeUnlessStopped(process, address, length, offset);
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
