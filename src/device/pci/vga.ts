import type { BarRegisters } from "./bar.js";

/** What a VGA adapter answers beside its BARs: offsets count from 0xa0000 in memory, and are the ports' numbers in I/O space. */
export interface VgaRegisters {
  readonly memory: BarRegisters;
  readonly ports: BarRegisters;
}

/** Where that is on a PC: first and last address. */
export const VGA_WINDOWS = [
  { first: 0xa_0000, last: 0xb_ffff, isPort: false },
  { first: 0x3b0, last: 0x3bb, isPort: true },
  { first: 0x3c0, last: 0x3df, isPort: true },
] as const;

export const VGA_MEMORY = VGA_WINDOWS[0].first;
