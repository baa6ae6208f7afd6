import { VFIO_TYPE1_IOMMU, VFIO_TYPE1_NESTING_IOMMU, VFIO_TYPE1v2_IOMMU, VFIO_UNMAP_ALL } from "../../uapi/vfio.js";
import { EINVAL } from "../../uapi/errno.js";
import type { Sim } from "../../sim/sim.js";
import type { IommuBackend, IommuInstance } from "./backend.js";
import { Type1Instance } from "./type1-instance.js";

export interface Type1Options {
  /** The module parameter: groups whose members could forge messages are attached all the same. Default false. */
  allowUnsafeInterrupts?: boolean;
  /** Mappings per instance; default 65535. */
  dmaEntryLimit?: number;
  /** Type 6 is offered: version 2 over domains that are asked to be the second of two stages (profile v5; 17.2). Default false. */
  offersNesting?: boolean;
}

/** The type1 IOMMU backend (vfio.md 17): the user names every address that devices may reach. */
export class Type1Backend implements IommuBackend {
  readonly name = "vfio-iommu-type1";
  readonly isNoIommu = false;
  readonly allowUnsafeInterrupts: boolean;
  readonly dmaEntryLimit: number;
  private readonly offersNesting: boolean;

  constructor(
    private readonly sim: Sim,
    options: Type1Options = {},
  ) {
    this.allowUnsafeInterrupts = options.allowUnsafeInterrupts ?? false;
    this.dmaEntryLimit = options.dmaEntryLimit ?? 65535;
    this.offersNesting = options.offersNesting ?? false;
  }

  checkExtension(extension: number): number {
    if (extension === VFIO_TYPE1_NESTING_IOMMU) return this.offersNesting ? 1 : 0;
    return extension === VFIO_TYPE1_IOMMU || extension === VFIO_TYPE1v2_IOMMU || extension === VFIO_UNMAP_ALL ? 1 : 0;
  }

  open(type: number): IommuInstance | number {
    if (type !== VFIO_TYPE1_IOMMU && type !== VFIO_TYPE1v2_IOMMU && type !== VFIO_TYPE1_NESTING_IOMMU) return -EINVAL;
    return new Type1Instance(this.sim, this, type !== VFIO_TYPE1_IOMMU, type === VFIO_TYPE1_NESTING_IOMMU);
  }
}
