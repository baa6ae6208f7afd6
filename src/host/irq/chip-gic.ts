import type { PhysicalGic } from "../../arch/gic/contract.js";
import { reads } from "../../sim/access.js";
import { current } from "../../sim/context.js";
import { Cost } from "../../sim/cost.js";
import { Ev } from "../../sim/event.js";
import type { Sim } from "../../sim/sim.js";
import type { Step } from "../../sim/step.js";
import { EINVAL } from "../../uapi/errno.js";
import type { IrqChip, IrqchipState, IrqData } from "./chip.js";
import { type CpuList, firstOf, IrqType } from "./types.js";

const FIRST_PPI = 16;
const FIRST_SPI = 32;
const FIRST_LPI = 8192;
const GICV2_CPUS = 8;

/** The GIC's chip operations with EOImode 0: the end of interrupt drops and deactivates (host-irq.md 1.2, 1.5). */
export class GicChip implements IrqChip {
  readonly name: string;
  readonly isOneshotSafe = false;
  readonly eoiAfterThread = false;
  readonly allowsSoftwareResend = false;

  constructor(
    protected readonly sim: Sim,
    protected readonly gic: PhysicalGic,
  ) {
    this.name = gic.version === 2 ? "GICv2" : "GICv3";
  }

  *mask(data: IrqData): Step<void> {
    yield* this.gic.setEnabled(current().cpu, data.hwirq, false);
  }

  *unmask(data: IrqData): Step<void> {
    yield* this.gic.setEnabled(current().cpu, data.hwirq, true);
  }

  *eoi(data: IrqData): Step<void> {
    yield* this.gic.endOfInterrupt(current().cpu, data.hwirq);
    this.sim.charge(Cost.irqEoi);
    this.sim.emit(Ev.host_eoi, current().cpu, data.hwirq);
  }

  *setType(data: IrqData, type: number): Step<number> {
    const intid = data.hwirq;
    if (intid < FIRST_PPI) return type === IrqType.EDGE_RISING ? 0 : -EINVAL;
    if (type !== IrqType.LEVEL_HIGH && type !== IrqType.EDGE_RISING) {
      if (intid >= FIRST_SPI) return -EINVAL;
      data.desc.table.warn(data.desc.irq, `GIC: PPI${intid - FIRST_PPI} is secure or misconfigured`);
      return 0;
    }
    yield* this.gic.setTrigger(current().cpu, intid, type === IrqType.LEVEL_HIGH ? "level" : "edge");
    return 0;
  }

  *setAffinity(data: IrqData, mask: CpuList, online: CpuList, force: boolean): Step<number> {
    const intid = data.hwirq;
    if (intid < FIRST_SPI) return -EINVAL;
    const target = firstOf(mask, force ? mask : online);
    if (target < 0 || (this.gic.version === 2 && target >= GICV2_CPUS)) return -EINVAL;
    yield reads(this.gic, "GIC");
    const isMoving = this.gic.version === 3 && this.gic.isEnabled(target, intid);
    if (isMoving) yield* this.gic.setEnabled(target, intid, false);
    yield* this.gic.setTarget(intid, target);
    if (isMoving) yield* this.gic.setEnabled(target, intid, true);
    return target;
  }

  /** LPIs have no pending register here: whoever is above has to know how. */
  *retrigger(data: IrqData): Step<boolean> {
    if (data.hwirq >= FIRST_LPI) return false;
    yield* this.gic.setPending(current().cpu, data.hwirq, true);
    return true;
  }

  isActive(data: IrqData): boolean {
    return data.hwirq < FIRST_LPI && this.gic.isActive(current().cpu, data.hwirq);
  }

  *getState(data: IrqData, which: IrqchipState): Step<number> {
    const { cpu } = current();
    const intid = data.hwirq;
    if (intid >= FIRST_LPI) return -EINVAL;
    yield reads(this.gic, "GIC");
    if (which === "active") return Number(this.gic.isActive(cpu, intid));
    return Number(which === "pending" ? this.gic.isPending(cpu, intid) : !this.gic.isEnabled(cpu, intid));
  }

  *setState(data: IrqData, which: IrqchipState, value: boolean): Step<number> {
    const { cpu } = current();
    const intid = data.hwirq;
    if (intid >= FIRST_LPI) return -EINVAL;
    if (which === "active") yield* this.gic.setActive(cpu, intid, value);
    else if (which === "pending") yield* this.gic.setPending(cpu, intid, value);
    else yield* this.gic.setEnabled(cpu, intid, !value);
    return 0;
  }
}

/** EOImode 1: the host has dropped the priority at acknowledge; the end of interrupt deactivates, if anybody here does. */
export class GicEoimode1Chip extends GicChip {
  /** Nobody else would deactivate a forwarded interrupt when its guest goes away (K8). */
  override *mask(data: IrqData): Step<void> {
    yield* this.gic.setEnabled(current().cpu, data.hwirq, false);
    if (data.desc.isForwarded && !this.sim.hazards.maskKeepsActive) yield* this.gic.setActive(current().cpu, data.hwirq, false);
  }

  /** Nothing for an LPI, and nothing for a forwarded interrupt: its guest deactivates it (K9). */
  override *eoi(data: IrqData): Step<void> {
    if (data.hwirq >= FIRST_LPI || (data.desc.isForwarded && !this.sim.hazards.deactivateForwarded)) return;
    yield* this.gic.deactivate(current().cpu, data.hwirq);
    this.sim.charge(Cost.irqDir);
    this.sim.emit(Ev.host_dir, current().cpu, data.hwirq);
  }

  *setVcpuAffinity(data: IrqData, info: object | null): Step<number> {
    if (data.hwirq < FIRST_PPI) return -EINVAL;
    data.desc.isForwarded = info !== null;
    return 0;
  }
}
