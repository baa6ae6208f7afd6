import type { HostRam } from "./host-ram.js";

const FIRST_LPI = 8192;
/** Words of pending bits: 16 bits of INTID. */
const WORDS = 0x10000 / 32;
const SUMMARY_WORDS = WORDS / 32;
const SGIS = 16;
/** 4.1: where a pending table keeps the configuration of its vPE's SGIs, in the KiB that is the implementation's own. */
const SGI_CONFIG = 16;

const ENABLED = 1;
const PRIORITY = 0xfc;
/** No LPI has this priority. */
const NO_PRIORITY = 0xff;

/** Changes a bit of a pending table in memory: did it change? */
export function changePendingBit(ram: HostRam, table: number, intid: number, isPending: boolean): boolean {
  return ram.assign(table + (intid >>> 3), 1 << (intid & 7), isPending);
}

/** The byte that configures a vPE's SGI: as an LPI's, priority [7:2], group 1, enabled 0 (GICv4.1). */
export const sgiConfigAddress = (pendingTable: number, sgi: number): number => pendingTable + SGI_CONFIG + sgi;

/**
 * The LPIs that a redistributor looks after while it is told of a configuration table and a pending table: the physical
 * ones of its CPU, or the virtual ones of the vPE that is resident (gic-v4.md C1.4). Changes of a pending bit go to the
 * table in memory at once. A configuration byte is read when its LPI becomes pending or the best is chosen anew, and is
 * otherwise cached: software that changes one invalidates.
 */
export class LpiSet {
  /** The best of those that are pending and enabled, -1 when there is none; among equals the lowest INTID. */
  intid = -1;
  priority = NO_PRIORITY;
  group: 0 | 1 = 1;
  /** Address of the pending table, -1 while it looks after none. */
  table = -1;
  private configuration = 0;
  private end = 0;
  private hasSgis = false;
  /** Bit 0: group 0 is on, bit 1: group 1. What is pending in one that is off hides nothing of the other. */
  private groups = 3;
  private bits = new Int32Array(0);
  private readonly summary = new Int32Array(SUMMARY_WORDS);
  /** Words of `bits` that are not 0. */
  private filled = 0;

  constructor(private readonly ram: HostRam) {}

  /** Reads the pending table. LPIs end at 2^idBits; `hasSgis`: INTIDs 0 to 15 are the vPE's SGIs, `groups` those that are on. */
  open(table: number, configuration: number, idBits: number, groups = 3, hasSgis = false): void {
    if (this.bits.length === 0) this.bits = new Int32Array(WORDS);
    this.table = table;
    this.configuration = configuration;
    this.end = 2 ** Math.min(idBits, 16);
    this.hasSgis = hasSgis;
    this.groups = groups;
    this.forget();
    const { ram } = this;
    const words = ram.has(table, this.end / 8) ? this.end / 32 : 0;
    for (let word = FIRST_LPI / 32; word < words; word++) this.store(word, 0, ram.word(table + 4 * word));
    if (hasSgis && words > 0) this.store(0, 0, ram.word(table) & 0xffff);
    this.choose();
  }

  close(): void {
    this.table = -1;
    this.end = 0;
    this.forget();
    this.choose();
  }

  private forget(): void {
    this.bits.fill(0);
    this.summary.fill(0);
    this.filled = 0;
  }

  has(intid: number): boolean {
    return intid < this.end && (intid >= FIRST_LPI || (this.hasSgis && intid < SGIS));
  }

  isPending(intid: number): boolean {
    return (this.bits[intid >>> 5] & (1 << (intid & 31))) !== 0;
  }

  /** Is anything enabled pending, whatever its priority and group? */
  get isAnyEnabled(): boolean {
    if (this.intid >= 0 || this.groups === 3) return this.intid >= 0;
    for (let intid = this.next(0); intid >= 0; intid = this.next(intid + 1)) if ((this.byteOf(intid) & ENABLED) !== 0) return true;
    return false;
  }

  /** An event came for it, or it was taken back: did that change its pending state? */
  change(intid: number, isPending: boolean): boolean {
    if (!this.has(intid)) return false;
    const word = intid >>> 5;
    const before = this.bits[word];
    const bit = 1 << (intid & 31);
    if (((before & bit) !== 0) === isPending) return false;
    this.store(word, before, before ^ bit);
    changePendingBit(this.ram, this.table, intid, isPending);
    if (isPending) this.consider(intid);
    else if (intid === this.intid) this.choose();
    return true;
  }

  /** Everything pending goes to another set. */
  moveTo(other: LpiSet): void {
    for (let intid = this.next(0); intid >= 0; intid = this.next(intid + 1))
      if (other.has(intid)) {
        this.change(intid, false);
        other.change(intid, true);
      }
  }

  /** The first pending one from `intid` on, -1. */
  next(intid: number): number {
    for (let word = intid >>> 5; word < this.bits.length; word++) {
      const bits = word === intid >>> 5 ? this.bits[word] & (-1 << (intid & 31)) : this.bits[word];
      if (bits !== 0) return (word << 5) | lowestBit(bits);
    }
    return -1;
  }

  /** Looks at all that is pending, with the configuration as it is in memory now. */
  choose(): void {
    this.intid = -1;
    this.priority = NO_PRIORITY;
    if (this.filled === 0) return;
    for (let i = 0; i < SUMMARY_WORDS; i++)
      for (let words = this.summary[i]; words !== 0; words &= words - 1) {
        const word = (i << 5) | lowestBit(words);
        for (let bits = this.bits[word]; bits !== 0; bits &= bits - 1) this.consider((word << 5) | lowestBit(bits));
      }
  }

  private consider(intid: number): void {
    const byte = this.byteOf(intid);
    if ((byte & ENABLED) === 0) return;
    const priority = byte & PRIORITY;
    if (priority > this.priority || (priority === this.priority && intid > this.intid)) return;
    const group = intid < FIRST_LPI && (byte & 2) === 0 ? 0 : 1;
    if (((this.groups >>> group) & 1) === 0) return;
    this.intid = intid;
    this.priority = priority;
    this.group = group;
  }

  /** Its configuration; 0 where there is no memory. */
  private byteOf(intid: number): number {
    const byte = this.ram.u8(intid < FIRST_LPI ? sgiConfigAddress(this.table, intid) : this.configuration + intid - FIRST_LPI);
    return byte < 0 ? 0 : byte;
  }

  private store(word: number, before: number, bits: number): void {
    this.bits[word] = bits;
    if ((before === 0) === (bits === 0)) return;
    this.summary[word >>> 5] ^= 1 << (word & 31);
    this.filled += bits === 0 ? -1 : 1;
  }
}

const lowestBit = (word: number): number => 31 - Math.clz32(word & -word);
