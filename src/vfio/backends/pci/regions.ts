import type { PciDevice } from "../../../host/pci/pci-device.js";
import { VFIO_PCI_NUM_REGIONS, VFIO_PCI_ROM_REGION_INDEX, VFIO_PCI_VGA_REGION_INDEX } from "../../../uapi/vfio.js";
import { BarRegion, type MemoryGate } from "./bar-region.js";
import type { VfioPciOptions } from "./options.js";
import type { PciRegion } from "./region.js";
import { SpecificRegion } from "./specific-region.js";
import { isVga, VgaRegion } from "./vga-region.js";

/** The regions of a function by index (vfio.md 7.3): BARs, VGA's, and those of its own. Null: none, or not a {@link PciRegion}. */
export function regionsOf(pci: PciDevice, gate: MemoryGate, options: VfioPciOptions): (PciRegion | null)[] {
  const regions: (PciRegion | null)[] = Array.from({ length: VFIO_PCI_NUM_REGIONS }, (_, index) => {
    const bar = index < VFIO_PCI_ROM_REGION_INDEX ? pci.fn.barAt(index) : null;
    return bar === null ? null : new BarRegion(pci, bar, gate, options.msixSparse ?? false);
  });
  if (isVga(pci) && !options.disableVga) regions[VFIO_PCI_VGA_REGION_INDEX] = new VgaRegion(pci);
  return [...regions, ...(options.regions?.(pci) ?? []).map((each) => new SpecificRegion(pci, each))];
}
