import type { Step } from "../../sim/step.js";

/**
 * Where a function's messages go: a write of 32 bits on the bus that it masters, under its requester id. The address is
 * what software programmed, bytes.
 */
export interface MessagePort {
  message(requesterId: number, address: number, data: number): Step<void>;
}
