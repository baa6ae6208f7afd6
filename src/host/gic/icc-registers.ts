import { ctlrOfVtr, ICC_SRE_VALUE, Icc, IccCtlr } from "../../arch/gic/icc.js";
import type { CpuInterface } from "./cpu-interface.js";
import type { IrqState } from "./irq-state.js";

/** The ICC_* system registers of one physical CPU that only hold state (gic-v3.md A10.2). */
export class IccRegisters {
  constructor(
    private readonly state: IrqState,
    private readonly cpu: number,
    private readonly cpuInterface: CpuInterface,
    private readonly vtr: number,
  ) {}

  /** Group of an IAR, -1 for any other register. */
  static acknowledges(encoding: number): -1 | 0 | 1 {
    return encoding === Icc.IAR1 ? 1 : encoding === Icc.IAR0 ? 0 : -1;
  }

  /** Group of an EOIR, -1 for any other register. */
  static ends(encoding: number): -1 | 0 | 1 {
    return encoding === Icc.EOIR1 ? 1 : encoding === Icc.EOIR0 ? 0 : -1;
  }

  static deactivates(encoding: number): boolean {
    return encoding === Icc.DIR;
  }

  /** Group of the SGIs that a register generates, -1 for any other; ICC_ASGI1R means group 0 with one security state. */
  static generates(encoding: number): -1 | 0 | 1 {
    return encoding === Icc.SGI1R ? 1 : encoding === Icc.SGI0R || encoding === Icc.ASGI1R ? 0 : -1;
  }

  read(encoding: number): number {
    const { rules, eoiMode } = this.cpuInterface;
    switch (encoding) {
      case Icc.PMR:
        return rules.mask;
      case Icc.BPR0:
        return rules.bpr0;
      case Icc.BPR1:
        return rules.effectiveBpr1();
      case Icc.RPR:
        return rules.active.running();
      case Icc.HPPIR0:
        return this.cpuInterface.highestPending(0);
      case Icc.HPPIR1:
        return this.cpuInterface.highestPending(1);
      case Icc.CTLR:
        return ctlrOfVtr(this.vtr) | (rules.isCommon ? IccCtlr.CBPR : 0) | (eoiMode === 1 ? IccCtlr.EOI_MODE : 0);
      case Icc.SRE:
        return ICC_SRE_VALUE;
      case Icc.IGRPEN0:
        return this.state.cpuGroupsOf(this.cpu) & 1;
      case Icc.IGRPEN1:
        return this.state.cpuGroupsOf(this.cpu) >> 1;
      default: {
        const words = this.activeWords(encoding);
        return words === null ? 0 : words[encoding & 3];
      }
    }
  }

  write(encoding: number, value: number): void {
    const { cpuInterface } = this;
    const { rules } = cpuInterface;
    switch (encoding) {
      case Icc.PMR:
        cpuInterface.mask = value;
        return;
      case Icc.BPR0:
        rules.bpr0 = value;
        break;
      case Icc.BPR1:
        if (!rules.isCommon) rules.bpr1 = value;
        break;
      case Icc.CTLR:
        rules.isCommon = (value & IccCtlr.CBPR) !== 0;
        cpuInterface.eoiMode = (value & IccCtlr.EOI_MODE) === 0 ? 0 : 1;
        break;
      case Icc.IGRPEN0:
        this.state.setCpuGroups(this.cpu, (this.state.cpuGroupsOf(this.cpu) & 2) | (value & 1));
        return;
      case Icc.IGRPEN1:
        this.state.setCpuGroups(this.cpu, (this.state.cpuGroupsOf(this.cpu) & 1) | ((value & 1) << 1));
        return;
      default: {
        const words = this.activeWords(encoding);
        if (words !== null) words[encoding & 3] = value;
      }
    }
    cpuInterface.changed();
  }

  /** AP0R<n> and AP1R<n> as far as they are implemented; n is in the low two bits of the encoding. */
  private activeWords(encoding: number): Int32Array | null {
    const { active } = this.cpuInterface.rules;
    if (encoding >= Icc.AP0R0 && encoding < Icc.AP0R0 + active.group0.length) return active.group0;
    if (encoding >= Icc.AP1R0 && encoding < Icc.AP1R0 + active.group1.length) return active.group1;
    return null;
  }
}
