import { type HostDevice, HostDriver } from "../../../host/driver-binding.js";
import { PciDevice } from "../../../host/pci/pci-device.js";
import type { PciBus } from "../../../host/pci/pci-root.js";
import type { Step } from "../../../sim/step.js";
import { EINVAL } from "../../../uapi/errno.js";
import type { Vfio } from "../../vfio.js";
import { VfioPciDevice, type VfioPciOptions } from "./device.js";
import { PciDeviceSet } from "./device-set.js";
import { NOINTX_FUNCTIONS } from "./nointx.js";

/** The driver vfio-pci (vfio.md 2.2, 2.3): bound by driver_override, never to a bridge. */
export class VfioPciDriver extends HostDriver {
  override readonly managesDma = true;
  private readonly devices: VfioPciDevice[] = [];
  private readonly sets: PciDeviceSet[] = [];

  constructor(
    private readonly vfio: Vfio,
    private readonly options: VfioPciOptions = {},
  ) {
    super("vfio-pci");
  }

  override matches(): boolean {
    return false;
  }

  /** -EINVAL: a bridge, no IOMMU group, or one whose DMA is not coherent. */
  override *probe(device: HostDevice): Step<number> {
    if (!(device instanceof PciDevice) || device.isBridge) return -EINVAL;
    const { group } = device;
    if (group === null || !group.isCoherent) return -EINVAL;
    const vfioGroup = yield* this.vfio.join(group);
    const set = this.setOf(device.bus);
    const nointx = this.options.nointx ?? NOINTX_FUNCTIONS;
    // The kernel asks the list only where masking is asked for at all.
    const isNointx = !this.options.nointxmask && device.compatible.some((id) => nointx.has(id));
    const vfioDevice = new VfioPciDevice(this.vfio, device, vfioGroup, set, this.options, isNointx);
    set.members.push(vfioDevice);
    yield* vfioGroup.show(vfioDevice);
    this.devices.push(vfioDevice);
    return 0;
  }

  private setOf(bus: PciBus): PciDeviceSet {
    let set = this.sets.find((each) => each.bus === bus);
    if (set === undefined) this.sets.push((set = new PciDeviceSet(this.vfio.newSetLock(), bus)));
    return set;
  }

  override *remove(device: HostDevice): Step<void> {
    const vfioDevice = this.deviceOf(device.name);
    if (vfioDevice === null) return;
    yield* vfioDevice.unregister();
    this.devices.splice(this.devices.indexOf(vfioDevice), 1);
    const { members } = vfioDevice.set;
    members.splice(members.indexOf(vfioDevice), 1);
  }

  /** The VFIO device of a bound function, or null: its interrupts and counters, for tests and reports. */
  deviceOf(name: string): VfioPciDevice | null {
    return this.devices.find((each) => each.name === name) ?? null;
  }
}
