const PAGE = 4096n;

/** The dirty bits of page entries: which runs of pages have been written since they were asked for. */
export class DirtyPages {
  /** By the first page of an entry, 4 KiB each: how many it spans. */
  private readonly written = new Map<number, number>();

  note(first: number, pages: number): void {
    this.written.set(first, pages);
  }

  /** Entries in a range are gone, or nobody has to know of them. */
  forget(iova: bigint, length: bigint): void {
    for (const { first } of this.in(iova, length)) this.written.delete(first);
  }

  clear(): void {
    this.written.clear();
  }

  /** The written part of a range, as runs of bytes. */
  runs(iova: bigint, length: bigint): { iova: bigint; length: bigint }[] {
    const end = iova + length;
    return this.in(iova, length).map(({ start, stop }) => {
      const from = start > iova ? start : iova;
      return { iova: from, length: (stop < end ? stop : end) - from };
    });
  }

  private in(iova: bigint, length: bigint): { first: number; start: bigint; stop: bigint }[] {
    const found = [];
    for (const [first, pages] of this.written) {
      const start = BigInt(first) * PAGE;
      const stop = start + BigInt(pages) * PAGE;
      if (start < iova + length && stop > iova) found.push({ first, start, stop });
    }
    return found;
  }
}
