import type { PinnedPages } from "../../host/memory.js";
import type { Process } from "../../host/process.js";
import { RangeList } from "../../host/range-list.js";
import { EFAULT, EINVAL, EOVERFLOW } from "../../uapi/errno.js";
import { LAST_IOVA } from "../iommu/iova-ranges.js";
import { pinPages } from "../iommu/type1-dma.js";

const PAGE = 4096n;

/** A run of bytes that areas of domains lie over, pinned and on the account; `pin` may be of more. */
interface Run {
  readonly start: bigint;
  end: bigint;
  /** By area and domain. */
  users: number;
  readonly pin: { readonly pages: PinnedPages; runs: number };
}

/** A part of an area: pages, where in them it begins, and how far from the area's beginning; bytes. */
interface HeldPart {
  readonly pages: PinnedPages;
  readonly offset: number;
  readonly at: bigint;
  readonly size: bigint;
}

/**
 * User memory that areas lie over. What domains need of it is pinned from the first that does to the last, on its process's
 * account, page by page, and what is pinned is the same for all of them (drivers/iommu/iommufd/pages.c).
 */
export class IoasPages {
  private readonly runs = new RangeList<bigint, Run>(
    (run) => run.start,
    (run) => run.end,
  );

  constructor(
    readonly process: Process,
    readonly vaddr: bigint,
    readonly length: bigint,
    readonly isWritable: boolean,
  ) {}

  /** `length` bytes from an offset on, held; -EFAULT, of a device's registers too, which cannot be pinned (pin_user_pages); -ENOMEM. */
  take(offset: bigint, length: bigint): readonly HeldPart[] | number {
    const end = offset + length;
    this.split(offset);
    this.split(end);
    const error = this.fill(offset, end);
    const runs = this.runs.in(offset, end);
    for (const run of runs) run.users++;
    if (error === 0) return runs.map(({ start, end: stop, pin }) => ({ pages: pin.pages, offset: Number(this.vaddr + start) - pin.pages.start, at: start - offset, size: stop - start }));
    this.giveBack(offset, length);
    return error;
  }

  giveBack(offset: bigint, length: bigint): void {
    this.split(offset);
    this.split(offset + length);
    for (const run of this.runs.in(offset, offset + length)) {
      if (--run.users > 0) continue;
      this.runs.remove(run);
      this.process.lockedMemory -= Number(run.end - run.start);
      if (--run.pin.runs === 0) run.pin.pages.unpin();
    }
  }

  /** What is not pinned yet is: 0, -EFAULT, -ENOMEM. */
  private fill(start: bigint, end: bigint): number {
    for (let at = start; at < end; ) {
      const next = this.runs.firstIn(at, end);
      if (next === undefined || next.start > at) {
        const stop = next?.start ?? end;
        if (this.process.memory.hasDeviceIn(Number(this.vaddr + at), Number(this.vaddr + stop))) return -EFAULT;
        const pinned = pinPages(this.process, this.vaddr + at, stop - at, this.isWritable);
        if (typeof pinned === "number") return pinned;
        this.runs.add({ start: at, end: stop, users: 0, pin: { pages: pinned.pages, runs: 1 } });
        at = stop;
      } else at = next.end;
    }
    return 0;
  }

  /** A run that holds both an offset and the byte before it becomes two. */
  private split(offset: bigint): void {
    const run = this.runs.firstIn(offset, offset + 1n);
    if (run === undefined || run.start === offset) return;
    const { end } = run;
    run.end = offset;
    run.pin.runs++;
    this.runs.add({ ...run, start: offset, end });
  }
}

/** Pages from an address on; -EINVAL for none, -EOVERFLOW past the end of the address space. */
export function newPages(process: Process, vaddr: bigint, length: bigint, isWritable: boolean): IoasPages | number {
  if (length === 0n || length > LAST_IOVA - PAGE) return -EINVAL;
  return vaddr + length > LAST_IOVA ? -EOVERFLOW : new IoasPages(process, vaddr, length, isWritable);
}

/** A run of I/O virtual addresses over a part of some pages. */
export interface IoasArea {
  readonly iova: bigint;
  readonly length: bigint;
  readonly pages: IoasPages;
  /** Where in the pages it begins, bytes. */
  readonly offset: bigint;
  readonly isReadable: boolean;
  readonly isWritable: boolean;
}
