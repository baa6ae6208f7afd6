import { GICD_V2, Gicd } from "../../arch/gic/gicd.js";
import { reads } from "../../sim/access.js";
import type { Step } from "../../sim/step.js";
import { GICD_FIELDS, writeRevision } from "./gicd-v3.js";
import type { VgicCpu } from "./vgic-cpu.js";
import type { VgicDist } from "./vgic-dist.js";
import { IIDR_REVISION_SHIFT, KVM_IIDR, VgicFrame } from "./vgic-frame.js";
import { fieldsOf, IrqField } from "./vgic-irq-regs.js";
import { dispatchSgiV2 } from "./vgic-sgi.js";
import { writeDistEnable } from "./vgic-state.js";

const FIELDS: readonly (readonly [Gicd, IrqField])[] = [
  ...GICD_FIELDS,
  [Gicd.ITARGETSR, IrqField.TARGETS],
  [Gicd.CPENDSGIR, IrqField.CLEAR_SOURCES],
  [Gicd.SPENDSGIR, IrqField.SET_SOURCES],
];
const ABSENT = [Gicd.TYPER2, Gicd.STATUSR, Gicd.SETSPI_NSR, Gicd.CLRSPI_NSR, Gicd.SETSPI_SR, Gicd.CLRSPI_SR, Gicd.IGRPMODR, Gicd.NSACR, Gicd.ID];

const ENABLE = 1;
const TYPER_CPUS_SHIFT = 5;
/** From this revision on the guest may write IGROUPR. */
const REVISION_GROUPS = 2;

/** The GICv2 distributor (gic-v3.md A12). Words of SGIs and PPIs are the accessing vCPU's own. */
export class GicdV2 extends VgicFrame {
  /** User space has written GICD_IIDR, and so knows that groups can be told apart. */
  private areGroupsUserWritable = false;

  constructor(dist: VgicDist) {
    super(dist, GICD_V2, fieldsOf(FIELDS), ABSENT);
  }

  protected override mayWrite(field: IrqField, requester: VgicCpu | null): boolean {
    if (field !== IrqField.GROUP) return true;
    return requester === null ? this.areGroupsUserWritable : this.dist.implementationRev >= REVISION_GROUPS;
  }

  protected override *read(row: Gicd): Step<number> {
    const { dist } = this;
    switch (row) {
      case Gicd.CTLR:
        yield reads(dist, "enabled");
        return dist.enabled ? ENABLE : 0;
      case Gicd.TYPER:
        return (dist.nrIrqs / 32 - 1) | ((dist.cpus.length - 1) << TYPER_CPUS_SHIFT);
      case Gicd.IIDR:
        return KVM_IIDR | (dist.implementationRev << IIDR_REVISION_SHIFT);
      default:
        return 0;
    }
  }

  protected override *write(row: Gicd, _offset: number, _size: number, _cpu: VgicCpu, low: number, _high: number, requester: VgicCpu | null): Step<number> {
    const { dist } = this;
    switch (row) {
      case Gicd.CTLR:
        yield* writeDistEnable(dist, (low & ENABLE) !== 0, requester === null);
        return 0;
      case Gicd.IIDR: {
        if (requester !== null) return 0;
        const error = writeRevision(dist, low);
        if (error === 0) this.areGroupsUserWritable = dist.implementationRev >= REVISION_GROUPS;
        return error;
      }
      case Gicd.SGIR:
        if (requester !== null) yield* dispatchSgiV2(dist, requester, low);
        return 0;
      default:
        return 0;
    }
  }
}
