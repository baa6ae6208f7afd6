import { reads, shared, writes } from "../../sim/access.js";
import type { Step } from "../../sim/step.js";
import { ENOMEM } from "../../uapi/errno.js";
import type { ReservedRegion } from "./group.js";
import { DirtyPages } from "./dirty-pages.js";
import { ENTRY_READ, ENTRY_SHIFT, ENTRY_WRITE, IommuTable } from "./table.js";
import type { PinnedPages } from "../memory.js";

const PAGE = 4096;
const PAGE_BITS = 12n;
/** Levels at which a page may lie: 4 KiB, 2 MiB, 1 GiB. */
const LEVEL_SIZES: readonly number[] = [2 ** 12, 2 ** 21, 2 ** 30];

/** A page of doorbells in the window of an MSI cookie: what is written there reaches `address`. */
export interface DoorbellPage {
  readonly iova: number;
  readonly address: number;
}

/** A run of I/O virtual addresses that reaches pinned pages. */
export interface IommuMapping {
  readonly iova: bigint;
  readonly size: bigint;
  readonly pages: PinnedPages;
  /** Where in the pages it begins, bytes; default 0. */
  readonly offset?: number;
  readonly isReadable: boolean;
  readonly isWritable: boolean;
  /** Parts of it may be taken out: no page is larger than 4 KiB. Default false. */
  readonly inSmallPages?: boolean;
}

/** A mapping in the tables. */
interface Mapped {
  readonly mapping: IommuMapping;
  /** I/O virtual address of the pages' first byte: transactions carry 52 bits. */
  readonly start: number;
  /** Pages of 4 KiB that are still there. */
  left: number;
}

export interface IommuDomainOptions {
  /** Non-snooping DMA is made to snoop. Default true. */
  enforcesCoherency?: boolean;
  /** The MSI cookie: where doorbells are mapped; null, the default, where messages need no mapping. */
  msiWindow?: ReservedRegion | null;
  /** Last I/O virtual address; default 2^48 - 1. */
  apertureEnd?: bigint;
  /** Sizes of its pages, one bit each; default 4 KiB, 2 MiB, 1 GiB. */
  pageSizes?: bigint;
}

/** One IOMMU context: page tables over the pinned pages of processes, and the doorbells of an MSI cookie. */
export class IommuDomain {
  readonly enforcesCoherency: boolean;
  readonly pageSizes: bigint;
  /** What lies beyond has no entry. */
  readonly apertureEnd: bigint;
  private readonly msiWindow: ReservedRegion | null;
  private readonly table: IommuTable;
  /** From 1 on: an entry is above 0, whatever it allows. */
  private readonly slots: (Mapped | null)[] = [null];
  private readonly freeSlots: number[] = [];
  /** While it is asked which pages are written; null otherwise. */
  private dirty: DirtyPages | null = null;
  /** In the order of their first use; they live as long as the domain (host-irq.md 5.4). */
  private doorbells: DoorbellPage[] = [];

  /** @param iommu domains serve groups of the same one */
  constructor(
    readonly iommu: string,
    options: IommuDomainOptions = {},
  ) {
    this.enforcesCoherency = options.enforcesCoherency ?? true;
    this.pageSizes = options.pageSizes ?? 0x4020_1000n;
    this.msiWindow = options.msiWindow ?? null;
    this.apertureEnd = options.apertureEnd ?? 0xffff_ffff_ffffn;
    this.table = new IommuTable(this.apertureEnd.toString(2).length);
  }

  /**
   * The I/O virtual address of a doorbell, whose page is mapped, for writes, on its first use; the address itself
   * without a cookie; -ENOMEM when the window is full.
   */
  *prepareDoorbell(address: number): Step<number> {
    if (this.msiWindow === null) return address;
    yield writes(this, "doorbells");
    const inPage = address % PAGE;
    const known = this.doorbells.find((page) => page.address === address - inPage);
    if (known !== undefined) return known.iova + inPage;
    const iova = Number(this.msiWindow.start) + this.doorbells.length * PAGE;
    if (iova + PAGE - 1 > Number(this.msiWindow.end)) return -ENOMEM;
    this.doorbells.push({ iova, address: address - inPage });
    return iova + inPage;
  }

  /** The doorbell that a written address reaches; -1 where no doorbell is mapped. */
  *doorbellAt(iova: number): Step<number> {
    yield reads(this, "doorbells");
    const inPage = iova % PAGE;
    for (let i = 0; i < this.doorbells.length; i++) if (this.doorbells[i].iova === iova - inPage) return this.doorbells[i].address + inPage;
    return -1;
  }

  /** The pages of doorbells, for tests and dumps. */
  *doorbellPages(): Step<readonly DoorbellPage[]> {
    yield reads(this, "doorbells");
    return this.doorbells;
  }

  /** Enters a mapping, over nothing that is mapped, in the largest pages that both addresses and the memory allow. */
  *map(mapping: IommuMapping): Step<void> {
    yield writes(this, "slots");
    const slot = this.freeSlots.pop() ?? this.slots.length;
    const count = Number(mapping.size >> PAGE_BITS);
    this.slots[slot] = { mapping, start: Number(mapping.iova) - (mapping.offset ?? 0), left: count };
    const entry = (slot << ENTRY_SHIFT) | (mapping.isReadable ? ENTRY_READ : 0) | (mapping.isWritable ? ENTRY_WRITE : 0);
    const first = Number(mapping.iova >> PAGE_BITS);
    const level = this.levelOf(mapping);
    const step = LEVEL_SIZES[level] / PAGE;
    const head = Math.min(count, (step - (first % step)) % step);
    const large = Math.floor((count - head) / step);
    this.table.enter(first, 0, head, entry);
    if (large > 0) this.table.enter(first + head, level, large, entry);
    this.table.enter(first + head + large * step, 0, count - head - large * step, entry);
  }

  /** The largest pages that hold a part of it: the IOMMU has them, so has the memory, and they begin where its pages do. */
  private levelOf({ iova, pages, offset = 0, inSmallPages = false }: IommuMapping): number {
    if (inSmallPages) return 0;
    for (let level = LEVEL_SIZES.length - 1; level > 0; level--) {
      const size = LEVEL_SIZES[level];
      const isCongruent = Number(iova & BigInt(size - 1)) === (pages.start + offset) % size;
      if (isCongruent && pages.pageSize >= size && (this.pageSizes & BigInt(size)) !== 0n) return level;
    }
    return 0;
  }

  /** Takes pages out, mapped or not; DMA that comes later faults (host-irq.md 5.3). */
  *unmap(iova: bigint, size: bigint): Step<void> {
    yield writes(this, "slots");
    this.dirty?.forget(iova, size);
    this.table.clear(Number(iova >> PAGE_BITS), Number(size >> PAGE_BITS), (entry, pages) => {
      const slot = entry >>> ENTRY_SHIFT;
      const mapped = this.slots[slot];
      if (mapped === null || (mapped.left -= pages) > 0) return;
      this.slots[slot] = null;
      this.freeSlots.push(slot);
    });
  }

  /** The entry for an address, in halves: ENTRY_READ and ENTRY_WRITE say what it allows; 0 is a translation fault. */
  *walk(hi: number, lo: number): Step<number> {
    yield reads(this, "slots");
    return this.table.walk(hi, lo);
  }

  /** The same for a write, which marks its entry dirty where that is asked for: one access of the hardware's. */
  *walkToWrite(hi: number, lo: number): Step<number> {
    yield reads(this, "slots");
    const entry = this.table.walk(hi, lo);
    if (this.dirty !== null && (entry & ENTRY_WRITE) !== 0) this.noteWrite(this.dirty, (hi >>> 0) * 2 ** 20 + (lo >>> 12));
    return entry;
  }

  private noteWrite(dirty: DirtyPages, page: number): void {
    const span = this.table.spanOf(page);
    if (span !== null) dirty.note(span.first, span.pages);
  }

  /** On, with nothing dirty, or off; what it is already it stays. */
  *setDirtyTracking(isOn: boolean): Step<void> {
    yield writes(this, "slots");
    if (!isOn) this.dirty = null;
    else if (this.dirty === null) this.dirty = new DirtyPages();
  }

  *isTracking(): Step<boolean> {
    yield reads(this, "slots");
    return this.dirty !== null;
  }

  /** Runs of pages in a range that were written, forgotten then unless `keeps`: DMA that comes later marks them anew. */
  *takeDirty(iova: bigint, length: bigint, keeps: boolean): Step<readonly { iova: bigint; length: bigint }[]> {
    yield writes(this, "slots");
    if (this.dirty === null) return [];
    const runs = this.dirty.runs(iova, length);
    if (!keeps) this.dirty.forget(iova, length);
    return runs;
  }

  /**
   * The frame behind an address whose entry {@link walk} has just found, nothing in between: its bytes, of which the one
   * addressed is at `iova % 4096`.
   */
  frame(entry: number, iova: number): DataView {
    const mapped = this.mappedOf(entry);
    return mapped.mapping.pages.frame(iova - mapped.start);
  }

  /** The same of another device's registers: what is mapped there may be no memory (peer to peer). Null: it is. */
  registers(entry: number, iova: number): ReturnType<PinnedPages["registersAt"]> {
    const mapped = this.mappedOf(entry);
    return mapped.mapping.pages.registersAt(iova - mapped.start);
  }

  private mappedOf(entry: number): Mapped {
    const mapped = this.slots[entry >>> ENTRY_SHIFT];
    if (mapped === null) throw new Error(`the entry ${entry} is of no mapping`);
    return mapped;
  }

  /** Bytes mapped, and bytes of tables that this takes: for tests and dumps. */
  *usage(): Step<{ mappedBytes: number; tableBytes: number }> {
    yield reads(this, "slots");
    const mappedBytes = this.slots.reduce((sum, each) => sum + (each === null ? 0 : each.left * PAGE), 0);
    return { mappedBytes, tableBytes: this.table.bytes };
  }
}
shared(IommuDomain, "slots", "doorbells");
