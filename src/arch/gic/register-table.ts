/** Who may do what; RAZ: reads as zero, writes ignored. */
export type RegisterAccess = "RO" | "RW" | "WO" | "RAZ";

/** Access sizes as a set: the size in bytes is its own bit. */
export const W8 = 1;
export const W32 = 4;
export const W64 = 8;

/** One row of a register map: a register, or an array of `count` registers of `width` bytes. */
export interface GicRegister {
  /** The manual's name, without the index: GICD_ISENABLER. */
  readonly name: string;
  /** Of the first, from the start of the frame. */
  readonly offset: number;
  /** Bytes: 4 or 8. */
  readonly width: number;
  readonly count: number;
  /** Allowed access sizes: {@link W8}, {@link W32}, {@link W64}. Others are RAZ/WI (gic-v3.md A4.1). */
  readonly sizes: number;
  readonly access: RegisterAccess;
  /** Bits that each interrupt has in an array; 0 where it is not an array over INTIDs. */
  readonly perInterrupt: number;
  /** Value of the first after reset, where it is not the implementation's own (TYPER, IIDR, ID registers). */
  readonly reset: number;
  readonly meaning: string;
}

type Row = readonly [name: string, offset: number, access: RegisterAccess, meaning: string, options?: Partial<GicRegister>];

/** Rows in the order of the enumeration that names them. */
export function registerTable(prefix: string, rows: readonly Row[]): readonly GicRegister[] {
  return rows.map(([name, offset, access, meaning, options]) => ({
    name: `${prefix}_${name}`,
    offset,
    access,
    meaning,
    width: 4,
    count: 1,
    sizes: W32,
    perInterrupt: 0,
    reset: 0,
    ...options,
  }));
}

/** A frame of registers: finds the row of an offset in one look-up, and names it in traces. */
export class RegisterFrame {
  /** Row number by word; -1 where the frame holds nothing. */
  private readonly rowOf: Int16Array;
  /** The access sizes there, by word: 0 where the frame holds nothing. */
  private readonly sizesOf: Uint8Array;

  /** @param size bytes of the frame */
  constructor(
    readonly table: readonly GicRegister[],
    readonly size: number,
  ) {
    this.rowOf = new Int16Array(size >> 2).fill(-1);
    this.sizesOf = new Uint8Array(size >> 2);
    table.forEach((register, row) => {
      const end = register.offset + register.width * register.count;
      this.rowOf.fill(row, register.offset >> 2, end >> 2);
      this.sizesOf.fill(register.sizes, register.offset >> 2, end >> 2);
    });
  }

  /** Row of the register that an access of `size` bytes at `offset` reaches, -1 for RAZ/WI (gic-v3.md A4.1, A4.4). */
  find(offset: number, size: number): number {
    if (offset < 0 || offset >= this.size || (offset & (size - 1)) !== 0) return -1;
    return (this.sizesOf[offset >> 2] & size) === 0 ? -1 : this.rowOf[offset >> 2];
  }

  /** "GICD_ISENABLER3", "GICD_IROUTER40+4", "+0x1234" where nothing is. */
  nameAt(offset: number): string {
    const row = offset >= 0 && offset < this.size ? this.rowOf[offset >> 2] : -1;
    if (row < 0) return `+0x${offset.toString(16)}`;
    const { name, offset: start, width, count } = this.table[row];
    const index = Math.floor((offset - start) / width);
    const rest = (offset - start) % width;
    return `${name}${count > 1 ? index : ""}${rest === 0 ? "" : `+${rest}`}`;
  }
}
