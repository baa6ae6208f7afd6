/** Latency in nanoseconds, to the tenth, over a run. */
export interface Distribution {
  readonly min: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

/** Collects durations without allocating per sample; grows by doubling. */
export class Samples {
  private values = new Float64Array(1024);
  private count = 0;

  add(value: number): void {
    if (this.count === this.values.length) {
      const larger = new Float64Array(this.count * 2);
      larger.set(this.values);
      this.values = larger;
    }
    this.values[this.count++] = value;
  }

  /** Null where nothing was sampled. Percentiles are the nearest rank. */
  distribution(): Distribution | null {
    if (this.count === 0) return null;
    const sorted = this.values.slice(0, this.count).sort();
    const rank = (share: number): number => sorted[Math.max(0, Math.ceil(share * this.count) - 1)];
    return { min: tenth(sorted[0]), p50: tenth(rank(0.5)), p99: tenth(rank(0.99)), max: tenth(sorted[this.count - 1]) };
  }
}

/** What is below is the arithmetic's, no profile's. */
const tenth = (ns: number): number => Math.round(ns * 10) / 10;

/** Null where the profile charges nothing on the whole way: nothing was published of it, which is not to say that it takes no time. */
export function modelled(distribution: Distribution | null): Distribution | null {
  return distribution === null || distribution.max === 0 ? null : distribution;
}
