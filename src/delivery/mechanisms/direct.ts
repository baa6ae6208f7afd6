import type { MechanismName } from "../../board/assign.js";
import type { DeliveryMechanism } from "./mechanism.js";
import { irqfd } from "./irqfd.js";

/**
 * What the VMM does is what it does for an irqfd, once the guest's driver has mapped the event: with GICv4 KVM finds the
 * device's interrupt by the eventfd, and its ITS sends what comes to the vPE of the vCPU (gic-v4.md C3).
 */
const direct = (name: MechanismName): DeliveryMechanism => ({ name, wire: irqfd.wire });

export const directAsItIs = direct("direct");
export const directRunnable = direct("direct:runnable");
export const directBlocked = direct("direct:blocked");
