import type { Process } from "../../host/process.js";
import type { Sim } from "../../sim/sim.js";
import { EINVAL } from "../../uapi/errno.js";
import { VFIO_SPAPR_TCE_IOMMU, VFIO_SPAPR_TCE_v2_IOMMU } from "../../uapi/vfio.js";
import type { IommuBackend, IommuInstance } from "./backend.js";
import { SpaprInstance } from "./spapr-instance.js";

/** The IOMMU backend of Power machines (vfio.md 18): windows of translation entries, of 32 bits (v1) or made by the user (v2). */
export class SpaprBackend implements IommuBackend {
  readonly name = "vfio-iommu-spapr-tce";
  readonly isNoIommu = false;

  constructor(private readonly sim: Sim) {}

  checkExtension(extension: number): number {
    return extension === VFIO_SPAPR_TCE_IOMMU || extension === VFIO_SPAPR_TCE_v2_IOMMU ? 1 : 0;
  }

  open(type: number, _process: Process): IommuInstance | number {
    if (this.checkExtension(type) === 0) return -EINVAL;
    return new SpaprInstance(this.sim, type === VFIO_SPAPR_TCE_v2_IOMMU);
  }
}
