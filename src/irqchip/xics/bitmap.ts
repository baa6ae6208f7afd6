import { block, reads, writes } from "../../sim/access.js";
import type { Step } from "../../sim/step.js";

const WORD_SHIFT = 5;
const WORD_MASK = 31;

/** Bits that contexts set and clear one by one, each an atomic access. */
export class AtomicBitmap {
  private readonly words: Int32Array;

  constructor(size: number) {
    this.words = new Int32Array((size + WORD_MASK) >> WORD_SHIFT);
  }

  *set(bit: number): Step<void> {
    yield writes(this, "words");
    this.words[bit >> WORD_SHIFT] |= 1 << bit;
  }

  *clear(bit: number): Step<void> {
    yield writes(this, "words");
    this.words[bit >> WORD_SHIFT] &= ~(1 << bit);
  }

  *testAndClear(bit: number): Step<boolean> {
    yield writes(this, "words");
    const mask = 1 << bit;
    const word = this.words[bit >> WORD_SHIFT];
    this.words[bit >> WORD_SHIFT] = word & ~mask;
    return (word & mask) !== 0;
  }

  *has(bit: number): Step<boolean> {
    yield reads(this, "words");
    return this.at(bit);
  }

  /** Without a point: for whoever announced it, and for inspection. */
  at(bit: number): boolean {
    return (this.words[bit >> WORD_SHIFT] & (1 << bit)) !== 0;
  }

  /** The first bit that is set from `from` on, below `end`; else `end`. For who is alone: no point stands between two bits. */
  next(from: number, end: number): number {
    let index = from >> WORD_SHIFT;
    if (from >= end) return end;
    let word = this.words[index] & (-1 << from);
    while (word === 0) {
      index++;
      if (index << WORD_SHIFT >= end) return end;
      word = this.words[index];
    }
    const bit = (index << WORD_SHIFT) + 31 - Math.clz32(word & -word);
    return bit < end ? bit : end;
  }

  reset(): void {
    this.words.fill(0);
  }
}
block(AtomicBitmap, "words");
