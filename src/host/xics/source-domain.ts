import { current } from "../../sim/context.js";
import { Cost } from "../../sim/cost.js";
import { Ev } from "../../sim/event.js";
import type { Step } from "../../sim/step.js";
import { EINVAL } from "../../uapi/errno.js";
import type { IrqChip, IrqData } from "../irq/chip.js";
import { Flow, type IrqDesc, type IrqTable } from "../irq/desc.js";
import { handleIrq } from "../irq/flow.js";
import { mappedAs, takesTrigger } from "../irq/map.js";
import { type CpuList, firstOf, IrqType } from "../irq/types.js";
import type { InterruptFirmware } from "./firmware.js";
import type { PhysicalXics } from "./physical-xics.js";
import { BASE_PRIORITY, type SourceHandler } from "./xics-cpu.js";

/** What the kernel gives every source. */
const DEFAULT_PRIORITY = 5;
const MASKED = 0xff;
const CPPR_SHIFT = 24;

/** Sources of the controller, switched by firmware (arch/powerpc/sysdev/xics: ics-rtas, and the presentation's end of interrupt). */
class SourceChip implements IrqChip {
  readonly name = "XICS";
  readonly isOneshotSafe = false;
  readonly eoiAfterThread = false;
  readonly allowsSoftwareResend = true;

  constructor(
    private readonly domain: SourceDomain,
    private readonly firmware: InterruptFirmware,
  ) {}

  /** Off, and the entry's priority with it, as the kernel does so that a slot can be emptied. */
  *mask(data: IrqData): Step<void> {
    yield* this.firmware.intOff(data.hwirq);
    yield* this.firmware.setXive(data.hwirq, data.desc.effectiveCpu, MASKED);
  }

  *unmask(data: IrqData): Step<void> {
    yield* this.firmware.setXive(data.hwirq, data.desc.effectiveCpu, DEFAULT_PRIORITY);
    yield* this.firmware.intOn(data.hwirq);
  }

  *eoi(data: IrqData): Step<void> {
    yield* this.domain.end(data.hwirq);
  }

  /** Levels are low, messages are edges, and nothing else is a source. */
  *setType(_data: IrqData, type: number): Step<number> {
    return type === IrqType.LEVEL_LOW || type === IrqType.EDGE_RISING ? 0 : -EINVAL;
  }

  /** The first CPU of the mask that is online; the priority stays as it is. */
  *setAffinity(data: IrqData, mask: CpuList, online: CpuList, force: boolean): Step<number> {
    const cpu = firstOf(mask, force ? mask : online);
    if (cpu < 0) return -EINVAL;
    yield* this.firmware.move(data.hwirq, cpu);
    return cpu;
  }
}

/** The root of a Power host's interrupts: from the source that a CPU accepted to its descriptor. */
export class SourceDomain implements SourceHandler {
  readonly chip: IrqChip;
  private readonly bySource = new Map<number, IrqDesc>();
  /** By CPU: the priority that the end of the accepted interrupt brings back. A handler is not interrupted by another. */
  private readonly returned: Uint8Array;

  constructor(
    private readonly table: IrqTable,
    private readonly xics: PhysicalXics,
    firmware: InterruptFirmware,
  ) {
    this.chip = new SourceChip(this, firmware);
    this.returned = new Uint8Array(xics.cpus).fill(BASE_PRIORITY);
  }

  *handle(cpu: number, xirr: number): Step<void> {
    this.returned[cpu] = xirr >>> CPPR_SHIFT;
    const irq = xirr & 0xff_ffff;
    const desc = this.bySource.get(irq);
    if (desc === undefined) {
      this.table.warn(0, `Unexpected interrupt (source ${irq})`);
      yield* this.end(irq);
      return;
    }
    desc.taken[cpu]++;
    yield* handleIrq(desc);
  }

  /** The store to this CPU's XIRR. */
  *end(irq: number): Step<void> {
    const { cpu } = current();
    const { sim } = this.table;
    yield* this.xics.endOfInterrupt(cpu, (this.returned[cpu] << CPPR_SHIFT) | irq);
    sim.charge(Cost.irqEoi);
    sim.emit(Ev.host_eoi, cpu, irq);
  }

  /** The irq of a source with its trigger type, mapped on first use; 0 where the type does not fit. */
  *map(irq: number, type: number): Step<number> {
    const known = this.bySource.get(irq);
    if (known !== undefined) return yield* mappedAs(known, type);
    const desc = this.table.allocate(this.chip, irq, Flow.FASTEOI);
    const isTaken = yield* takesTrigger(this.table, desc, type);
    if (!isTaken) return 0;
    this.attach(desc, irq);
    return desc.irq;
  }

  /** Connects a descriptor whose outermost chip lies further out: a message's. */
  attach(desc: IrqDesc, irq: number): void {
    this.bySource.set(irq, desc);
  }

  detach(irq: number): void {
    this.bySource.delete(irq);
  }
}
