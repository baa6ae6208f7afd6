import { Gicd, PIDR2_OFFSET } from "../../arch/gic/gicd.js";
import { GICR_TYPER_LAST, GICR_V3, Gicr, GicrCtlr, GicrWaker } from "../../arch/gic/gicr.js";
import { GICR_VLPI, GicrTyper, VLPI_BASE } from "../../arch/gic/gicr-vlpi.js";
import { priorityMask } from "../../arch/gic/priority.js";
import { gatherOdd, readBitRow, spreadOdd, writeBitRow } from "./distributor-v3.js";
import type { GicV3Implementation } from "./implementation.js";
import { IrqBit, type IrqState } from "./irq-state.js";
import type { RedistLpis } from "./its/redist-lpis.js";
import type { VlpiFrame } from "./its/vlpi-frame.js";

/** Rows of SGI_base as the rows of GICD that mean the same. */
const BIT_ROWS: readonly Gicd[] = [Gicd.IGROUPR, Gicd.ISENABLER, Gicd.ICENABLER, Gicd.ISPENDR, Gicd.ICPENDR, Gicd.ISACTIVER, Gicd.ICACTIVER];

/** One GICv3 redistributor (gic-v3.md A6, A7), physical. Each call is part of one atomic access of the GIC. */
export class Redistributor {
  /** High half of the last 64-bit read. */
  high = 0;
  private waker: number = GicrWaker.PROCESSOR_SLEEP | GicrWaker.CHILDREN_ASLEEP;
  private readonly storedPriority: number;

  constructor(
    private readonly state: IrqState,
    private readonly cpu: number,
    private readonly affinity: number,
    private readonly implementation: GicV3Implementation,
    readonly lpis: RedistLpis,
    /** Null before GICv4. */
    readonly vlpis: VlpiFrame | null,
  ) {
    this.storedPriority = priorityMask(implementation.priorityBits);
  }

  read(offset: number, size: number): number {
    this.high = 0;
    if (offset >= VLPI_BASE) return this.readVlpi(offset - VLPI_BASE, size);
    const row = GICR_V3.find(offset, size);
    switch (row) {
      case Gicr.CTLR:
        return this.implementation.gicrCtlr | (this.lpis.isEnabled ? GicrCtlr.ENABLE_LPIS : 0);
      case Gicr.PROPBASER:
        return this.half(offset, size, this.lpis.propbaserLow, this.lpis.propbaserHigh);
      case Gicr.PENDBASER:
        return this.half(offset, size, this.lpis.pendbaserLow, this.lpis.pendbaserHigh);
      case Gicr.IIDR:
        return this.implementation.gicrIidr;
      case Gicr.TYPER:
        return this.readTyper(offset, size);
      case Gicr.WAKER:
        return this.waker;
      case Gicr.ID:
        return offset === PIDR2_OFFSET ? this.implementation.pidr2 : 0;
      case Gicr.IPRIORITYR:
        return this.readPriority(offset - GICR_V3.table[row].offset, size);
      case Gicr.ICFGR:
        return spreadOdd(this.state.read(this.cpu, IrqBit.EDGE) >>> (offset === GICR_V3.table[row].offset ? 0 : 16));
      default:
        if (row < Gicr.IGROUPR0 || row > Gicr.ICACTIVER0) return 0;
        return readBitRow(this.state, BIT_ROWS[row - Gicr.IGROUPR0], this.cpu);
    }
  }

  write(offset: number, size: number, lo: number, hi: number): void {
    if (offset >= VLPI_BASE) {
      this.vlpis?.write(offset - VLPI_BASE, size, lo, hi);
      return;
    }
    const row = GICR_V3.find(offset, size);
    switch (row) {
      case Gicr.CTLR:
      case Gicr.PROPBASER:
      case Gicr.PENDBASER:
      case Gicr.SETLPIR:
      case Gicr.CLRLPIR:
      case Gicr.INVLPIR:
      case Gicr.INVALLR:
        if ((this.implementation.gicrTyper & GicrTyper.PLPIS) !== 0) this.writeLpis(row, offset, size, lo, hi);
        return;
      case Gicr.WAKER:
        this.waker = (lo & GicrWaker.PROCESSOR_SLEEP) === 0 ? 0 : GicrWaker.PROCESSOR_SLEEP | GicrWaker.CHILDREN_ASLEEP;
        return;
      case Gicr.IPRIORITYR: {
        const first = offset - GICR_V3.table[row].offset;
        for (let i = 0; i < size; i++) this.state.setPriority(this.cpu, first + i, (lo >>> (8 * i)) & this.storedPriority);
        return;
      }
      case Gicr.ICFGR:
        if (offset === GICR_V3.table[row].offset || !this.implementation.ppiTriggersWritable) return;
        this.state.assignWord(this.cpu, (this.state.read(this.cpu, IrqBit.EDGE) & 0xffff) | (gatherOdd(lo) << 16), IrqBit.EDGE);
        return;
      default:
        if (row >= Gicr.IGROUPR0 && row <= Gicr.ICACTIVER0) writeBitRow(this.state, BIT_ROWS[row - Gicr.IGROUPR0], this.cpu, lo);
    }
  }

  /** The registers of LPIs. SETLPIR to INVALLR exist with GICR_TYPER.DirectLPI; the ones of a vPE reach the one resident here. */
  private writeLpis(row: Gicr, offset: number, size: number, lo: number, hi: number): void {
    const { lpis } = this;
    const isHigh = size === 4 && (offset & 4) !== 0;
    switch (row) {
      case Gicr.CTLR:
        lpis.enable((lo & GicrCtlr.ENABLE_LPIS) !== 0);
        return;
      case Gicr.PROPBASER:
        if (!isHigh) lpis.propbaserLow = lo;
        if (size === 8 || isHigh) lpis.propbaserHigh = size === 8 ? hi : lo;
        lpis.rebase();
        return;
      case Gicr.PENDBASER:
        if (!isHigh) lpis.pendbaserLow = lo;
        if (size === 8 || isHigh) lpis.pendbaserHigh = size === 8 ? hi : lo;
        lpis.rebase();
        return;
      default:
        if ((this.implementation.gicrTyper & GicrTyper.DIRECT_LPI) === 0 || isHigh) return;
        if (row === Gicr.SETLPIR || row === Gicr.CLRLPIR) lpis.change(lo & 0xffff, row === Gicr.SETLPIR);
        else if (hi < 0 && (this.implementation.gicrTyper & GicrTyper.RVPEID) !== 0) this.invalidateVpe(hi & 0xffff);
        else lpis.invalidate();
    }
  }

  /** 4.1: of a vPE that is not resident here nothing is cached. */
  private invalidateVpe(vpeid: number): void {
    if (this.vlpis?.hosts(vpeid, -1)) this.vlpis.invalidate();
  }

  private readVlpi(offset: number, size: number): number {
    const row = GICR_VLPI.find(offset, size);
    if (this.vlpis === null || row < 0) return 0;
    return this.half(offset, size, this.vlpis.read(row, false), this.vlpis.read(row, true));
  }

  /** A 64-bit register, whole or one half of it. */
  private half(offset: number, size: number, low: number, high: number): number {
    if (size === 8) this.high = high;
    return size === 4 && (offset & 4) !== 0 ? high : low;
  }

  /** Each CPU's redistributor follows its predecessor's; the last one says so. */
  private readTyper(offset: number, size: number): number {
    const last = this.cpu === this.state.cpus - 1 ? GICR_TYPER_LAST : 0;
    return this.half(offset, size, this.implementation.gicrTyper | (this.cpu << 8) | last, this.affinity);
  }

  private readPriority(first: number, size: number): number {
    let value = 0;
    for (let i = 0; i < size; i++) value |= this.state.priorityOf(this.cpu, first + i) << (8 * i);
    return value;
  }
}
