import { type HostDevice, HostDriver } from "../../host/driver-binding.js";
import { PlatformDevice } from "../../host/platform-device.js";
import type { Step } from "../../sim/step.js";
import { EINVAL, ENOENT } from "../../uapi/errno.js";
import type { Vfio } from "../vfio.js";
import { VfioPlatformDevice } from "./platform-device.js";

export interface VfioPlatformOptions {
  /** The module parameter: devices without a reset method are refused. Default true. */
  resetRequired?: boolean;
  /** Linux before 6.9 (profile v5): a line is requested when its trigger is set, not when the device is opened. Default false. */
  requestsAtTrigger?: boolean;
}

/** The drivers vfio-platform and vfio-amba (vfio.md 2.2, 16): bound by driver_override alone. */
export class VfioPlatformDriver extends HostDriver {
  override readonly managesDma = true;
  private readonly resetRequired: boolean;
  private readonly requestsAtTrigger: boolean;
  private readonly devices: VfioPlatformDevice[] = [];

  constructor(
    private readonly vfio: Vfio,
    name = "vfio-platform",
    options: VfioPlatformOptions = {},
  ) {
    super(name);
    this.resetRequired = options.resetRequired ?? true;
    this.requestsAtTrigger = options.requestsAtTrigger ?? false;
  }

  override matches(): boolean {
    return false;
  }

  /** -EINVAL: not a platform device with a compatible string, no IOMMU group, or one whose DMA is not coherent. -ENOENT: no reset. */
  override *probe(device: HostDevice): Step<number> {
    if (!(device instanceof PlatformDevice) || device.compatible.length === 0) return -EINVAL;
    if (this.resetRequired && device.reset === null) return -ENOENT;
    const vfioGroup = yield* this.vfio.join(device.group);
    if (typeof vfioGroup === "number") return vfioGroup;
    const vfioDevice = new VfioPlatformDevice(this.vfio, device, vfioGroup, this.module, this.resetRequired, this.requestsAtTrigger);
    yield* this.vfio.show(vfioDevice);
    device.vfioDev = this.vfio.cdevNameOf(vfioDevice);
    this.devices.push(vfioDevice);
    return 0;
  }

  override *remove(device: HostDevice): Step<void> {
    const vfioDevice = this.deviceOf(device.name);
    if (vfioDevice === null) return;
    yield* vfioDevice.unregister();
    device.vfioDev = null;
    this.devices.splice(this.devices.indexOf(vfioDevice), 1);
  }

  /** The VFIO device of a bound device, or null: its interrupts and counters, for tests and reports. */
  deviceOf(name: string): VfioPlatformDevice | null {
    return this.devices.find((each) => each.name === name) ?? null;
  }
}
