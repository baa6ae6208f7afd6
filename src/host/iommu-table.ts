const ENTRIES = 512;
const BITS = 9;
const PAGE_SHIFT = 12;

/** A page entry: what it leads to, shifted left by these, over what may be done there. */
export const ENTRY_SHIFT = 2;
export const ENTRY_READ = 1;
export const ENTRY_WRITE = 2;
/** No entry: what is there faults. */
export const NO_ENTRY = 0;

/** One table: each place a page of its level, a table of the level below, or nothing. */
class Table {
  readonly entries = new Int32Array(ENTRIES);
  readonly children: (Table | null)[] | null;
  used = 0;

  constructor(readonly level: number) {
    this.children = level === 0 ? null : new Array<Table | null>(ENTRIES).fill(null);
  }
}

/** Place in a table of a level, of an address in halves. */
function placeOf(level: number, hi: number, lo: number): number {
  const shift = PAGE_SHIFT + BITS * level;
  if (shift < 32) return ((lo >>> shift) | (shift > 32 - BITS ? hi << (32 - shift) : 0)) & (ENTRIES - 1);
  return (hi >>> (shift - 32)) & (ENTRIES - 1);
}

/**
 * The page tables of an IOMMU as VT-d and the SMMU have them: 512 entries a table, 4 KiB at the lowest level, pages of
 * 2 MiB and 1 GiB as entries of the levels above. An entry is an int32 of the caller's. Four bytes a mapped page, next to
 * nothing for the large ones; addresses are page numbers of 4 KiB (52 bits), or, to walk, 64 bits in halves.
 */
export class IommuTable {
  private readonly root: Table;
  private readonly levels: number;

  /** @param addressBits of the I/O virtual addresses: as many levels as they need */
  constructor(addressBits: number) {
    this.levels = Math.max(1, Math.ceil((addressBits - PAGE_SHIFT) / BITS));
    this.root = new Table(this.levels - 1);
  }

  /** The walk that the hardware does for a transaction: the entry, or {@link NO_ENTRY}. Allocates nothing. */
  walk(hi: number, lo: number): number {
    const bits = PAGE_SHIFT + BITS * this.levels;
    if (bits < 64 && (bits <= 32 ? hi !== 0 || (bits < 32 && lo >>> bits !== 0) : hi >>> (bits - 32) !== 0)) return NO_ENTRY;
    let table = this.root;
    for (;;) {
      const place = placeOf(table.level, hi, lo);
      const child: Table | null = table.children === null ? null : table.children[place];
      if (child === null) return table.entries[place];
      table = child;
    }
  }

  /**
   * Enters pages of one level: `count` entries of 512^level pages of 4 KiB each, from the page `first` on.
   * What was there must be gone.
   */
  enter(first: number, level: number, count: number, entry: number): void {
    const step = ENTRIES ** level;
    for (let done = 0; done < count; ) {
      const at = first + done * step;
      const table = this.tableFor(at, level);
      const place = Math.floor(at / step) % ENTRIES;
      const here = Math.min(count - done, ENTRIES - place);
      table.entries.fill(entry, place, place + here);
      table.used += here;
      done += here;
    }
  }

  private tableFor(page: number, level: number): Table {
    let table = this.root;
    while (table.level > level) {
      const place = Math.floor(page / ENTRIES ** table.level) % ENTRIES;
      const { children } = table;
      if (children === null) throw new Error("an IOMMU table has no level below its pages");
      let child = children[place];
      if (child === null) {
        children[place] = child = new Table(table.level - 1);
        table.used++;
      }
      table = child;
    }
    return table;
  }

  /** Takes pages out, and the tables that this empties; `removed` hears of each run of equal entries, in pages of 4 KiB. */
  clear(first: number, count: number, removed: (entry: number, pages: number) => void): void {
    clearTable(this.root, first, first + count, removed);
  }

  /** Bytes that the tables take, for reports. */
  get bytes(): number {
    return bytesOf(this.root);
  }
}

/** `first` and `end` are page numbers counted from the table's own first page. */
function clearTable(table: Table, first: number, end: number, removed: (entry: number, pages: number) => void): void {
  const step = ENTRIES ** table.level;
  const lastPlace = Math.min(ENTRIES, Math.ceil(end / step));
  for (let place = Math.floor(first / step); place < lastPlace; place++) {
    const base = place * step;
    const child = table.children === null ? null : table.children[place];
    if (child === null) clearEntry(table, place, Math.max(first, base) === base && end >= base + step, removed);
    else {
      clearTable(child, Math.max(first - base, 0), Math.min(end - base, step), removed);
      if (child.used > 0 || table.children === null) continue;
      table.children[place] = null;
      table.used--;
    }
  }
}

function clearEntry(table: Table, place: number, isWhole: boolean, removed: (entry: number, pages: number) => void): void {
  const entry = table.entries[place];
  if (entry === NO_ENTRY) return;
  if (!isWhole) throw new Error("a large page of an IOMMU table is cut");
  table.entries[place] = NO_ENTRY;
  table.used--;
  removed(entry, ENTRIES ** table.level);
}

function bytesOf(table: Table): number {
  let bytes = table.entries.byteLength + (table.children?.length ?? 0) * 8;
  for (const child of table.children ?? []) if (child !== null) bytes += bytesOf(child);
  return bytes;
}
