import type { Step } from "../../sim/step.js";

/** Registers behind a BAR. Values are the low 32 bits; sizes 1, 2 and 4. */
export interface BarRegisters {
  read(offset: number, size: number): Step<number>;
  write(offset: number, size: number, value: number): Step<void>;
}

/** One implemented base address register. */
export interface Bar {
  /** 0 to 5; a 64-bit one takes the next as well. */
  readonly index: number;
  /** Bytes, a power of two. */
  readonly size: number;
  readonly kind: "io" | "mem32" | "mem64";
  readonly isPrefetchable?: boolean;
  readonly registers: BarRegisters;
}

const IO_SPACE = 1;
const MEM_64 = 4;
const PREFETCHABLE = 8;

/** The bits of a BAR that say what it is. */
export function typeBits(bar: Bar): number {
  if (bar.kind === "io") return IO_SPACE;
  return (bar.kind === "mem64" ? MEM_64 : 0) | (bar.isPrefetchable ? PREFETCHABLE : 0);
}

/** Bits of the low BAR register that hold an address. */
export function addressMask(bar: Bar): number {
  return ~(bar.size - 1) & (bar.kind === "io" ? ~3 : ~0xf);
}

/** The same of the register above it, of a 64-bit BAR. */
export function upperAddressMask(bar: Bar): number {
  return ~Math.floor((bar.size - 1) / 2 ** 32);
}

/** Registers that read 0 and take anything. */
export const NO_REGISTERS: BarRegisters = {
  *read(): Step<number> {
    return 0;
  },
  *write(): Step<void> {},
};
