import { systemRegisterNamed } from "../arch/gic/icc.js";

// What the recordings take for granted of their machine, QEMU's virt, and of its drained interrupts (gic.md D0).

export const ITS_QUEUE = 0x41000000;
export const CREADR = 0x90;
export const CWRITER = 0x88;
export const VIRTUAL_TIMER_PPI = 27;
export const ISR_IRQ = 0x80;
export const ISR_FIQ = 0x40;
/** A drain ends after so many interrupts. */
export const MOST_DRAINED = 64;

/** 1020 to 1023: no interrupt. */
export const isSpecial = (intid: number): boolean => intid >= 1020 && intid <= 1023;

export function encodingOf(register: string): number {
  const known = systemRegisterNamed(register);
  if (known === undefined) throw new Error(`${register} reached a target: a rule of left-out.ts is missing`);
  return known.encoding;
}
