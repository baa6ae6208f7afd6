import { Gicd, PIDR2_OFFSET } from "../../arch/gic/gicd.js";
import { GICR_TYPER_LAST, GICR_V3, Gicr, GicrWaker } from "../../arch/gic/gicr.js";
import { priorityMask } from "../../arch/gic/priority.js";
import { gatherOdd, PIDR2_GICV3, readBitRow, spreadOdd, writeBitRow } from "./distributor-v3.js";
import type { GicV3Implementation } from "./implementation.js";
import { IrqBit, type IrqState } from "./irq-state.js";

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
  ) {
    this.storedPriority = priorityMask(implementation.priorityBits);
  }

  read(offset: number, size: number): number {
    this.high = 0;
    const row = GICR_V3.find(offset, size);
    switch (row) {
      case Gicr.CTLR:
        return this.implementation.gicrCtlr;
      case Gicr.IIDR:
        return this.implementation.gicrIidr;
      case Gicr.TYPER:
        return this.readTyper(offset, size);
      case Gicr.WAKER:
        return this.waker;
      case Gicr.ID:
        return offset === PIDR2_OFFSET ? PIDR2_GICV3 : 0;
      case Gicr.IPRIORITYR:
        return this.readPriority(offset - GICR_V3.table[row].offset, size);
      case Gicr.ICFGR:
        return spreadOdd(this.state.read(this.cpu, IrqBit.EDGE) >>> (offset === GICR_V3.table[row].offset ? 0 : 16));
      default:
        if (row < Gicr.IGROUPR0 || row > Gicr.ICACTIVER0) return 0;
        return readBitRow(this.state, BIT_ROWS[row - Gicr.IGROUPR0], this.cpu);
    }
  }

  write(offset: number, size: number, lo: number): void {
    const row = GICR_V3.find(offset, size);
    switch (row) {
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

  /** Each CPU's redistributor follows its predecessor's; the last one says so. */
  private readTyper(offset: number, size: number): number {
    const last = this.cpu === this.state.cpus - 1 ? GICR_TYPER_LAST : 0;
    const low = this.implementation.gicrTyper | (this.cpu << 8) | last;
    if (size === 8) this.high = this.affinity;
    return (offset & 4) === 0 ? low : this.affinity;
  }

  private readPriority(first: number, size: number): number {
    let value = 0;
    for (let i = 0; i < size; i++) value |= this.state.priorityOf(this.cpu, first + i) << (8 * i);
    return value;
  }
}
