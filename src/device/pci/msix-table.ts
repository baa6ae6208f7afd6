import { Msix } from "../../arch/pci/config-registers.js";

const WORDS = Msix.ENTRY_SIZE / 4;
const CONTROL = 3;

/** The MSI-X table and pending bits of a function (PCI 3.0, 6.8.2): 32-bit words. */
export class MsixTable {
  private readonly entries: Int32Array;
  private readonly pending: Int32Array;
  /** Vectors that pend. */
  pendingCount = 0;

  constructor(readonly vectors: number) {
    this.entries = new Int32Array(vectors * WORDS);
    this.pending = new Int32Array((vectors + 31) >> 5);
    this.reset();
  }

  get bytes(): number {
    return this.vectors * Msix.ENTRY_SIZE;
  }

  get pbaBytes(): number {
    return ((this.vectors + 63) >> 6) * 8;
  }

  reset(): void {
    this.entries.fill(0);
    for (let vector = 0; vector < this.vectors; vector++) this.entries[vector * WORDS + CONTROL] = Msix.ENTRY_MASKED;
    this.pending.fill(0);
    this.pendingCount = 0;
  }

  read(offset: number): number {
    return this.entries[offset >> 2];
  }

  /** The reserved bits of the vector control stay 0. */
  write(offset: number, value: number): void {
    const word = offset >> 2;
    this.entries[word] = word % WORDS === CONTROL ? value & Msix.ENTRY_MASKED : value;
  }

  readPending(offset: number): number {
    return this.pending[offset >> 2] ?? 0;
  }

  isMasked(vector: number): boolean {
    return (this.entries[vector * WORDS + CONTROL] & Msix.ENTRY_MASKED) !== 0;
  }

  addressLo(vector: number): number {
    return this.entries[vector * WORDS];
  }

  addressHi(vector: number): number {
    return this.entries[vector * WORDS + 1];
  }

  dataOf(vector: number): number {
    return this.entries[vector * WORDS + 2];
  }

  isPending(vector: number): boolean {
    return ((this.pending[vector >> 5] >>> (vector & 31)) & 1) === 1;
  }

  setPending(vector: number, isPending: boolean): void {
    if (isPending === this.isPending(vector)) return;
    this.pendingCount += isPending ? 1 : -1;
    if (isPending) this.pending[vector >> 5] |= 1 << (vector & 31);
    else this.pending[vector >> 5] &= ~(1 << (vector & 31));
  }
}
