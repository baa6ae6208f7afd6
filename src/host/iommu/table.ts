const ENTRIES = 512;
const INDEX = ENTRIES - 1;
const BITS = 9;
const PAGE_SHIFT = 12;
const ROOT = 0;

/** A page entry: what it leads to, shifted left by these, over what may be done there. */
export const ENTRY_SHIFT = 2;
export const ENTRY_READ = 1;
export const ENTRY_WRITE = 2;
/** No entry: what is there faults. */
export const NO_ENTRY = 0;

/** What is taken out: runs of equal entries, in pages of 4 KiB. */
export type Removed = (entry: number, pages: number) => void;

/**
 * The page tables of an IOMMU as VT-d and the SMMU have them: 512 entries a table, 4 KiB at the lowest level, pages of
 * 2 MiB and 1 GiB as entries of the levels above. A page's entry is an int32 above 0 of the caller's, a table's its
 * number's complement. Four bytes a mapped page, next to nothing for the large ones. Pages are numbered (52 bits);
 * addresses to walk come in halves of 32 bits.
 */
export class IommuTable {
  private readonly levels: number;
  /** Of all tables, one behind the other; the first is the root. */
  private entries = new Int32Array(4 * ENTRIES);
  /** Entries that each table has, and numbers of tables that are free again. */
  private used = new Uint16Array(4);
  private readonly free: number[] = [];
  private tables = 1;

  /** @param addressBits of the I/O virtual addresses: as many levels as they need */
  constructor(addressBits: number) {
    this.levels = Math.max(1, Math.ceil((addressBits - PAGE_SHIFT) / BITS));
  }

  /** The walk that the hardware does for a transaction: the entry, or {@link NO_ENTRY}. Allocates nothing. */
  walk(hi: number, lo: number): number {
    const { entries } = this;
    let shift = BITS * this.levels;
    if (!this.isInside(hi, lo)) return NO_ENTRY;
    // The page's number in halves: bits 19:0 and 51:20.
    const low = lo >>> PAGE_SHIFT;
    let entry = ~ROOT;
    while (entry < 0) {
      shift -= BITS;
      let place: number;
      if (shift === 18) place = (low >>> 18) | (hi << 2);
      else place = shift < 18 ? low >>> shift : hi >>> (shift - 20);
      entry = entries[(~entry << BITS) | (place & INDEX)];
    }
    return entry;
  }

  /** Pages of 4 KiB that the entry spans which a page lies in, and the first of them; null where there is none. */
  spanOf(page: number): { first: number; pages: number } | null {
    let table = ROOT;
    for (let level = this.levels - 1; level >= 0; level--) {
      const step = ENTRIES ** level;
      const entry = this.entries[table * ENTRIES + (Math.floor(page / step) % ENTRIES)];
      if (entry > 0) return { first: page - (page % step), pages: step };
      if (entry === NO_ENTRY) return null;
      table = ~entry;
    }
    return null;
  }

  private isInside(hi: number, lo: number): boolean {
    const bits = PAGE_SHIFT + BITS * this.levels;
    if (bits > 32) return bits >= 64 || hi >>> (bits - 32) === 0;
    return hi === 0 && lo >>> bits === 0;
  }

  /**
   * Enters pages of one level: `count` entries of 512^level pages of 4 KiB each, from the page `first` on.
   * What was there must be gone.
   */
  enter(first: number, level: number, count: number, entry: number): void {
    const step = ENTRIES ** level;
    if (first + count * step > ENTRIES ** this.levels) throw new Error("a page is entered beyond the addresses of an IOMMU table");
    for (let done = 0; done < count; ) {
      const at = first + done * step;
      const table = this.tableFor(at, level);
      const place = Math.floor(at / step) % ENTRIES;
      const here = Math.min(count - done, ENTRIES - place);
      this.entries.fill(entry, table * ENTRIES + place, table * ENTRIES + place + here);
      this.used[table] += here;
      done += here;
    }
  }

  private tableFor(page: number, level: number): number {
    let table = ROOT;
    for (let above = this.levels - 1; above > level; above--) {
      const at = table * ENTRIES + (Math.floor(page / ENTRIES ** above) % ENTRIES);
      if (this.entries[at] > 0) throw new Error("a large page of an IOMMU table is mapped over");
      if (this.entries[at] === NO_ENTRY) {
        const child = this.newTable();
        this.entries[at] = ~child;
        this.used[table]++;
      }
      table = ~this.entries[at];
    }
    return table;
  }

  private newTable(): number {
    const table = this.free.pop() ?? this.tables++;
    if (table < this.used.length) return table;
    const entries = new Int32Array(2 * this.entries.length);
    const used = new Uint16Array(2 * this.used.length);
    entries.set(this.entries);
    used.set(this.used);
    this.entries = entries;
    this.used = used;
    return table;
  }

  /** Takes pages out, and the tables that this empties. */
  clear(first: number, count: number, removed: Removed): void {
    this.clearTable(ROOT, this.levels - 1, first, first + count, removed);
  }

  /** `first` and `end` count from the table's own first page. */
  private clearTable(table: number, level: number, first: number, end: number, removed: Removed): void {
    if (level === 0) return this.clearPages(table, first, end, removed);
    const step = ENTRIES ** level;
    const { entries } = this;
    const last = Math.min(ENTRIES, Math.ceil(end / step));
    for (let place = Math.floor(first / step); place < last; place++) {
      const at = table * ENTRIES + place;
      const base = place * step;
      const entry = entries[at];
      if (entry === NO_ENTRY) continue;
      if (entry < 0) {
        this.clearTable(~entry, level - 1, Math.max(first - base, 0), Math.min(end - base, step), removed);
        if (this.used[~entry] > 0) continue;
        this.free.push(~entry);
      } else if (first > base || end < base + step) throw new Error("a large page of an IOMMU table is cut");
      else removed(entry, step);
      entries[at] = NO_ENTRY;
      this.used[table]--;
    }
  }

  private clearPages(table: number, first: number, end: number, removed: Removed): void {
    const { entries } = this;
    const last = table * ENTRIES + Math.min(end, ENTRIES);
    for (let at = table * ENTRIES + first; at < last; ) {
      const from = at;
      const entry = entries[at];
      while (at < last && entries[at] === entry) entries[at++] = NO_ENTRY;
      if (entry === NO_ENTRY) continue;
      this.used[table] -= at - from;
      removed(entry, at - from);
    }
  }

  /** Bytes that the tables in use take, for reports. */
  get bytes(): number {
    return (this.tables - this.free.length) * ENTRIES * Int32Array.BYTES_PER_ELEMENT;
  }
}
