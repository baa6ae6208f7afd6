import type { Step } from "../../sim/step.js";

/**
 * Where a function's messages go: a write of 32 bits on the bus that it masters, under its requester id. The address is
 * what software programmed, in halves as int32.
 */
export interface MessagePort {
  message(requesterId: number, addressHi: number, addressLo: number, data: number): Step<void>;
}
