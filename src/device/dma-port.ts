import type { Step } from "../sim/step.js";

/** Where a device's DMA goes: the bus it masters. Addresses are what the device was programmed with, in bytes. */
export interface DmaPort {
  /** False: the transaction was terminated, and nothing from the fault on was copied. */
  read(iova: number, into: Uint8Array): Step<boolean>;
  write(iova: number, from: Uint8Array): Step<boolean>;
}
