import type { IommuGroupOptions } from "../host/iommu/group.js";
import type { VfioPciOptions } from "./backends/pci/device.js";
import type { VfioPlatformOptions } from "./backends/platform.js";
import { draft2011 } from "./draft2011/group-file.js";
import type { Type1Options } from "./iommu/type1.js";
import type { VfioOptions } from "./vfio.js";

/** What each part of VFIO is built with to behave as one kernel, or one proposal, did (vfio.md 0.4). */
export interface VfioProfile {
  readonly core: VfioOptions;
  readonly pci: VfioPciOptions;
  readonly platform: VfioPlatformOptions;
  readonly type1: Type1Options;
  readonly group: IommuGroupOptions;
}

export type VfioProfileName = "modern" | "v5" | "draft2011" | "fwd2014";

const MODERN: VfioProfile = { core: {}, pci: {}, platform: {}, type1: {}, group: {} };

/**
 * `modern`: Linux 6.9 and later. `v5`: 3.6 to 5.18. `draft2011`: the interface of December 2011, over hosts of that time. `fwd2014`:
 * `modern` here; the forwarding of 2014 is KVM's, whose VFIO device on Arm has it always.
 */
export const VFIO_PROFILES: Readonly<Record<VfioProfileName, VfioProfile>> = {
  modern: MODERN,
  v5: { core: {}, pci: { releasesIntxLine: true }, platform: { requestsAtTrigger: true }, type1: { offersNesting: true }, group: { hasDmaOwnership: false } },
  draft2011: { ...MODERN, core: { abi: draft2011 }, group: { hasDmaOwnership: false } },
  fwd2014: MODERN,
};
