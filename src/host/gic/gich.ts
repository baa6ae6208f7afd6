import { SPURIOUS_INTID } from "../../arch/gic/contract.js";
import { GICV_V2, Gicc, GiccCtlr } from "../../arch/gic/gicc.js";
import { GICH_HCR_BITS, GICH_V2, Gich, IchVmcr } from "../../arch/gic/gich.js";
import { LR_V2, lr2Iar, lr2Pintid } from "../../arch/gic/list-register.js";
import type { Step } from "../../sim/step.js";
import { type HardwareSide, VirtualInterfaceBase } from "./virtual-interface.js";

/** A group 1 interrupt is there, and the register read or the AckCtl bit does not allow it. */
const GROUP1_INTID = 1022;
const PRIORITY_BITS = 5;
/** GIC-400 r0p1, architecture version 2. */
const IIDR = 0x0202143b;
const CTLR_BITS = GiccCtlr.ENABLE_GRP0 | GiccCtlr.ENABLE_GRP1 | GiccCtlr.ACK_CTL | GiccCtlr.FIQ_EN | GiccCtlr.CBPR | GiccCtlr.EOI_MODE;

/**
 * The GICv2 virtual interface: GICH for the hypervisor, GICV for the guest (host-irq.md 2.3). List registers are in
 * `lrLo`; one active-priorities register serves both groups.
 */
export class Gichv2 extends VirtualInterfaceBase {
  readonly version = 2;
  readonly vtr: number;

  /** @param listRegisters 1 to 64 */
  constructor(hardware: HardwareSide, cpu: number, listRegisters = 4) {
    const apr = new Int32Array(1);
    super(hardware, cpu, listRegisters, apr, apr, LR_V2, PRIORITY_BITS, PRIORITY_BITS);
    this.vtr = ((PRIORITY_BITS - 1) << 29) | ((PRIORITY_BITS - 1) << 26) | (listRegisters - 1);
  }

  /** GICV_IAR: group 0, and group 1 where AckCtl allows it; the group given is not looked at. */
  override *acknowledge(_group: 0 | 1): Step<number> {
    const index = this.candidate();
    if (index < 0 || !this.rules.lets(this.priorityOf(index), this.groupOf(index))) return SPURIOUS_INTID;
    if (this.isHidden(index)) return GROUP1_INTID;
    return yield* this.take(index);
  }

  /** GICV_AIAR: group 1 only. */
  *acknowledgeAliased(): Step<number> {
    return yield* super.acknowledge(1);
  }

  override highestPending(_group: 0 | 1): number {
    const index = this.candidate();
    if (index < 0) return SPURIOUS_INTID;
    return this.isHidden(index) ? GROUP1_INTID : this.iarOf(index);
  }

  /** The guest reads GICV; RAZ where nothing is. */
  *readGicv(offset: number, size: number): Step<number> {
    switch (GICV_V2.find(offset, size)) {
      case Gicc.CTLR:
        return this.vmcr & CTLR_BITS;
      case Gicc.PMR:
        return this.rules.mask;
      case Gicc.BPR:
        return this.rules.bpr0;
      case Gicc.ABPR:
        return this.rules.effectiveBpr1();
      case Gicc.IAR:
        return yield* this.acknowledge(0);
      case Gicc.AIAR:
        return yield* this.acknowledgeAliased();
      case Gicc.RPR:
        return this.runningPriority();
      case Gicc.HPPIR:
        return this.highestPending(0);
      case Gicc.AHPPIR:
        return super.highestPending(1);
      case Gicc.APR:
        return offset === GICV_V2.table[Gicc.APR].offset ? this.ap0r[0] : 0;
      case Gicc.IIDR:
        return IIDR;
      default:
        return 0;
    }
  }

  *writeGicv(offset: number, size: number, value: number): Step<void> {
    switch (GICV_V2.find(offset, size)) {
      case Gicc.CTLR:
        this.vmcr = (this.vmcr & ~CTLR_BITS) | (value & CTLR_BITS);
        break;
      case Gicc.PMR:
        this.vmcr = (this.vmcr & 0xffffff) | (value << IchVmcr.PMR_SHIFT);
        break;
      case Gicc.BPR:
        this.rules.bpr0 = value;
        break;
      case Gicc.ABPR:
        if (!this.rules.isCommon) this.rules.bpr1 = value;
        break;
      case Gicc.EOIR:
        return yield* this.endOfInterrupt(0, value & 0x1fff);
      case Gicc.AEOIR:
        return yield* this.endOfInterrupt(1, value & 0x1fff);
      case Gicc.DIR:
        return yield* this.deactivate(value & 0x1fff);
      case Gicc.APR:
        if (offset === GICV_V2.table[Gicc.APR].offset) this.ap0r[0] = value;
        break;
      default:
    }
    yield* this.update();
  }

  /** The hypervisor reads GICH; RAZ where nothing is. */
  readGich(offset: number, size: number): number {
    const row = GICH_V2.find(offset, size);
    if (row < 0) return 0;
    const index = (offset - GICH_V2.table[row].offset) >> 2;
    switch (row) {
      case Gich.HCR:
        return this.hcr;
      case Gich.VTR:
        return this.vtr;
      case Gich.VMCR:
        return this.vmcr;
      case Gich.MISR:
        return this.misr();
      case Gich.EISR:
        return index === 0 ? this.eisr() : this.eisrHigh();
      case Gich.ELRSR:
        return index === 0 ? this.elrsr() : this.elrsrHigh();
      case Gich.APR:
        return this.ap0r[0];
      default:
        return index < this.listRegisters ? this.lrLo[index] : 0;
    }
  }

  *writeGich(offset: number, size: number, value: number): Step<void> {
    const row = GICH_V2.find(offset, size);
    if (row === Gich.HCR) this.hcr = value & GICH_HCR_BITS;
    else if (row === Gich.VMCR) this.vmcr = value | 0;
    else if (row === Gich.APR) this.ap0r[0] = value;
    else if (row === Gich.LR) {
      const index = (offset - GICH_V2.table[row].offset) >> 2;
      if (index < this.listRegisters) this.lrLo[index] = value;
    }
    yield* this.update();
  }

  /** A group 1 interrupt that GICV_IAR does not give away. */
  private isHidden(index: number): boolean {
    return this.groupOf(index) === 1 && (this.vmcr & IchVmcr.ACK_CTL) === 0;
  }

  /** The single active-priorities register does not know groups. */
  protected override endsGroup(): boolean {
    return true;
  }
  /** Group 0 is an IRQ too unless FIQEn is set. */
  protected override signalOf(group: 0 | 1): 0 | 1 {
    return group === 0 && (this.vmcr & IchVmcr.FIQ_EN) !== 0 ? 0 : 1;
  }
  protected override iarOf(index: number): number {
    return lr2Iar(this.lrLo[index]);
  }
  protected override pintidOf(index: number): number {
    return lr2Pintid(this.lrLo[index]);
  }
}
