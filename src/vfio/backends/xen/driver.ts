import type { Vfio } from "../../vfio.js";
import type { PciDeviceParts, VfioPciDevice } from "../pci/device.js";
import { VfioPciDriver } from "../pci/driver.js";
import { VfioXenPciDevice, type VfioXenPciOptions } from "./device.js";

/** The driver vfio-xen-pci (vfio.md 21.2, 5; 21.4): bound by driver_override, for devices of a guest of Xen. */
export class VfioXenPciDriver extends VfioPciDriver {
  constructor(
    vfio: Vfio,
    private readonly xenOptions: VfioXenPciOptions,
  ) {
    super(vfio, xenOptions, "vfio-xen-pci");
  }

  protected override newDevice(parts: PciDeviceParts): VfioPciDevice {
    return new VfioXenPciDevice(parts, this.xenOptions);
  }
}
