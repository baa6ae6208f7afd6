import type { Sim } from "../sim/sim.js";
import type { Step } from "../sim/step.js";
import { HostDevice } from "./driver-binding.js";
import type { IommuGroup } from "./iommu/group.js";
import type { DeviceRegion } from "./memory.js";

/** One register window of a platform device. */
export interface PlatformResource {
  /** Physical address and length, bytes. */
  readonly address: number;
  readonly size: number;
  readonly registers: DeviceRegion;
  /** Default false. */
  readonly isReadOnly?: boolean;
  /** An I/O port window, which vfio-platform does not serve; default false. */
  readonly isPort?: boolean;
}

/** What brings a device back to a known state: a reset function of vfio-platform. */
export interface ResetMethod {
  /** 0 or a negative errno. */
  reset(): Step<number>;
}

export interface PlatformDeviceOptions {
  compatible: readonly string[];
  group?: IommuGroup | null;
  resources?: readonly PlatformResource[];
  /** Linux irq numbers, in the order of the device's interrupts. */
  irqs?: readonly number[];
  reset?: ResetMethod | null;
  /** On the AMBA bus. */
  isAmba?: boolean;
}

/** A device that the device tree describes: register windows and wired interrupts. */
export class PlatformDevice extends HostDevice {
  readonly resources: readonly PlatformResource[];
  readonly irqs: readonly number[];
  readonly reset: ResetMethod | null;
  readonly isAmba: boolean;

  constructor(sim: Sim, name: string, options: PlatformDeviceOptions) {
    super(sim, name, options.compatible, options.group ?? null);
    this.resources = options.resources ?? [];
    this.irqs = options.irqs ?? [];
    this.reset = options.reset ?? null;
    this.isAmba = options.isAmba ?? false;
  }
}
