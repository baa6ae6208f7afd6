import { BASER_INDIRECT_HIGH, BASER_VALID_HIGH, baserAddress, baserPageSize } from "../../../arch/gic/gits.js";
import { physicalAddress } from "../../../arch/gic/physical-address.js";
import type { HostRam } from "./host-ram.js";

const LEVEL1_ENTRY = 8;
/** {@link ItsTable.find}: the second-level page is not there; memory could not be read. */
export const ABSENT = -1;
export const FAULT = -2;

/** Where one of an ITS's tables lies: flat, or in two levels (gic-its.md B3, B11). */
export class ItsTable {
  /** Entries it has room for; 0 while it is not valid. */
  entries = 0;
  private base = 0;
  private pageSize = 0;
  private isIndirect = false;

  constructor(
    private readonly ram: HostRam,
    /** Bytes. */
    readonly entrySize: number,
    /** Most bits of what indexes it. */
    private readonly idBits: number,
  ) {}

  /** GITS_BASER<n> as the ITS is enabled. */
  configure(low: number, high: number): void {
    this.place(baserAddress(low, high), baserPageSize(low), (low & 0xff) + 1, (high & BASER_INDIRECT_HIGH) !== 0);
    if ((high & BASER_VALID_HIGH) === 0) this.entries = 0;
  }

  place(base: number, pageSize: number, pages: number, isIndirect: boolean): void {
    this.base = base;
    this.pageSize = pageSize;
    this.isIndirect = isIndirect;
    const room = isIndirect ? ((pages * pageSize) / LEVEL1_ENTRY) * Math.floor(pageSize / this.entrySize) : Math.floor((pages * pageSize) / this.entrySize);
    this.entries = Math.min(room, 2 ** this.idBits);
  }

  /** Address of an entry below {@link entries}; {@link ABSENT}, {@link FAULT}. */
  find(index: number): number {
    const { ram, entrySize } = this;
    const address = this.isIndirect ? this.findIndirect(index) : this.base + index * entrySize;
    return address < 0 || ram.has(address, entrySize) ? address : FAULT;
  }

  private findIndirect(index: number): number {
    const { ram, entrySize } = this;
    const perPage = Math.floor(this.pageSize / entrySize);
    const level1 = this.base + Math.floor(index / perPage) * LEVEL1_ENTRY;
    if (!ram.has(level1, LEVEL1_ENTRY)) return FAULT;
    const high = ram.word(level1 + 4);
    if (high >= 0) return ABSENT;
    return physicalAddress(high & 0xfffff, ram.word(level1) & 0xfffff000) + (index % perPage) * entrySize;
  }
}
