/** Who drives a pin (x86-irqchip.md 1): user space and plain irqfds, all resampling irqfds, the in-kernel PIT. */
export const enum IrqSource {
  USERSPACE,
  RESAMPLE,
  PIT,
}

/**
 * One word of source bits per pin of a chip; its wire is their OR (x86-irqchip.md 3.3). No part of any saved state.
 */
export class LineSources {
  private readonly words: Int32Array;

  constructor(pins: number) {
    this.words = new Int32Array(pins);
  }

  /** Sets or clears one source's bit; true while any bit of the pin is set. */
  drive(pin: number, source: number, level: number): boolean {
    const bit = 1 << source;
    const word = level === 0 ? this.words[pin] & ~bit : this.words[pin] | bit;
    this.words[pin] = word;
    return word !== 0;
  }

  /** The word itself: for tests, dumps and virq's own snapshots. */
  word(pin: number): number {
    return this.words[pin];
  }
}
