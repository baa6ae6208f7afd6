import type { PhysicalGic } from "../../arch/gic/contract.js";
import { current } from "../../sim/context.js";
import { Cost } from "../../sim/cost.js";
import { Ev } from "../../sim/event.js";
import type { Step } from "../../sim/step.js";
import type { InterruptHandler } from "../gic/gic-cpu.js";
import type { IrqChip } from "./chip.js";
import { GicChip, GicEoimode1Chip } from "./chip-gic.js";
import { Flow, type IrqDesc, IrqSetting, type IrqTable } from "./desc.js";
import { handleIrq } from "./flow.js";
import { mappedAs, takesTrigger } from "./map.js";

const FIRST_SPI = 32;
const FIRST_LPI = 8192;

/** The root interrupt domain: from an acknowledged INTID to its descriptor (host-irq.md 1.11). */
export class GicDomain implements InterruptHandler {
  readonly chip: IrqChip;
  private readonly byIntid: (IrqDesc | null)[];
  /** LPIs, from INTID 8192. */
  private readonly byLpi: (IrqDesc | null)[] = [];

  constructor(
    private readonly table: IrqTable,
    private readonly gic: PhysicalGic,
  ) {
    this.chip = gic.eoiMode === 1 ? new GicEoimode1Chip(table.sim, gic) : new GicChip(table.sim, gic);
    this.byIntid = new Array<IrqDesc | null>(gic.interrupts).fill(null);
  }

  *handle(intid: number): Step<void> {
    const desc = intid < FIRST_LPI ? this.byIntid[intid] : this.byLpi[intid - FIRST_LPI];
    if (desc) {
      desc.countTaken(current().cpu);
      yield* handleIrq(desc);
    } else yield* this.unexpected(intid);
  }

  isForwarded(intid: number): boolean {
    return this.descOf(intid)?.isForwarded ?? false;
  }

  /** host-irq.md 1.5 row 5. */
  private *unexpected(intid: number): Step<void> {
    const { sim } = this.table;
    const { cpu } = current();
    this.table.warn(0, `Unexpected interrupt (irqnr ${intid})`);
    if (this.gic.eoiMode === 0) {
      yield* this.gic.endOfInterrupt(cpu, intid);
      sim.charge(Cost.irqEoi);
      sim.emit(Ev.host_eoi, cpu, intid);
    } else if (intid < FIRST_LPI) {
      yield* this.gic.deactivate(cpu, intid);
      sim.charge(Cost.irqDir);
      sim.emit(Ev.host_dir, cpu, intid);
    }
  }

  /** The descriptor of an INTID, null where none is mapped. */
  descOf(intid: number): IrqDesc | null {
    return (intid < FIRST_LPI ? this.byIntid[intid] : this.byLpi[intid - FIRST_LPI]) ?? null;
  }

  /**
   * Maps an INTID with its trigger type; an existing mapping of the same type is found again. The irq number, or 0 where
   * the type does not fit.
   */
  *map(intid: number, type: number): Step<number> {
    const known = this.descOf(intid);
    if (known !== null) return yield* mappedAs(known, type);
    const desc = this.table.allocate(this.chip, intid, intid < FIRST_SPI ? Flow.PERCPU : Flow.FASTEOI);
    const isTaken = yield* takesTrigger(this.table, desc, type);
    if (!isTaken) return 0;
    this.attach(desc, intid);
    return desc.irq;
  }

  /** Connects a descriptor whose outermost chip lies further out: an MSI's. */
  attach(desc: IrqDesc, intid: number): void {
    if (intid < FIRST_LPI) this.byIntid[intid] = desc;
    else {
      this.byLpi[intid - FIRST_LPI] = desc;
      desc.settings |= IrqSetting.RESEND_WHEN_IN_PROGRESS;
    }
  }

  detach(intid: number): void {
    if (intid < FIRST_LPI) this.byIntid[intid] = null;
    else this.byLpi[intid - FIRST_LPI] = null;
  }
}
