/**
 * Codecs for the structures that user space and the kernel exchange: little endian, exact offsets.
 * Reading and writing a field allocates nothing, except `getBig`, `setBig` and `slice`. A value that does not fit its
 * field is refused with a RangeError, never truncated (kvm-irq-core.md 0.2).
 */

const TWO32 = 0x1_0000_0000;

abstract class Field {
  /** "kvm_irqfd.gsi"; set when the structure is declared. */
  label = "";
  constructor(
    readonly offset: number,
    readonly width: number,
  ) {}

  protected refuse(value: number | bigint): never {
    throw new RangeError(`${this.label}: ${value} does not fit`);
  }
}

export class U8 extends Field {
  constructor(offset: number) {
    super(offset, 1);
  }
  get(view: DataView, base = 0): number {
    return view.getUint8(base + this.offset);
  }
  set(view: DataView, value: number, base = 0): void {
    if ((value & 0xff) !== value) this.refuse(value);
    view.setUint8(base + this.offset, value);
  }
}

export class S8 extends Field {
  constructor(offset: number) {
    super(offset, 1);
  }
  get(view: DataView, base = 0): number {
    return view.getInt8(base + this.offset);
  }
  set(view: DataView, value: number, base = 0): void {
    if ((value << 24) >> 24 !== value) this.refuse(value);
    view.setInt8(base + this.offset, value);
  }
}

export class U16 extends Field {
  constructor(offset: number) {
    super(offset, 2);
  }
  get(view: DataView, base = 0): number {
    return view.getUint16(base + this.offset, true);
  }
  set(view: DataView, value: number, base = 0): void {
    if ((value & 0xffff) !== value) this.refuse(value);
    view.setUint16(base + this.offset, value, true);
  }
}

export class U32 extends Field {
  constructor(offset: number) {
    super(offset, 4);
  }
  get(view: DataView, base = 0): number {
    return view.getUint32(base + this.offset, true);
  }
  /** `value` is unsigned: a register value held as int32 needs `>>> 0`. */
  set(view: DataView, value: number, base = 0): void {
    if (value >>> 0 !== value) this.refuse(value);
    view.setUint32(base + this.offset, value, true);
  }
}

export class S32 extends Field {
  constructor(offset: number) {
    super(offset, 4);
  }
  get(view: DataView, base = 0): number {
    return view.getInt32(base + this.offset, true);
  }
  set(view: DataView, value: number, base = 0): void {
    if ((value | 0) !== value) this.refuse(value);
    view.setInt32(base + this.offset, value, true);
  }
}

abstract class Wide extends Field {
  constructor(offset: number) {
    super(offset, 8);
  }
  /** Bits 31:0, unsigned. */
  lo(view: DataView, base = 0): number {
    return view.getUint32(base + this.offset, true);
  }
  /** Bits 63:32, unsigned. */
  hi(view: DataView, base = 0): number {
    return view.getUint32(base + this.offset + 4, true);
  }
  /** Each half is 32 bits, as int32 or as unsigned. */
  setHalves(view: DataView, lo: number, hi: number, base = 0): void {
    if (lo >>> 0 !== lo && (lo | 0) !== lo) this.refuse(lo);
    if (hi >>> 0 !== hi && (hi | 0) !== hi) this.refuse(hi);
    view.setInt32(base + this.offset, lo, true);
    view.setInt32(base + this.offset + 4, hi, true);
  }
  protected writeNumber(view: DataView, value: number, base: number): void {
    view.setUint32(base + this.offset, value, true);
    view.setInt32(base + this.offset + 4, Math.floor(value / TWO32), true);
  }
}

export class U64 extends Wide {
  /** Exact up to 2^53 - 1, Infinity above. */
  getNumber(view: DataView, base = 0): number {
    const hi = view.getUint32(base + this.offset + 4, true);
    if (hi > 0x1f_ffff) return Infinity;
    return hi * TWO32 + view.getUint32(base + this.offset, true);
  }
  setNumber(view: DataView, value: number, base = 0): void {
    if (!Number.isSafeInteger(value) || value < 0) this.refuse(value);
    this.writeNumber(view, value, base);
  }
  getBig(view: DataView, base = 0): bigint {
    return view.getBigUint64(base + this.offset, true);
  }
  setBig(view: DataView, value: bigint, base = 0): void {
    if (BigInt.asUintN(64, value) !== value) this.refuse(value);
    view.setBigUint64(base + this.offset, value, true);
  }
}

export class S64 extends Wide {
  /** Exact within ±(2^53 - 1), ±Infinity outside. */
  getNumber(view: DataView, base = 0): number {
    const value = view.getInt32(base + this.offset + 4, true) * TWO32 + view.getUint32(base + this.offset, true);
    if (Number.isSafeInteger(value)) return value;
    return value > 0 ? Infinity : -Infinity;
  }
  setNumber(view: DataView, value: number, base = 0): void {
    if (!Number.isSafeInteger(value)) this.refuse(value);
    this.writeNumber(view, value, base);
  }
  getBig(view: DataView, base = 0): bigint {
    return view.getBigInt64(base + this.offset, true);
  }
  setBig(view: DataView, value: bigint, base = 0): void {
    if (BigInt.asIntN(64, value) !== value) this.refuse(value);
    view.setBigInt64(base + this.offset, value, true);
  }
}

export class Bytes extends Field {
  constructor(
    offset: number,
    readonly length: number,
  ) {
    super(offset, 1);
  }
  /** The bytes themselves, not a copy. */
  slice(view: DataView, base = 0): Uint8Array {
    return new Uint8Array(view.buffer, view.byteOffset + base + this.offset, this.length);
  }
}

export const u8 = (offset: number): U8 => new U8(offset);
export const s8 = (offset: number): S8 => new S8(offset);
export const u16 = (offset: number): U16 => new U16(offset);
export const u32 = (offset: number): U32 => new U32(offset);
export const s32 = (offset: number): S32 => new S32(offset);
export const u64 = (offset: number): U64 => new U64(offset);
export const s64 = (offset: number): S64 => new S64(offset);
export const bytes = (offset: number, length: number): Bytes => new Bytes(offset, length);
/** An array of u32: `kvm_vcpu_init.features[0].get(view)`. */
export const u32s = (offset: number, count: number): readonly U32[] => Array.from({ length: count }, (_, i) => u32(offset + 4 * i));
/** An array of u64: `kvm_enable_cap.args[0].getNumber(view)`. */
export const u64s = (offset: number, count: number): readonly U64[] => Array.from({ length: count }, (_, i) => u64(offset + 8 * i));

/** Members of a union are grouped: `kvm_run.mmio.len`. All offsets count from the start of the structure. */
export type FieldTree = Field | readonly FieldTree[] | { readonly [member: string]: FieldTree };

export interface StructInfo {
  readonly name: string;
  /** Bytes, as `sizeof`; a trailing array of any length counts 0. */
  readonly size: number;
  /** Offset just past the last mandatory field, for structures that begin with `argsz` (vfio.md 0.2); else `size`. */
  readonly minsz: number;
}

/** The kernel's `size` and `name` members are spelt `size_` and `name_`, because those are the structure's own. */
type Unreserved = { readonly name?: never; readonly size?: never; readonly minsz?: never };

function bind(tree: FieldTree, label: string, size: number): void {
  if (!(tree instanceof Field)) {
    for (const [member, child] of Object.entries(tree)) bind(child, `${label}.${member}`, size);
    return;
  }
  tree.label = label;
  const end = tree.offset + (tree instanceof Bytes ? tree.length : tree.width);
  if (end > size || tree.offset % tree.width !== 0) throw new RangeError(`${label}: misplaced at ${tree.offset}`);
}

/** Declares a structure; its fields are properties of the result. Throws RangeError for a field outside it or unaligned. */
export function struct<const F extends { readonly [member: string]: FieldTree } & Unreserved>(
  name: string,
  size: number,
  fields: F,
  minsz: number = size,
): F & StructInfo {
  for (const [member, tree] of Object.entries(fields)) bind(tree, `${name}.${member}`, size);
  return Object.freeze({ ...fields, name, size, minsz });
}
