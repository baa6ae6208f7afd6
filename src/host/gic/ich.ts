import { ICH_HCR_BITS, IchVmcr } from "../../arch/gic/gich.js";
import { ctlrOfVtr, DEFAULT_VTR, ICC_SRE_VALUE, Icc, IccCtlr, Ich, listRegistersOf, preemptionBitsOf, priorityBitsOf } from "../../arch/gic/icc.js";
import { LR_V3, lrPintid } from "../../arch/gic/list-register.js";
import { activeRegisters } from "../../arch/gic/priority.js";
import type { Step } from "../../sim/step.js";
import { type HardwareSide, VirtualInterfaceBase, type VirtualLpis } from "./virtual-interface.js";

/** The GICv3 virtual CPU interface: ICH_* for the hypervisor, ICV_* (the ICC_* encodings) for the guest. */
export class Ichv3 extends VirtualInterfaceBase {
  readonly version = 3;
  private readonly activeCount: number;

  /** @param vtr ICH_VTR_EL2: list registers, priority and preemption bits */
  constructor(
    hardware: HardwareSide,
    cpu: number,
    readonly vtr: number = DEFAULT_VTR,
    /** GICv4: the vLPIs of the vPE that is resident here. */
    vlpis: VirtualLpis | null = null,
    vlpiWinsTie = false,
  ) {
    const count = activeRegisters(preemptionBitsOf(vtr));
    super(hardware, cpu, listRegistersOf(vtr), new Int32Array(count), new Int32Array(count), LR_V3, priorityBitsOf(vtr), preemptionBitsOf(vtr), vlpis, vlpiWinsTie);
    this.activeCount = count;
  }

  /** The guest reads a register; 0 for what is not readable (the guest would take an UNDEFINED exception). */
  *readIcv(encoding: number): Step<number> {
    switch (encoding) {
      case Icc.IAR0:
        return yield* this.acknowledge(0);
      case Icc.IAR1:
        return yield* this.acknowledge(1);
      case Icc.HPPIR0:
        return this.highestPending(0);
      case Icc.HPPIR1:
        return this.highestPending(1);
      case Icc.RPR:
        return this.runningPriority();
      case Icc.PMR:
        return this.rules.mask;
      case Icc.BPR0:
        return this.rules.bpr0;
      case Icc.BPR1:
        return this.rules.effectiveBpr1();
      case Icc.CTLR:
        return ctlrOfVtr(this.vtr) | (this.rules.isCommon ? IccCtlr.CBPR : 0) | ((this.vmcr & IchVmcr.EOIM) === 0 ? 0 : IccCtlr.EOI_MODE);
      case Icc.SRE:
        return ICC_SRE_VALUE;
      case Icc.IGRPEN0:
        return this.vmcr & 1;
      case Icc.IGRPEN1:
        return (this.vmcr >>> 1) & 1;
      default:
        return this.readActive(encoding, Icc.AP0R0, Icc.AP1R0);
    }
  }

  /** The guest writes a register; nothing happens where it is not writable. SGIs are the hypervisor's to trap. */
  *writeIcv(encoding: number, value: number): Step<void> {
    switch (encoding) {
      case Icc.EOIR0:
        return yield* this.endOfInterrupt(0, value & 0xffffff);
      case Icc.EOIR1:
        return yield* this.endOfInterrupt(1, value & 0xffffff);
      case Icc.DIR:
        return yield* this.deactivate(value & 0xffffff);
      case Icc.PMR:
        this.vmcr = (this.vmcr & 0xffffff) | (value << IchVmcr.PMR_SHIFT);
        break;
      case Icc.BPR0:
        this.rules.bpr0 = value;
        break;
      case Icc.BPR1:
        if (!this.rules.isCommon) this.rules.bpr1 = value;
        break;
      case Icc.CTLR:
        this.setVmcrBit(IchVmcr.CBPR, (value & IccCtlr.CBPR) !== 0);
        this.setVmcrBit(IchVmcr.EOIM, (value & IccCtlr.EOI_MODE) !== 0);
        break;
      case Icc.IGRPEN0:
        this.setVmcrBit(IchVmcr.ENG0, (value & 1) !== 0);
        break;
      case Icc.IGRPEN1:
        this.setVmcrBit(IchVmcr.ENG1, (value & 1) !== 0);
        break;
      default:
        this.writeActive(encoding, Icc.AP0R0, Icc.AP1R0, value);
    }
    yield* this.update();
  }

  /** The hypervisor reads an ICH register; the high half of a list register is in {@link lrHi}. */
  readIch(encoding: number): number {
    switch (encoding) {
      case Ich.HCR:
        return this.hcr;
      case Ich.VTR:
        return this.vtr;
      case Ich.VMCR:
        return this.vmcr;
      case Ich.MISR:
        return this.misr();
      case Ich.EISR:
        return this.eisr();
      case Ich.ELRSR:
        return this.elrsr();
      default:
        if (encoding >= Ich.LR0 && encoding < Ich.LR0 + this.listRegisters) return this.lrLo[encoding - Ich.LR0];
        return this.readActive(encoding, Ich.AP0R0, Ich.AP1R0);
    }
  }

  *writeIch(encoding: number, lo: number, hi: number): Step<void> {
    if (encoding === Ich.HCR) this.hcr = lo & ICH_HCR_BITS;
    else if (encoding === Ich.VMCR) this.vmcr = lo | 0;
    else if (encoding >= Ich.LR0 && encoding < Ich.LR0 + this.listRegisters) {
      this.lrLo[encoding - Ich.LR0] = lo;
      this.lrHi[encoding - Ich.LR0] = hi;
    } else this.writeActive(encoding, Ich.AP0R0, Ich.AP1R0, lo);
    yield* this.update();
  }

  private readActive(encoding: number, first0: number, first1: number): number {
    if (encoding >= first0 && encoding < first0 + this.activeCount) return this.ap0r[encoding - first0];
    if (encoding >= first1 && encoding < first1 + this.activeCount) return this.ap1r[encoding - first1];
    return 0;
  }

  private writeActive(encoding: number, first0: number, first1: number, value: number): void {
    if (encoding >= first0 && encoding < first0 + this.activeCount) this.ap0r[encoding - first0] = value;
    else if (encoding >= first1 && encoding < first1 + this.activeCount) this.ap1r[encoding - first1] = value;
  }

  private setVmcrBit(bit: number, isSet: boolean): void {
    this.vmcr = isSet ? this.vmcr | bit : this.vmcr & ~bit;
  }

  protected override iarOf(index: number): number {
    return this.lrLo[index];
  }
  protected override pintidOf(index: number): number {
    return lrPintid(this.lrHi[index]);
  }
}
