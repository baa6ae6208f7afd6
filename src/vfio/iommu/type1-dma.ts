import type { PinnedPages } from "../../host/memory.js";
import type { Process } from "../../host/process.js";
import { RangeList } from "../../host/range-list.js";
import type { Mutex } from "../../sim/lock.js";
import type { Step } from "../../sim/step.js";
import { EFAULT, ENOMEM } from "../../uapi/errno.js";
import type { IovaRange } from "./iova-ranges.js";

/** One MAP_DMA: a range of I/O virtual addresses over pinned pages of a process. */
export interface Type1Dma {
  readonly iova: bigint;
  readonly size: bigint;
  readonly isReadable: boolean;
  readonly isWritable: boolean;
  readonly pages: PinnedPages;
  /** Whose memory it is, and on whose account it is locked; the address may be given anew (VADDR). */
  process: Process;
  vaddr: number;
  /** Counted on the account: everything but device memory. */
  readonly lockedBytes: number;
  hasInvalidVaddr: boolean;
}

/** An address space that MAP_DMA and UNMAP_DMA act on, as type 1 has them; all of it is under `lock`. */
export interface DmaSpace {
  readonly lock: Mutex;
  readonly dmas: DmaList;
  /** Mappings that may still be made. */
  readonly available: number;
  /** Addresses and sizes are multiples of it. */
  readonly unit: bigint;
  readonly ranges: readonly IovaRange[];
  /** Mappings go as a whole, or not at all. */
  readonly isV2: boolean;
  readonly tracksDirtyPages: boolean;
  /** The mapping becomes visible to devices: 0, or a negative errno with nothing of it left. */
  insert(dma: Type1Dma): Step<number>;
  /** No DMA reaches the pages any more when they are unpinned. */
  remove(dma: Type1Dma): Step<void>;
}

/** Pages pinned for a mapping, and what they count. */
export interface Pinned {
  readonly pages: PinnedPages;
  readonly lockedBytes: number;
}

/**
 * Pins [vaddr, vaddr + size) from the start on (vfio.md 17.5): -EFAULT at the first page that is not mapped, or not
 * writable as asked, -ENOMEM at the first beyond the limit. Nothing is left on the account of a failure.
 */
export function pinPages(process: Process, vaddr: bigint, size: bigint, isWritable: boolean): Pinned | number {
  const end = vaddr + size;
  if (end > BigInt(Number.MAX_SAFE_INTEGER)) return -EFAULT;
  const first = Number(vaddr);
  const last = Number(end);
  let lockedBytes = 0;
  for (let at = first; at < last; ) {
    const area = process.memory.areaAt(at);
    if (area === null || (isWritable && !area.writable)) return -EFAULT;
    const stop = Math.min(area.end, last);
    if (area.kind === "ram") lockedBytes += stop - at;
    if (!mayLock(process, lockedBytes)) {
      if (process.sim.hazards.keepAccount) process.lockedMemory += lockedBytes;
      return -ENOMEM;
    }
    at = stop;
  }
  process.lockedMemory += lockedBytes;
  return { pages: process.memory.pin(first, last - first), lockedBytes };
}

/** Is there room for so many bytes more under RLIMIT_MEMLOCK? */
export function mayLock(process: Process, bytes: number): boolean {
  return process.capabilities.has("IPC_LOCK") || process.lockedMemory + bytes <= process.lockedMemoryLimit;
}

export function unpinPages(dma: Type1Dma): void {
  dma.pages.unpin();
  dma.process.lockedMemory -= dma.lockedBytes;
}

/** The mappings of an instance. */
export class DmaList extends RangeList<bigint, Type1Dma> {
  constructor() {
    super(
      (dma) => dma.iova,
      (dma) => dma.iova + dma.size,
    );
  }

  /** Does a mapping lie across the first or the last address of the range? */
  isCut(iova: bigint, size: bigint): boolean {
    return this.isAcross(iova) || this.isAcross(iova + size);
  }

  private isAcross(address: bigint): boolean {
    const dma = this.firstIn(address, address + 1n);
    return dma !== undefined && dma.iova < address;
  }
}
