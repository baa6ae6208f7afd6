import type { MechanismName } from "../../board/assign.js";
import type { Step } from "../../sim/step.js";
import type { AssignedDevice } from "../../vmm/platform-device.js";
import type { GuestMessage } from "../../vmm/kvm.js";
import type { VmmCore } from "../../vmm/vmm-core.js";

/** One interrupt to be delivered: its index at the device, and the guest's line for it. */
export interface Wire {
  readonly index: number;
  /** The INTID of an SPI, or a GSI of x86. */
  readonly line: number;
  /** What the guest's driver told the device to send; null for a wired interrupt. */
  readonly message: GuestMessage | null;
}

/** The eventfds that a wiring made, by descriptor: what a meter tells apart. */
export interface WiredEventfds {
  readonly trigger: number;
  /** -1 where the mechanism has none. */
  readonly resample: number;
}

/** A way to deliver an interrupt of an assigned device to the guest: what the VMM sets up for it, call by call. */
export interface DeliveryMechanism {
  readonly name: MechanismName;
  /** Called once for each interrupt, before the guest runs. */
  wire(vmm: VmmCore, device: AssignedDevice, wire: Wire): Step<WiredEventfds>;
}
