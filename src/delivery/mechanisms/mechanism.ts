import type { MechanismName } from "../../board/assign.js";
import type { Step } from "../../sim/step.js";
import type { AssignedDevice } from "../../vmm/platform-device.js";
import type { Vmm } from "../../vmm/vmm.js";

/** One interrupt to be delivered: VFIO's index at the device, and the guest's SPI for it. */
export interface Wire {
  readonly index: number;
  readonly intid: number;
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
  wire(vmm: Vmm, device: AssignedDevice, wire: Wire): Step<WiredEventfds>;
}
