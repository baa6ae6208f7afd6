import { GICD_V2, GICD_V2_PIDR2_OFFSET, Gicd } from "../../arch/gic/gicd.js";
import { sgirIntid, sgirTargets } from "../../arch/gic/sgi.js";
import { gatherOdd, readBitRow, spreadOdd, writeBitRow } from "./distributor-v3.js";
import { IrqBit, type IrqState } from "./irq-state.js";
import type { SgiSources } from "./sgi-sources.js";

const PIDR2_GICV2 = 0x2b;
/** GIC-400 r0p1 */
const IIDR = 0x0200143b;
/** Priority bits that every field keeps. */
const STORED_PRIORITY = 0xf8;
const SGIS = 0xffff;

/**
 * The GICv2 distributor's registers as a non-secure host sees them (host-irq.md 2.1): one group, registers of INTID < 32
 * banked by the accessing CPU. Each call is part of one atomic access of the GIC.
 */
export class DistributorV2 {
  private isEnabled = false;
  /** ITARGETSR by INTID. */
  private readonly targets: Uint8Array;
  private readonly online: number;

  constructor(
    private readonly state: IrqState,
    private readonly sgis: SgiSources,
  ) {
    this.targets = new Uint8Array(state.interrupts);
    this.online = (1 << state.cpus) - 1;
    for (let intid = 32; intid < state.interrupts; intid++) state.setTarget(intid, -1);
  }

  read(cpu: number, offset: number, size: number): number {
    const row = GICD_V2.find(offset, size);
    if (row < 0) return 0;
    const at = offset - GICD_V2.table[row].offset;
    switch (row) {
      case Gicd.CTLR:
        return this.isEnabled ? 1 : 0;
      case Gicd.TYPER:
        return (((this.state.interrupts + 31) >> 5) - 1) | ((this.state.cpus - 1) << 5);
      case Gicd.IIDR:
        return IIDR;
      case Gicd.ID:
        return offset === GICD_V2_PIDR2_OFFSET ? PIDR2_GICV2 : 0;
      case Gicd.IPRIORITYR:
      case Gicd.ITARGETSR:
      case Gicd.CPENDSGIR:
      case Gicd.SPENDSGIR:
        return this.readBytes(row, cpu, at, size);
      case Gicd.ICFGR:
        return at * 4 < this.state.interrupts ? spreadOdd(this.state.read(this.state.wordOf(cpu, at * 4), IrqBit.EDGE) >>> ((at & 4) * 4)) : 0;
      case Gicd.IGROUPR:
        return 0;
      default:
        return at * 8 < this.state.interrupts ? this.readBits(row, cpu, at * 8) : 0;
    }
  }

  write(cpu: number, offset: number, size: number, value: number): void {
    const row = GICD_V2.find(offset, size);
    if (row < 0) return;
    const at = offset - GICD_V2.table[row].offset;
    switch (row) {
      case Gicd.CTLR:
        this.isEnabled = (value & 1) !== 0;
        this.state.setDistributorGroups(this.isEnabled ? 2 : 0);
        return;
      case Gicd.IPRIORITYR:
      case Gicd.ITARGETSR:
      case Gicd.CPENDSGIR:
      case Gicd.SPENDSGIR:
        for (let i = 0; i < size; i++) this.writeByte(row, cpu, at + i, (value >>> (8 * i)) & 0xff);
        return;
      case Gicd.ICFGR:
        this.writeTrigger(cpu, at * 4, gatherOdd(value));
        return;
      case Gicd.SGIR:
        for (let list = sgirTargets(value, cpu, this.online); list !== 0; list &= list - 1)
          this.sgis.pend(31 - Math.clz32(list & -list), sgirIntid(value), 1 << cpu);
        return;
      case Gicd.IGROUPR:
        return;
      default:
        if (at * 8 < this.state.interrupts) this.writeBits(row, cpu, at * 8, value);
    }
  }

  /** ITARGETSR of one SPI; it goes to the lowest CPU named. */
  setTargets(intid: number, cpus: number): void {
    const present = cpus & this.online;
    this.targets[intid] = present;
    this.state.setTarget(intid, present === 0 ? -1 : 31 - Math.clz32(present & -present));
  }

  private readBytes(row: number, cpu: number, first: number, size: number): number {
    let value = 0;
    for (let i = 0; i < size; i++) value |= this.readByte(row, cpu, first + i) << (8 * i);
    return value;
  }

  private readByte(row: number, cpu: number, n: number): number {
    if (row === Gicd.CPENDSGIR || row === Gicd.SPENDSGIR) return this.sgis.pending(cpu, n);
    if (n >= this.state.interrupts) return 0;
    if (row === Gicd.IPRIORITYR) return this.state.priorityOf(cpu, n);
    return n < 32 ? 1 << cpu : this.targets[n];
  }

  private writeByte(row: number, cpu: number, n: number, value: number): void {
    if (row === Gicd.CPENDSGIR) this.sgis.unpend(cpu, n, value & this.online);
    else if (row === Gicd.SPENDSGIR) this.sgis.pend(cpu, n, value & this.online);
    else if (n >= this.state.interrupts) return;
    else if (row === Gicd.IPRIORITYR) this.state.setPriority(cpu, n, value & STORED_PRIORITY);
    else if (n >= 32) this.setTargets(n, value);
  }

  private writeTrigger(cpu: number, first: number, bits: number): void {
    if (first < 16 || first >= this.state.interrupts) return;
    const word = this.state.wordOf(cpu, first);
    const shift = first & 16;
    this.state.assignWord(word, (this.state.read(word, IrqBit.EDGE) & ~(0xffff << shift)) | (bits << shift), IrqBit.EDGE);
  }

  private readBits(row: number, cpu: number, first: number): number {
    const bits = readBitRow(this.state, row, this.state.wordOf(cpu, first));
    if (first !== 0 || (row !== Gicd.ISACTIVER && row !== Gicd.ICACTIVER)) return bits;
    return (bits & ~SGIS) | this.sgis.activeSgis(cpu);
  }

  /** Pending SGIs change only by SPENDSGIR and CPENDSGIR (gic-v3.md A12). */
  private writeBits(row: number, cpu: number, first: number, value: number): void {
    const word = this.state.wordOf(cpu, first);
    const isSource = first === 0 && row >= Gicd.ISPENDR && row <= Gicd.ICACTIVER;
    writeBitRow(this.state, row, word, value & this.state.validBits(word) & (isSource ? ~SGIS : -1));
    if (!isSource || (row !== Gicd.ISACTIVER && row !== Gicd.ICACTIVER)) return;
    for (let list = value & SGIS; list !== 0; list &= list - 1) {
      const sgi = 31 - Math.clz32(list & -list);
      if (row === Gicd.ISACTIVER) this.sgis.activate(cpu, sgi, 1 << cpu);
      else this.sgis.deactivate(cpu, sgi, 0xff);
    }
  }
}
