import { type HostDevice, HostDriver } from "../../../host/driver-binding.js";
import { PciDevice } from "../../../host/pci/pci-device.js";
import type { PciBus } from "../../../host/pci/pci-root.js";
import { OnePerWorld } from "../../../sim/one-per-world.js";
import type { Step } from "../../../sim/step.js";
import { EBUSY, EINVAL, ENOENT } from "../../../uapi/errno.js";
import type { Vfio } from "../../vfio.js";
import { type PciDeviceParts, VfioPciDevice } from "./device.js";
import type { VfioPciOptions } from "./options.js";
import { DENIED_FUNCTIONS } from "./denylist.js";
import { PciDeviceSet } from "./device-set.js";
import { NOINTX_FUNCTIONS } from "./nointx.js";

/** Functions that are reset together are of one set, whichever drivers they have. */
const SETS = new OnePerWorld<Map<PciBus, PciDeviceSet>>(() => new Map());

/** The functions that a VFIO driver has, whichever of them: who opens a virtual one shows the token of its physical one's user. */
const BOUND = new OnePerWorld<Map<PciDevice, VfioPciDevice>>(() => new Map());

/** The driver vfio-pci, or a variant of it (vfio.md 2.2, 2.3): bound by driver_override, never to a bridge. */
export class VfioPciDriver extends HostDriver {
  override readonly managesDma = true;
  private readonly devices: VfioPciDevice[] = [];

  constructor(
    private readonly vfio: Vfio,
    private readonly options: VfioPciOptions = {},
    name = "vfio-pci",
  ) {
    super(name);
  }

  override matches(): boolean {
    return false;
  }

  /** -EINVAL: a bridge, a function of the denylist, no IOMMU group, or one whose DMA is not coherent. -EBUSY: virtual functions that another driver made. */
  override *probe(device: HostDevice): Step<number> {
    if (!(device instanceof PciDevice) || device.isBridge) return -EINVAL;
    if (!this.options.disableDenylist && device.compatible.some((id) => DENIED_FUNCTIONS.has(id))) return -EINVAL;
    if (device.virtualFunctionsEnabled > 0) return -EBUSY;
    const vfioGroup = yield* this.vfio.join(device.group);
    if (typeof vfioGroup === "number") return vfioGroup;
    const set = this.setOf(device.bus);
    const nointx = this.options.nointx ?? NOINTX_FUNCTIONS;
    // The kernel asks the list only where masking is asked for at all.
    const isNointx = !this.options.nointxmask && device.compatible.some((id) => nointx.has(id));
    const physical = device.physicalFunction === null ? null : (BOUND.of(this.vfio.sim).get(device.physicalFunction) ?? null);
    const vfioDevice = this.newDevice({ vfio: this.vfio, pci: device, group: vfioGroup, set, isNointx, physical, module: this.module });
    yield* set.enter(vfioDevice);
    yield* this.vfio.show(vfioDevice);
    device.vfioDev = this.vfio.cdevNameOf(vfioDevice);
    this.devices.push(vfioDevice);
    BOUND.of(this.vfio.sim).set(device, vfioDevice);
    return 0;
  }

  protected newDevice(parts: PciDeviceParts): VfioPciDevice {
    return new VfioPciDevice(parts, this.options);
  }

  private setOf(bus: PciBus): PciDeviceSet {
    const sets = SETS.of(this.vfio.sim);
    let set = sets.get(bus);
    if (set === undefined) sets.set(bus, (set = new PciDeviceSet(this.vfio.newSetLock(), bus)));
    return set;
  }

  /** Virtual functions go first, or they would outlive the token that they are opened by (vfio_pci_core_unregister_device). */
  override *remove(device: HostDevice): Step<void> {
    const vfioDevice = this.deviceOf(device.name);
    if (vfioDevice === null) return;
    yield* device.disableVirtualFunctions();
    yield* vfioDevice.unregister();
    BOUND.of(this.vfio.sim).delete(vfioDevice.pci);
    device.vfioDev = null;
    this.devices.splice(this.devices.indexOf(vfioDevice), 1);
    yield* vfioDevice.set.leave(vfioDevice);
  }

  /** The file sriov_numvfs (2.1): 0, or -ENOENT unless the module was told to. A function that is to have virtual ones stays awake. */
  override *configureVirtualFunctions(device: HostDevice, count: number): Step<number> {
    if (!this.options.enableSriov) return -ENOENT;
    const physical = this.deviceOf(device.name);
    if (physical !== null && this.vfio.sim.hazards.wakeWithoutHold) yield* physical.idle.wake();
    else if (physical !== null) yield* physical.set.hold(physical, count > 0);
    return 0;
  }

  /** An uncorrectable error of a function is its user's to judge (11). */
  override *errorDetected(device: HostDevice): Step<boolean> {
    const vfioDevice = this.deviceOf(device.name);
    if (vfioDevice !== null) yield* vfioDevice.irqs.reportError();
    return vfioDevice !== null;
  }

  /** The VFIO device of a bound function, or null: its interrupts and counters, for tests and reports. */
  deviceOf(name: string): VfioPciDevice | null {
    return this.devices.find((each) => each.name === name) ?? null;
  }
}
