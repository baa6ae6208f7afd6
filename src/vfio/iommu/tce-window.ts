import type { IommuDomain } from "../../host/iommu/domain.js";
import type { PinnedPages } from "../../host/memory.js";
import { RangeList } from "../../host/range-list.js";
import type { Step } from "../../sim/step.js";

/** The memory behind entries that one call made: pinned by the call, or registered before it. */
export interface TceBacking {
  readonly pages: PinnedPages;
  /** Entries that lead to it. */
  entries: number;
  /** The last entry is gone. */
  released(): void;
}

/** Entries that lead to the same, one after the other: numbers of a window's pages. */
interface TceRun {
  readonly first: number;
  readonly end: number;
  readonly backing: TceBacking;
}

/** One DMA window: a table of translation control entries, by number of its pages (vfio.md 18). */
export class TceWindow {
  private readonly entries = new RangeList<number, TceRun>(
    (run) => run.first,
    (run) => run.end,
  );
  readonly pageSize: bigint;

  constructor(
    readonly start: bigint,
    readonly size: bigint,
    readonly pageShift: number,
    /** Bytes of memory that its table is accounted for. */
    readonly tableBytes: number,
  ) {
    this.pageSize = 1n << BigInt(pageShift);
  }

  has(iova: bigint): boolean {
    return iova >= this.start && iova < this.start + this.size;
  }

  /** All of a range, from an entry's start to another's end. */
  covers(iova: bigint, size: bigint): boolean {
    return this.has(iova) && iova + size <= this.start + this.size && ((iova - this.start) & (this.pageSize - 1n)) === 0n;
  }

  /** Entries are overwritten: what they led to before is let go of. */
  *put(domain: IommuDomain, iova: bigint, size: bigint, backing: TceBacking, offset: number, isReadable: boolean, isWritable: boolean): Step<void> {
    yield* this.clear(domain, iova, size);
    const first = this.indexOf(iova);
    const count = Number(size / this.pageSize);
    this.entries.add({ first, end: first + count, backing });
    backing.entries += count;
    yield* domain.map({ iova, size, pages: backing.pages, offset, isReadable, isWritable, inSmallPages: true });
  }

  *clear(domain: IommuDomain, iova: bigint, size: bigint): Step<void> {
    yield* domain.unmap(iova, size);
    const first = this.indexOf(iova);
    const end = first + Number(size / this.pageSize);
    for (let run = this.entries.firstIn(first, end); run !== undefined; run = this.entries.firstIn(first, end)) {
      const { backing } = run;
      this.entries.remove(run);
      if (run.first < first) this.entries.add({ first: run.first, end: first, backing });
      if (run.end > end) this.entries.add({ first: end, end: run.end, backing });
      backing.entries -= Math.min(run.end, end) - Math.max(run.first, first);
      if (backing.entries === 0) backing.released();
    }
  }

  /** Runs of addresses that entries lead from. */
  mapped(): { readonly iova: bigint; readonly size: bigint }[] {
    return this.entries.all().map(({ first, end }) => ({ iova: this.start + BigInt(first) * this.pageSize, size: BigInt(end - first) * this.pageSize }));
  }

  private indexOf(iova: bigint): number {
    return Number((iova - this.start) / this.pageSize);
  }
}
