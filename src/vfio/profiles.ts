import type { IommuGroupOptions } from "../host/iommu/group.js";
import type { VfioPciOptions } from "./backends/pci/options.js";
import type { VfioPlatformOptions } from "./backends/platform.js";
import { VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE } from "../uapi/vfio.js";
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
 * What to build a host's VFIO with, part by part: `new Vfio(host, nodes, core)`, `new VfioPciDriver(vfio, pci)`,
 * `new VfioPlatformDriver(vfio, "vfio-platform", platform)`, `new Type1Backend(sim, type1)`, `new IommuGroup(sim, id, group)`.
 * `modern`: Linux 6.9 and later, the default of each. `v5`: as 5.18, the last of 3.6 to 5.18: no iommufd and no nodes of devices'
 * own, the features up to migration's, MSI-X all at once, INTx and viability as they were. `draft2011`: the interface of December
 * 2011, over hosts of that time. `fwd2014` is `modern`: the forwarding of 2014 is KVM's, whose VFIO device has it on Arm always, and
 * elsewhere never (HAS_DEVICE_ATTR: ENXIO), so that `modern` without it is any host that is no Arm one.
 */
export const VFIO_PROFILES: Readonly<Record<VfioProfileName, VfioProfile>> = {
  modern: MODERN,
  v5: {
    core: { hasIommufd: false, lastFeature: VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE },
    pci: { releasesIntxLine: true, msixAtOnce: true },
    platform: { requestsAtTrigger: true },
    type1: { offersNesting: true },
    group: { hasDmaOwnership: false },
  },
  draft2011: { ...MODERN, core: { abi: draft2011 }, group: { hasDmaOwnership: false } },
  fwd2014: MODERN,
};
