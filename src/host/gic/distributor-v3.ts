import { GICD_V3, Gicd, GicdCtlr, PIDR2_OFFSET } from "../../arch/gic/gicd.js";
import { priorityMask } from "../../arch/gic/priority.js";
import type { GicV3Implementation } from "./implementation.js";
import { IrqBit, type IrqState } from "./irq-state.js";

/** IROUTER.IRM */
const IRM = 1 << 31;
const AFF210 = 0xffffff;

/** Finds a PE by its packed affinity: its number, -1 when there is none. */
export interface AffinityMap {
  cpuOf(affinity: number): number;
}

/**
 * The GICv3 distributor's registers with one security state (gic-v3.md A5, A7), in the physical form: writes reach
 * the {@link IrqState} at once. Each call is part of one atomic access of the GIC.
 */
export class DistributorV3 {
  /** High half of the last 64-bit read. */
  high = 0;
  private groups = 0;
  private readonly routeLo: Int32Array;
  private readonly routeHi: Int32Array;
  private readonly storedPriority: number;

  constructor(
    private readonly state: IrqState,
    private readonly affinities: AffinityMap,
    private readonly implementation: GicV3Implementation,
  ) {
    this.routeLo = new Int32Array(state.interrupts);
    this.routeHi = new Int32Array(state.interrupts);
    this.storedPriority = priorityMask(implementation.priorityBits);
  }

  /** Low 32 bits; RAZ where the table has no such access. */
  read(offset: number, size: number): number {
    this.high = 0;
    const row = GICD_V3.find(offset, size);
    switch (row) {
      case Gicd.CTLR:
        return GicdCtlr.ARE | GicdCtlr.DS | this.groups;
      case Gicd.TYPER:
        return this.implementation.gicdTyper | (((this.state.interrupts + 31) >> 5) - 1 - this.implementation.itLinesLess);
      case Gicd.IIDR:
        return this.implementation.gicdIidr;
      case Gicd.ID:
        return offset === PIDR2_OFFSET ? this.implementation.pidr2 : 0;
      case Gicd.IROUTER:
        return this.readRoute(offset, size);
      case Gicd.IPRIORITYR:
        return this.readPriority(offset - GICD_V3.table[row].offset, size);
      case Gicd.ICFGR:
        return this.readTrigger((offset - GICD_V3.table[row].offset) >> 2);
      default:
        return row < 0 ? 0 : this.readBits(row, (offset - GICD_V3.table[row].offset) >> 2);
    }
  }

  /** WI where the table has no such access. */
  write(offset: number, size: number, lo: number, hi: number): void {
    const row = GICD_V3.find(offset, size);
    switch (row) {
      case Gicd.CTLR:
        this.groups = lo & (GicdCtlr.ENABLE_GRP0 | GicdCtlr.ENABLE_GRP1);
        this.state.setDistributorGroups(this.groups);
        return;
      case Gicd.IROUTER:
        this.writeRoute(offset, size, lo, hi);
        return;
      case Gicd.IPRIORITYR:
        this.writePriority(offset - GICD_V3.table[row].offset, size, lo);
        return;
      case Gicd.ICFGR:
        this.writeTrigger((offset - GICD_V3.table[row].offset) >> 2, lo);
        return;
      default:
        if (row >= 0) this.writeBits(row, (offset - GICD_V3.table[row].offset) >> 2, lo);
    }
  }

  /** IROUTER of one SPI, in halves: Aff3 high; Aff2.Aff1.Aff0 and IRM low. The 1-of-N form goes to the PE named. */
  setRoute(intid: number, lo: number, hi: number): void {
    this.routeLo[intid] = lo & (IRM | AFF210);
    this.routeHi[intid] = hi & 0xff;
    this.state.setTarget(intid, this.affinities.cpuOf((lo & AFF210) | ((hi & 0xff) << 24)));
  }

  private hasSpi(intid: number): boolean {
    return intid >= 32 && intid < this.state.interrupts;
  }

  private readRoute(offset: number, size: number): number {
    const intid = (offset - GICD_V3.table[Gicd.IROUTER].offset) >> 3;
    if (!this.hasSpi(intid)) return 0;
    if (size === 8) this.high = this.routeHi[intid];
    return (offset & 4) === 0 ? this.routeLo[intid] : this.routeHi[intid];
  }

  private writeRoute(offset: number, size: number, lo: number, hi: number): void {
    const intid = (offset - GICD_V3.table[Gicd.IROUTER].offset) >> 3;
    if (!this.hasSpi(intid)) return;
    if (size === 8) this.setRoute(intid, lo, hi);
    else if ((offset & 4) === 0) this.setRoute(intid, lo, this.routeHi[intid]);
    else this.setRoute(intid, this.routeLo[intid], lo);
  }

  private readPriority(first: number, size: number): number {
    let value = 0;
    for (let i = 0; i < size; i++) if (this.hasSpi(first + i)) value |= this.state.priorityOf(0, first + i) << (8 * i);
    return value;
  }

  private writePriority(first: number, size: number, value: number): void {
    for (let i = 0; i < size; i++) {
      const intid = first + i;
      if (this.hasSpi(intid)) this.state.setPriority(0, intid, (value >>> (8 * i)) & this.storedPriority);
    }
  }

  /** Register n holds INTIDs 16n to 16n+15 in the odd bits. */
  private readTrigger(n: number): number {
    if (!this.hasSpi(n * 16)) return 0;
    return spreadOdd(this.state.read(this.state.wordOf(0, n * 16), IrqBit.EDGE) >>> ((n & 1) * 16));
  }

  private writeTrigger(n: number, value: number): void {
    if (!this.hasSpi(n * 16)) return;
    const word = this.state.wordOf(0, n * 16);
    const shift = (n & 1) * 16;
    this.state.assignWord(word, (this.state.read(word, IrqBit.EDGE) & ~(0xffff << shift)) | (gatherOdd(value) << shift), IrqBit.EDGE);
  }

  private readBits(row: number, n: number): number {
    if (!this.hasSpi(n * 32)) return 0;
    return readBitRow(this.state, row, this.state.wordOf(0, n * 32));
  }

  private writeBits(row: number, n: number, value: number): void {
    if (!this.hasSpi(n * 32)) return;
    const word = this.state.wordOf(0, n * 32);
    writeBitRow(this.state, row, word, value & this.state.validBits(word));
  }
}

/** 16 bits to the odd bits of a word: ICFGR's form. */
export function spreadOdd(bits: number): number {
  let value = 0;
  for (let i = 0; i < 16; i++) value |= ((bits >>> i) & 1) << (2 * i + 1);
  return value;
}

/** The odd bits of a word, packed. */
export function gatherOdd(value: number): number {
  let bits = 0;
  for (let i = 0; i < 16; i++) bits |= ((value >>> (2 * i + 1)) & 1) << i;
  return bits;
}

/** A register with one bit per interrupt, by its row in GICD; others read as zero. */
export function readBitRow(state: IrqState, row: Gicd, word: number): number {
  switch (row) {
    case Gicd.IGROUPR:
      return state.read(word, IrqBit.GROUP1);
    case Gicd.ISENABLER:
    case Gicd.ICENABLER:
      return state.read(word, IrqBit.ENABLED);
    case Gicd.ISPENDR:
    case Gicd.ICPENDR:
      return state.readPending(word);
    case Gicd.ISACTIVER:
    case Gicd.ICACTIVER:
      return state.read(word, IrqBit.ACTIVE);
    default:
      return 0;
  }
}

export function writeBitRow(state: IrqState, row: Gicd, word: number, bits: number): void {
  switch (row) {
    case Gicd.IGROUPR:
      return state.assignWord(word, bits, IrqBit.GROUP1);
    case Gicd.ISENABLER:
      return state.setWord(word, bits, IrqBit.ENABLED);
    case Gicd.ICENABLER:
      return state.clearWord(word, bits, IrqBit.ENABLED);
    case Gicd.ISPENDR:
      return state.setWord(word, bits, IrqBit.LATCH);
    case Gicd.ICPENDR:
      return state.clearWord(word, bits, IrqBit.LATCH);
    case Gicd.ISACTIVER:
      return state.setWord(word, bits, IrqBit.ACTIVE);
    case Gicd.ICACTIVER:
      return state.clearWord(word, bits, IrqBit.ACTIVE);
    default:
  }
}
