import { PciFunction } from "../../device/pci/function.js";
import { IommuGroup } from "../../host/iommu/group.js";
import { PciDevice } from "../../host/pci/pci-device.js";
import { VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU } from "../../uapi/vfio.js";
import { PciStage, type PciStageOptions } from "./pci-stage.js";
import { Registers } from "./vfio-stage.js";

/** The virtual function, and the file that makes it. */
export const VF = "0000:08:00.0";
export const NUMVFS = "/sys/bus/pci/devices/0000:06:00.0/sriov_numvfs";

/** vfio.md 24's fixture F whose A can have a virtual function, in group 20, once it is told to. */
export class SriovStage extends PciStage {
  readonly virtual: PciDevice;

  /** @param isBesides the virtual function is on A's bus, as where there are bus numbers for no more */
  constructor(options: PciStageOptions = {}, isBesides = false) {
    super({ ...options, vfio: { enableSriov: true, ...options.vfio } });
    const bars = [{ index: 0, size: 0x1000, kind: "mem32" as const, registers: new Registers() }];
    const fn = new PciFunction({ name: VF, requesterId: 0x800, vendor: 0x8086, device: 0x10ca, classCode: 0x020000, intxPin: 1, bars });
    const bus = isBesides ? this.A.bus : this.root.addBus(8, false);
    this.virtual = new PciDevice(this.root, fn, { bus, group: new IommuGroup(this.sim, 20), physicalFunction: this.A, irq: this.A.irq });
    this.write("/sys/bus/pci/drivers/vfio-pci/unbind", this.A.name);
    this.bind(this.A.name);
  }

  /** The virtual function's group, in a container of its own. */
  virtualGroup(): number {
    const [c, g] = [this.open("/dev/vfio/vfio"), this.open("/dev/vfio/20")];
    this.setContainer(g, c);
    this.ioctl(c, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU);
    return g;
  }
}
