import type { HostRam } from "./host-ram.js";

const FIRST_LPI = 8192;
/** Words of pending bits: 16 bits of INTID. */
const WORDS = 0x10000 / 32;
const SUMMARY_WORDS = WORDS / 32;
const SGIS = 16;
const SGI_BITS = 0xffff;
/** A table that nothing was stored in. Nobody writes here. */
const EMPTY = new Int32Array(WORDS);
/** 4.1: where a pending table keeps the configuration of its vPE's SGIs, in the KiB that is the implementation's own. */
const SGI_CONFIG = 16;

const ENABLED = 1;
const PRIORITY = 0xfc;
/** No LPI has this priority. */
const NO_PRIORITY = 0xff;

/** One that is pending and enabled; -1: none. */
export interface BestLpi {
  readonly intid: number;
  readonly priority: number;
  readonly group: 0 | 1;
}

class Best implements BestLpi {
  intid = -1;
  priority = NO_PRIORITY;
  group: 0 | 1 = 1;
}

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
export class LpiSet implements BestLpi {
  /** The best of those that are pending and enabled; among equals the lowest INTID. */
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
  /** The pending table, where it lies. */
  private words: Int32Array = EMPTY;
  /** A mark for each word that has something pending, and how many these are. */
  private readonly summary = new Int32Array(SUMMARY_WORDS);
  private marked = 0;
  /** {@link bestIn}. */
  private readonly found = new Best();

  constructor(private readonly ram: HostRam) {}

  /** Reads the pending table, at a multiple of 64 KiB. LPIs end at 2^idBits; `hasSgis`: INTIDs 0 to 15 are the vPE's SGIs, `groups` those that are on. */
  open(table: number, configuration: number, idBits: number, groups = 3, hasSgis = false): void {
    const { ram } = this;
    const end = 2 ** Math.min(idBits, 16);
    this.table = table;
    this.configuration = configuration;
    this.end = end;
    this.hasSgis = hasSgis;
    this.groups = groups;
    this.forget();
    // Where there is no memory, the redistributor alone keeps what is pending.
    this.words = ram.has(table, end / 8) ? (ram.frameOf(table) ?? EMPTY) : new Int32Array(WORDS);
    if (this.words !== EMPTY) {
      if (hasSgis && this.bitsOf(0) !== 0) this.mark(0);
      for (let word = FIRST_LPI / 32; word < end / 32; word++) if (this.words[word] !== 0) this.mark(word);
    }
    this.choose();
  }

  close(): void {
    this.table = -1;
    this.end = 0;
    this.forget();
    this.choose();
  }

  private forget(): void {
    this.words = EMPTY;
    this.summary.fill(0);
    this.marked = 0;
  }

  has(intid: number): boolean {
    return intid < this.end && (intid >= FIRST_LPI || (this.hasSgis && intid < SGIS));
  }

  isPending(intid: number): boolean {
    return (this.words[intid >>> 5] & (1 << (intid & 31))) !== 0;
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
    if (this.words === EMPTY) {
      if (!isPending) return false;
      this.words = this.ram.makeFrame(this.table);
    }
    const { words } = this;
    const word = intid >>> 5;
    const bit = 1 << (intid & 31);
    if (((words[word] & bit) !== 0) === isPending) return false;
    words[word] ^= bit;
    if (isPending) {
      this.mark(word);
      this.consider(intid, this, this.groups);
    } else {
      if (this.bitsOf(word) === 0) this.unmark(word);
      if (intid === this.intid) this.choose();
    }
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
    for (let word = intid >>> 5; word < WORDS; word++) {
      if (!this.isMarked(word)) continue;
      const bits = this.bitsOf(word) & (word === intid >>> 5 ? -1 << (intid & 31) : -1);
      if (bits !== 0) return (word << 5) | lowestBit(bits);
    }
    return -1;
  }

  /** Looks at all that is pending, with the configuration as it is in memory now. */
  choose(): void {
    this.chooseInto(this, this.groups);
  }

  /** The best of some of the groups that are on; null: none. Good until the next call. */
  bestIn(groups: number): BestLpi | null {
    this.chooseInto(this.found, this.groups & groups);
    return this.found.intid < 0 ? null : this.found;
  }

  private chooseInto(best: Best, groups: number): void {
    best.intid = -1;
    best.priority = NO_PRIORITY;
    if (this.marked === 0) return;
    for (let i = 0; i < SUMMARY_WORDS; i++)
      for (let words = this.summary[i]; words !== 0; words &= words - 1) {
        const word = (i << 5) | lowestBit(words);
        for (let bits = this.bitsOf(word); bits !== 0; bits &= bits - 1) this.consider((word << 5) | lowestBit(bits), best, groups);
      }
  }

  private consider(intid: number, best: Best, groups: number): void {
    const byte = this.byteOf(intid);
    if ((byte & ENABLED) === 0) return;
    const priority = byte & PRIORITY;
    if (priority > best.priority || (priority === best.priority && intid > best.intid)) return;
    const group = intid < FIRST_LPI && (byte & 2) === 0 ? 0 : 1;
    if (((groups >>> group) & 1) === 0) return;
    best.intid = intid;
    best.priority = priority;
    best.group = group;
  }

  /** Its configuration; 0 where there is no memory. */
  private byteOf(intid: number): number {
    const byte = this.ram.u8(intid < FIRST_LPI ? sgiConfigAddress(this.table, intid) : this.configuration + intid - FIRST_LPI);
    return byte < 0 ? 0 : byte;
  }

  /** What is pending in a word that is marked: beside the SGIs, the first has what is the implementation's own. */
  private bitsOf(word: number): number {
    return word === 0 ? this.words[0] & SGI_BITS : this.words[word];
  }

  private isMarked(word: number): boolean {
    return (this.summary[word >>> 5] & (1 << (word & 31))) !== 0;
  }

  private mark(word: number): void {
    if (this.isMarked(word)) return;
    this.summary[word >>> 5] |= 1 << (word & 31);
    this.marked++;
  }

  private unmark(word: number): void {
    if (!this.isMarked(word)) return;
    this.summary[word >>> 5] &= ~(1 << (word & 31));
    this.marked--;
  }
}

const lowestBit = (word: number): number => 31 - Math.clz32(word & -word);
