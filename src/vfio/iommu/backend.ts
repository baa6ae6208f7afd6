import type { IommuGroup } from "../../host/iommu/group.js";
import type { Process } from "../../host/process.js";
import type { Step } from "../../sim/step.js";

/** A kind of IOMMU that a container can be given: what VFIO_SET_IOMMU chooses from (vfio.md 4.1, 21.1). */
export interface IommuBackend {
  readonly name: string;
  /** For groups that no IOMMU guards, and for no others. */
  readonly isNoIommu: boolean;
  /** CHECK_EXTENSION without an instance: above 0 means yes. */
  checkExtension(extension: number): number;
  /** An instance of a type for a caller, or a negative errno. */
  open(type: number, process: Process): IommuInstance | number;
}

/** One container's IOMMU state: domains and mappings. It lives until the last group leaves. */
export interface IommuInstance {
  checkExtension(extension: number): Step<number>;
  /** 0 or a negative errno, with nothing left behind. */
  attachGroup(group: IommuGroup): Step<number>;
  detachGroup(group: IommuGroup): Step<void>;
  ioctl(process: Process, request: number, argument: number): Step<number>;
  release(): Step<void>;
}
