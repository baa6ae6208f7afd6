/** A seeded generator (xorshift128+ in 32-bit halves would do; this is sfc32): the same numbers everywhere. */
export class Random {
  private a: number;
  private b: number;
  private c: number;
  private counter = 1;

  /** @param seed any 32-bit integer */
  constructor(seed: number) {
    this.a = seed | 0;
    this.b = 0x9e3779b9 | 0;
    this.c = 0x243f6a88 | 0;
    for (let i = 0; i < 12; i++) this.next32();
  }

  /** A uniform integer of 32 bits, 0 to 2^32-1. */
  next32(): number {
    const t = (this.a + this.b + this.counter) | 0;
    this.counter = (this.counter + 1) | 0;
    this.a = this.b ^ (this.b >>> 9);
    this.b = (this.c + (this.c << 3)) | 0;
    this.c = (((this.c << 21) | (this.c >>> 11)) + t) | 0;
    return t >>> 0;
  }

  /** A uniform integer from 0 to `bound`-1; `bound` up to 2^32. */
  below(bound: number): number {
    return Math.floor((this.next32() / 0x100000000) * bound);
  }
}
