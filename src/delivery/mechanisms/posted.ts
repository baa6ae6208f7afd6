import type { DeliveryMechanism } from "./mechanism.js";
import { irqfd } from "./irqfd.js";

/**
 * What the VMM does is what it does for an irqfd; with APIC virtualisation and posting KVM finds the device's interrupt by
 * the eventfd and points its remapping entry at the vCPU (x86-irqchip.md 10.5).
 */
export const posted: DeliveryMechanism = { name: "posted", wire: irqfd.wire };
