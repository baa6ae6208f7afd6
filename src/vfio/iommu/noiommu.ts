import type { Process } from "../../host/process.js";
import type { Step } from "../../sim/step.js";
import { ENOTTY, EPERM } from "../../uapi/errno.js";
import { VFIO_NOIOMMU_IOMMU } from "../../uapi/vfio.js";
import type { IommuBackend, IommuInstance } from "./backend.js";

/** For groups that no IOMMU guards (vfio.md 19): there is nothing to map, and the device reaches all memory (`PhysicalMemory`). */
export class NoIommuBackend implements IommuBackend {
  readonly name = "vfio-noiommu";
  readonly isNoIommu = true;

  checkExtension(extension: number): number {
    return extension === VFIO_NOIOMMU_IOMMU ? 1 : 0;
  }

  /** -EPERM without CAP_SYS_RAWIO. */
  open(_type: number, process: Process): IommuInstance | number {
    return process.capabilities.has("SYS_RAWIO") ? new NoIommuInstance(this) : -EPERM;
  }
}

class NoIommuInstance implements IommuInstance {
  constructor(private readonly backend: NoIommuBackend) {}

  *checkExtension(extension: number): Step<number> {
    return this.backend.checkExtension(extension);
  }
  *attachGroup(): Step<number> {
    return 0;
  }
  *detachGroup(): Step<void> {}
  *ioctl(): Step<number> {
    return -ENOTTY;
  }
  *release(): Step<void> {}
}
