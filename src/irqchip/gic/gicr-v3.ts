import { GICR_SIZE, GICR_TYPER_LAST, GICR_V3, Gicr, GicrCtlr } from "../../arch/gic/gicr.js";
import { W64 } from "../../arch/gic/register-table.js";
import { reads, writes } from "../../sim/access.js";
import type { Step } from "../../sim/step.js";
import { idRegister } from "./gicd-v3.js";
import { PENDBASER_PTZ_HIGH, pendbaserHigh, pendbaserLow, propbaserHigh, propbaserLow } from "./its/lpi-tables.js";
import { reloadAll, reloadConfig, writeEnableLpis } from "./its/lpi-config.js";
import type { VgicCpu } from "./vgic-cpu.js";
import type { VgicDist } from "./vgic-dist.js";
import { KVM_IIDR, VgicFrame } from "./vgic-frame.js";
import { fieldsOf, IrqField } from "./vgic-irq-regs.js";

const FIELDS = fieldsOf([
  [Gicr.IGROUPR0, IrqField.GROUP],
  [Gicr.ISENABLER0, IrqField.SET_ENABLE],
  [Gicr.ICENABLER0, IrqField.CLEAR_ENABLE],
  [Gicr.ISPENDR0, IrqField.SET_PENDING],
  [Gicr.ICPENDR0, IrqField.CLEAR_PENDING],
  [Gicr.ISACTIVER0, IrqField.SET_ACTIVE],
  [Gicr.ICACTIVER0, IrqField.CLEAR_ACTIVE],
  [Gicr.IPRIORITYR, IrqField.PRIORITY],
  [Gicr.ICFGR, IrqField.CONFIG],
]);
const ABSENT = [Gicr.SETLPIR, Gicr.CLRLPIR];

const ALL = -1;
const TYPER_PLPIS = 1;
const TYPER_NUMBER_SHIFT = 8;
/** From this revision on the redistributor has register-based invalidation. */
const REVISION_INVALIDATION = 3;

/** The redistributor of one vCPU, whoever accesses it: RD_base and SGI_base (gic-v3.md A6). */
export class GicrV3 extends VgicFrame {
  readonly size = GICR_SIZE;

  constructor(
    dist: VgicDist,
    readonly cpu: VgicCpu,
  ) {
    super(dist, GICR_V3, FIELDS, ABSENT);
  }

  protected override ownerOf(): VgicCpu {
    return this.cpu;
  }

  protected override *read(row: Gicr, offset: number, size: number): Step<number> {
    const { dist, cpu } = this;
    switch (row) {
      case Gicr.CTLR:
        yield reads(cpu, "lpisEnabled");
        return (cpu.lpisEnabled ? GicrCtlr.ENABLE_LPIS : 0) | (cpu.isDrainingLpis ? GicrCtlr.RWP : 0) | (dist.implementationRev >= REVISION_INVALIDATION ? GicrCtlr.CES | GicrCtlr.IR : 0);
      case Gicr.IIDR:
        return KVM_IIDR;
      case Gicr.TYPER:
        return this.half(offset, size, (cpu.vcpu.id << TYPER_NUMBER_SHIFT) | (isLast(dist, cpu) ? GICR_TYPER_LAST : 0) | (dist.hasIts ? TYPER_PLPIS : 0), cpu.affinity);
      case Gicr.PROPBASER:
        yield reads(dist, "propbaserLow");
        return this.half(offset, size, dist.propbaserLow, dist.propbaserHigh);
      case Gicr.PENDBASER:
        yield reads(cpu, "pendbaserLow");
        return this.half(offset, size, cpu.pendbaserLow, cpu.pendbaserHigh & ~PENDBASER_PTZ_HIGH);
      case Gicr.SYNCR:
        yield reads(cpu, "lpiInvalidations");
        return cpu.lpiInvalidations === 0 ? 0 : 1;
      case Gicr.ID:
        return idRegister(offset);
      default:
        return this.half(offset, size, 0, 0);
    }
  }

  protected override *write(row: Gicr, offset: number, size: number, _cpu: VgicCpu, low: number, high: number): Step<number> {
    switch (row) {
      case Gicr.CTLR:
        yield* this.writeCtlr(low);
        return 0;
      case Gicr.PROPBASER:
        yield* this.writePropbaser((offset & 4) !== 0, size, low, high);
        return 0;
      case Gicr.PENDBASER:
        yield* this.writePendbaser((offset & 4) !== 0, size, low, high);
        return 0;
      case Gicr.INVLPIR:
        if ((offset & 4) === 0) yield* this.invalidate(low);
        return 0;
      case Gicr.INVALLR:
        if ((offset & 4) === 0) yield* this.invalidate(ALL);
        return 0;
      default:
        return 0;
    }
  }

  /** The word or the whole of a 64-bit register. */
  private half(offset: number, size: number, low: number, high: number): number {
    if (size === W64) this.high = high;
    return (offset & 4) === 0 ? low : high;
  }

  private *writeCtlr(value: number): Step<void> {
    const { cpu } = this;
    if (this.dist.hasIts) yield* writeEnableLpis(this.dist, cpu, (value & GicrCtlr.ENABLE_LPIS) !== 0);
  }

  /** INVLPIR, INVALLR: reads the configuration of one LPI, or of all that come here, again. */
  private *invalidate(intid: number): Step<void> {
    const { dist, cpu } = this;
    yield reads(cpu, "lpisEnabled");
    if (!cpu.lpisEnabled) return;
    yield writes(cpu, "lpiInvalidations");
    cpu.lpiInvalidations++;
    if (intid === ALL) yield* reloadAll(dist, cpu);
    else {
      const irq = yield* dist.lpis.get(intid);
      if (irq !== null) {
        yield* reloadConfig(dist, irq, null);
        yield* dist.lpis.put(irq);
      }
    }
    yield writes(cpu, "lpiInvalidations");
    cpu.lpiInvalidations--;
  }

  /** One value for all redistributors; the guest changes it before it enables LPIs. */
  private *writePropbaser(isUpper: boolean, size: number, low: number, high: number): Step<void> {
    const { dist, cpu } = this;
    yield reads(cpu, "lpisEnabled");
    if (cpu.lpisEnabled) return;
    yield writes(dist, "propbaserLow");
    if (!isUpper) dist.propbaserLow = propbaserLow(low);
    if (isUpper || size === W64) dist.propbaserHigh = propbaserHigh(isUpper ? low : high);
  }

  private *writePendbaser(isUpper: boolean, size: number, low: number, high: number): Step<void> {
    const { cpu } = this;
    yield reads(cpu, "lpisEnabled");
    if (cpu.lpisEnabled) return;
    yield writes(cpu, "pendbaserLow");
    if (!isUpper) cpu.pendbaserLow = pendbaserLow(low);
    if (isUpper || size === W64) cpu.pendbaserHigh = pendbaserHigh(isUpper ? low : high);
  }
}

/**
 * GICR_TYPER.Last (gic-v3.md A6.1): the vCPU has the last used place of its region, and the region is not continued by
 * another one in use that begins where it ends.
 */
function isLast(dist: VgicDist, cpu: VgicCpu): boolean {
  const region = cpu.rdRegion;
  if (region === null || cpu.rdIndex !== region.used - 1) return false;
  if (!region.isFull()) return true;
  const end = region.base + region.sizeFor(0);
  for (let i = 0; i < dist.redistRegions.length; i++) if (dist.redistRegions[i].base === end && dist.redistRegions[i].used > 0) return false;
  return true;
}
