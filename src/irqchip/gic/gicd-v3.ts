import { GICD_V3, Gicd, GicdCtlr, PIDR2_OFFSET } from "../../arch/gic/gicd.js";
import { W64 } from "../../arch/gic/register-table.js";
import { reads } from "../../sim/access.js";
import type { Step } from "../../sim/step.js";
import { EBUSY, EINVAL } from "../../uapi/errno.js";
import { hasVsgis } from "./v4/vsgi.js";
import type { VgicCpu } from "./vgic-cpu.js";
import type { VgicDist } from "./vgic-dist.js";
import { IIDR_REVISION_MASK, IIDR_REVISION_SHIFT, KVM_IIDR, VgicFrame } from "./vgic-frame.js";
import { VGIC_NR_PRIVATE_IRQS } from "./vgic-irq.js";
import { fieldsOf, IrqField } from "./vgic-irq-regs.js";
import { readRouter, writeDistEnable, writeRouter } from "./vgic-state.js";

/** Arrays over interrupts of both distributors. */
export const GICD_FIELDS: readonly (readonly [Gicd, IrqField])[] = [
  [Gicd.IGROUPR, IrqField.GROUP],
  [Gicd.ISENABLER, IrqField.SET_ENABLE],
  [Gicd.ICENABLER, IrqField.CLEAR_ENABLE],
  [Gicd.ISPENDR, IrqField.SET_PENDING],
  [Gicd.ICPENDR, IrqField.CLEAR_PENDING],
  [Gicd.ISACTIVER, IrqField.SET_ACTIVE],
  [Gicd.ICACTIVER, IrqField.CLEAR_ACTIVE],
  [Gicd.IPRIORITYR, IrqField.PRIORITY],
  [Gicd.ICFGR, IrqField.CONFIG],
];
const ABSENT = [Gicd.SETSPI_NSR, Gicd.CLRSPI_NSR, Gicd.SETSPI_SR, Gicd.CLRSPI_SR, Gicd.NSACR, Gicd.SGIR, Gicd.CPENDSGIR, Gicd.SPENDSGIR];

const TYPER_LPIS = 1 << 17;
const TYPER_IDBITS_SHIFT = 19;
/** ID bits minus one: 16 with an ITS, 10 without. */
const IDBITS_ITS = 15;
const IDBITS_SPIS = 9;
const PIDR2_GICV3 = 0x3b;
/** GICD_TYPER2.nASSGIcap */
const NASSGI_CAP = 1 << 8;

/** GICR_PIDR2 and GICD_PIDR2 say GICv3; the other identification registers read 0. */
export const idRegister = (offset: number): number => ((offset & 0xffff) === PIDR2_OFFSET ? PIDR2_GICV3 : 0);

/** The GICv3 distributor (gic-v3.md A5). Words of SGIs and PPIs are RAZ/WI: affinity routing is always on. */
export class GicdV3 extends VgicFrame {
  constructor(dist: VgicDist) {
    super(dist, GICD_V3, fieldsOf(GICD_FIELDS), ABSENT);
  }

  protected override serves(intid: number): boolean {
    return intid >= VGIC_NR_PRIVATE_IRQS;
  }

  protected override *read(row: Gicd, offset: number, size: number): Step<number> {
    const { dist } = this;
    switch (row) {
      case Gicd.CTLR:
        yield reads(dist, "enabled");
        return GicdCtlr.ARE | GicdCtlr.DS | (dist.enabled ? GicdCtlr.ENABLE_GRP1 : 0) | (dist.nassgireq ? GicdCtlr.NASSGI_REQ : 0);
      case Gicd.TYPER:
        return (dist.nrIrqs / 32 - 1) | (dist.hasIts ? TYPER_LPIS | (IDBITS_ITS << TYPER_IDBITS_SHIFT) : IDBITS_SPIS << TYPER_IDBITS_SHIFT);
      case Gicd.IIDR:
        return KVM_IIDR | (dist.implementationRev << IIDR_REVISION_SHIFT);
      case Gicd.STATUSR:
        return -1;
      case Gicd.TYPER2:
        return hasVsgis(dist) ? NASSGI_CAP : 0;
      case Gicd.IROUTER: {
        const irq = dist.irq(null, this.intidAt(row, offset));
        const low = irq === null || (offset & 4) !== 0 ? 0 : yield* readRouter(irq);
        if (size === W64) this.high = 0;
        return low;
      }
      case Gicd.ID:
        return idRegister(offset);
      default:
        return 0;
    }
  }

  protected override *write(row: Gicd, offset: number, _size: number, _cpu: VgicCpu, low: number, _high: number, requester: VgicCpu | null): Step<number> {
    const { dist } = this;
    switch (row) {
      case Gicd.CTLR:
        yield* writeDistEnable(dist, (low & GicdCtlr.ENABLE_GRP1) !== 0, requester === null, (low & GicdCtlr.NASSGI_REQ) !== 0);
        return 0;
      case Gicd.IIDR:
        return requester === null ? writeRevision(dist, low) : 0;
      case Gicd.TYPER2:
        return requester === null ? this.writeTyper2(low) : 0;
      case Gicd.IROUTER: {
        const irq = dist.irq(null, this.intidAt(row, offset));
        if (irq !== null && (offset & 4) === 0) yield* writeRouter(dist, irq, low);
        return 0;
      }
      default:
        return 0;
    }
  }

  /** It says whether SGIs can go to the guest directly; nothing else can be asked for. */
  private writeTyper2(value: number): number {
    if (value === (hasVsgis(this.dist) ? NASSGI_CAP : 0)) return 0;
    return this.dist.initialized && !this.dist.isLinux61 ? -EBUSY : -EINVAL;
  }
}

/**
 * User space chooses the revision by writing GICD_IIDR (gic-v3.md A5.1): 0 or -EINVAL. Linux 6.1 took the revision from
 * the old value, so every write that matches elsewhere is accepted there and changes nothing.
 */
export function writeRevision(dist: VgicDist, value: number): number {
  if (((value ^ KVM_IIDR) & ~IIDR_REVISION_MASK) !== 0) return -EINVAL;
  if (dist.isLinux61) return 0;
  const revision = (value & IIDR_REVISION_MASK) >>> IIDR_REVISION_SHIFT;
  if (revision < 1 || revision > 3) return -EINVAL;
  dist.implementationRev = revision;
  return 0;
}
