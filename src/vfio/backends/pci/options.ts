import type { PciDevice } from "../../../host/pci/pci-device.js";
import type { DmaLog } from "../../migration/dma-log.js";
import type { MigrationDriver } from "../../migration/migration.js";
import type { SpecificRegionOptions } from "./specific-region.js";

/** Module parameters of vfio-pci, and the rules of older kernels. */
export interface VfioPciOptions {
  /** Functions whose INTx is hidden, as "pciVVVV,DDDD"; default those that vfio-pci names (vfio.md 8.1). */
  readonly nointx?: ReadonlySet<string>;
  /** The module parameter: functions of the denylist are taken too. Default false. */
  readonly disableDenylist?: boolean;
  /** The module parameter: a function that nobody has open stays in D0. Default false. */
  readonly disableIdleD3?: boolean;
  /** The module parameter: nobody's INTx is masked by DisINTx. Default false. */
  readonly nointxmask?: boolean;
  /** Linux 6.18 and what was back-ported: a line without DisINTx is disabled unlazily. Default true. */
  readonly unlazyIntx?: boolean;
  /** Before Linux 6.9 (profile v5): INTx without a trigger keeps no line of the host. Default false. */
  readonly releasesIntxLine?: boolean;
  /** What a variant driver knows of migrating the function: null, the default, nothing. */
  readonly migration?: (pci: PciDevice) => MigrationDriver | null;
  /** And of logging what it writes by DMA. */
  readonly dmaLog?: (pci: PciDevice) => DmaLog | null;
  /** The module parameter: virtual functions may be made of a function that a user has. Default false. */
  readonly enableSriov?: boolean;
  /** Regions of a function's own, from index 9 on. */
  readonly regions?: (pci: PciDevice) => readonly SpecificRegionOptions[];
  /** The module parameter: the legacy ranges of VGA adapters are no region. Default false. */
  readonly disableVga?: boolean;
  /** Linux before 4.16: the pages of the MSI-X table are left out of mappings. Default false: a region is mapped whole. */
  readonly msixSparse?: boolean;
  /** Linux before 6.5 (profile v5): all vectors of MSI-X come with the first call, whatever the host's domain could do. Default false. */
  readonly msixAtOnce?: boolean;
}
