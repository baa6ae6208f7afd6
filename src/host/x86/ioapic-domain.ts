import type { Step } from "../../sim/step.js";
import { EINVAL } from "../../uapi/errno.js";
import { type IrqChip, IrqData } from "../irq/chip.js";
import { Flow, type IrqDesc, type IrqTable } from "../irq/desc.js";
import { mappedAs } from "../irq/map.js";
import { setTrigger } from "../irq/request.js";
import { IrqType } from "../irq/types.js";
import type { InterruptRemapping } from "./intr-remapping.js";
import { type HostIoApic, IOAPIC_PINS } from "./ioapic.js";
import { RemappedIrq, sourceOf } from "./remapped-irq.js";
import { type VectorDomain, VectorIrq } from "./vector-domain.js";

const LEVELS = IrqType.LEVEL_HIGH | IrqType.LEVEL_LOW;

/** A pin of the IOAPIC with remapping (arch/x86/kernel/apic/io_apic.c, ioapic_ir_chip). */
class RemappedPin implements IrqChip {
  readonly name = "IR-IO-APIC";
  readonly isOneshotSafe = false;
  readonly eoiAfterThread = false;
  readonly allowsSoftwareResend = false;

  constructor(
    private readonly ioapic: HostIoApic,
    private readonly remapped: RemappedIrq,
    private readonly isLevel: boolean,
  ) {}

  *mask(data: IrqData): Step<void> {
    yield* this.ioapic.setMasked(data.hwirq, true);
  }

  *unmask(data: IrqData): Step<void> {
    yield* this.ioapic.setMasked(data.hwirq, false);
  }

  *ack(): Step<void> {
    yield* this.remapped.ack();
  }

  /**
   * The end of a level interrupt: the local APIC's, then the pin's own by its number; the vector that a broadcast would
   * carry is in the remapping entry, not in the pin's.
   */
  *eoi(data: IrqData): Step<void> {
    yield* this.remapped.eoi();
    yield* this.ioapic.endOfInterrupt(data.hwirq);
  }

  *setType(_data: IrqData, type: number): Step<number> {
    return ((type & LEVELS) !== 0) === this.isLevel ? 0 : -EINVAL;
  }

  *retrigger(): Step<boolean> {
    return yield* this.remapped.retrigger();
  }

  *activate(data: IrqData): Step<number> {
    const result = yield* this.remapped.prepare(data.desc);
    if (result < 0) return result;
    yield* this.ioapic.program(data.hwirq, this.remapped.index, this.isLevel);
    return 0;
  }

  *deactivate(data: IrqData): Step<void> {
    yield* this.ioapic.setMasked(data.hwirq, true);
  }
}

/** Global system interrupts: the pins of the one IOAPIC. */
export class IoApicDomain {
  private readonly byPin: (IrqDesc | null)[] = new Array<IrqDesc | null>(IOAPIC_PINS).fill(null);

  constructor(
    private readonly table: IrqTable,
    private readonly vectors: VectorDomain,
    private readonly remapping: InterruptRemapping,
    readonly ioapic: HostIoApic,
  ) {}

  /**
   * acpi_register_gsi: the irq of a pin, mapped on first use; level pins end by fasteoi, edge pins are acknowledged. 0 for
   * a pin that is not there, is mapped with another type, or has no remapping entry.
   */
  *map(gsi: number, type: number): Step<number> {
    if (gsi >= IOAPIC_PINS) return 0;
    const known = this.byPin[gsi];
    if (known !== null) return yield* mappedAs(known, type);
    const index = yield* this.remapping.allocate(1);
    if (index < 0) return 0;
    const isLevel = (type & LEVELS) !== 0;
    const remapped = new RemappedIrq(this.remapping, index, sourceOf(this.ioapic.sourceId), new VectorIrq(this.vectors), isLevel);
    const desc = this.table.allocate(new RemappedPin(this.ioapic, remapped, isLevel), gsi, isLevel ? Flow.FASTEOI : Flow.EDGE);
    desc.data.parent = new IrqData(desc, remapped, index);
    yield* desc.lock.lock();
    yield* setTrigger(desc, type);
    yield* desc.lock.unlock();
    this.byPin[gsi] = desc;
    return desc.irq;
  }
}
