/** One register: what it holds after reset, and the bits that software may write or clear by writing 1. */
export interface ConfigField {
  readonly offset: number;
  readonly size: 1 | 2 | 4;
  readonly value?: number;
  readonly writable?: number;
  readonly clears?: number;
}

/**
 * The bytes of a function's configuration space, little-endian, with the bits that software may change. Values of 4
 * bytes are int32.
 */
export class ConfigSpace {
  private readonly view: DataView;
  private readonly afterReset: Uint8Array;
  private readonly writable: Uint8Array;
  private readonly clears: Uint8Array;

  /** @param size 256, or 4096 of a PCI Express function */
  constructor(readonly size: number) {
    this.view = new DataView(new ArrayBuffer(size));
    this.afterReset = new Uint8Array(size);
    this.writable = new Uint8Array(size);
    this.clears = new Uint8Array(size);
  }

  /** Lays fields out from `base` on. */
  define(fields: readonly ConfigField[], base = 0): void {
    for (const { offset, size, value = 0, writable = 0, clears = 0 } of fields)
      for (let i = 0; i < size; i++) {
        const at = base + offset + i;
        this.view.setUint8(at, (value >>> (8 * i)) & 0xff);
        this.afterReset[at] = (value >>> (8 * i)) & 0xff;
        this.writable[at] = (writable >>> (8 * i)) & 0xff;
        this.clears[at] = (clears >>> (8 * i)) & 0xff;
      }
  }

  get(offset: number, size: number): number {
    if (size === 4) return this.view.getInt32(offset, true);
    return size === 2 ? this.view.getUint16(offset, true) : this.view.getUint8(offset);
  }

  /** What the function itself puts there. */
  set(offset: number, size: number, value: number): void {
    if (size === 4) this.view.setInt32(offset, value, true);
    else if (size === 2) this.view.setUint16(offset, value, true);
    else this.view.setUint8(offset, value);
  }

  /** A configuration write: only the bits that software may change change. */
  store(offset: number, size: number, value: number): void {
    for (let i = 0; i < size; i++) {
      const at = offset + i;
      const byte = (value >>> (8 * i)) & 0xff;
      const kept = this.view.getUint8(at) & ~this.writable[at] & ~(byte & this.clears[at]);
      this.view.setUint8(at, kept | (byte & this.writable[at]));
    }
  }

  reset(): void {
    for (let at = 0; at < this.size; at++) this.view.setUint8(at, this.afterReset[at]);
  }
}
