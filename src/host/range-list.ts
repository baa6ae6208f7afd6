/** Ranges in one chunk: few move when one comes or goes. */
const MOST = 256;

/**
 * Ranges that do not overlap, in ascending order: every search halves, and a change costs the same among a few and among
 * many. `K` is what they are ranges of: addresses or frame numbers.
 */
export class RangeList<K extends bigint | number, T> {
  /** None is empty. */
  private readonly chunks: T[][] = [];
  private count = 0;

  /**
   * @param startOf the first that a range has
   * @param endOf the first behind it
   */
  constructor(
    private readonly startOf: (range: T) => K,
    private readonly endOf: (range: T) => K,
  ) {}

  get length(): number {
    return this.count;
  }

  get last(): T | undefined {
    return this.chunks.at(-1)?.at(-1);
  }

  /** The first that touches [start, end). */
  firstIn(start: K, end: K): T | undefined {
    const chunk = this.chunks[this.chunkBehind(start)];
    const found = chunk?.[this.placeBehind(chunk, start)];
    return found !== undefined && this.startOf(found) < end ? found : undefined;
  }

  /** Those that touch [start, end), ascending, as they are now. */
  in(start: K, end: K): readonly T[] {
    const found: T[] = [];
    for (let at = this.chunkBehind(start); at < this.chunks.length; at++) {
      const chunk = this.chunks[at];
      for (let place = found.length === 0 ? this.placeBehind(chunk, start) : 0; place < chunk.length; place++) {
        if (this.startOf(chunk[place]) >= end) return found;
        found.push(chunk[place]);
      }
    }
    return found;
  }

  /** All, as they are now. */
  all(): readonly T[] {
    return this.chunks.flat();
  }

  /** A range that touches no other. */
  add(range: T): void {
    const start = this.startOf(range);
    const behind = this.chunkBehind(start);
    const at = Math.min(behind, Math.max(0, this.chunks.length - 1));
    const chunk = (this.chunks[at] ??= []);
    chunk.splice(this.placeBehind(chunk, start), 0, range);
    this.count++;
    if (chunk.length > MOST) this.chunks.splice(at + 1, 0, chunk.splice(MOST / 2));
  }

  /** A range of the list. */
  remove(range: T): void {
    const start = this.startOf(range);
    const at = this.chunkBehind(start);
    const chunk = this.chunks[at] ?? [];
    const place = this.placeBehind(chunk, start);
    if (chunk[place] !== range) throw new Error("a range that is not in the list is removed");
    chunk.splice(place, 1);
    this.count--;
    if (chunk.length === 0) this.chunks.splice(at, 1);
  }

  /** Index of the first chunk that has anything behind `key`. */
  private chunkBehind(key: K): number {
    return firstThat(this.chunks.length, (i) => this.endOf(this.chunks[i][this.chunks[i].length - 1]) > key);
  }

  private placeBehind(chunk: readonly T[], key: K): number {
    return firstThat(chunk.length, (i) => this.endOf(chunk[i]) > key);
  }
}

/** The first of `length` indices that something holds for, as it does for all after it; `length` without one. */
function firstThat(length: number, holds: (i: number) => boolean): number {
  let low = 0;
  for (let high = length; low < high; ) {
    const middle = (low + high) >>> 1;
    if (holds(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}
