import type { Step } from "../sim/step.js";
import type { LineDevice } from "./line-device.js";

/** Bytes of registers for each interrupt of the device. */
export const REGISTERS_STRIDE = 0x10;

/** Registers of one interrupt. Any access counts towards its service; the names are for people. */
export const DEVICE_REGISTERS = {
  /** Read: conditions found by the access that services; 0 before it. */
  STATUS: 0x0,
  /** Write: acknowledges. */
  CLEAR: 0x4,
} as const;

/** The register page of a device: accesses by the host or by a guest reach the interrupt whose registers they are in. */
export class RegisterFile {
  /** Accesses that reached the device, whoever made them. */
  accesses = 0;

  /** @param lines by VFIO index */
  constructor(private readonly lines: readonly LineDevice[]) {}

  *read(offset: number, _size: number): Step<number> {
    const found = yield* this.reach(offset);
    return found < 0 ? 0 : found;
  }

  *write(offset: number, _size: number, _value: number): Step<void> {
    yield* this.reach(offset);
  }

  private *reach(offset: number): Step<number> {
    this.accesses++;
    const line = Math.floor(offset / REGISTERS_STRIDE);
    if (line >= this.lines.length) return 0;
    return yield* this.lines[line].access();
  }
}
