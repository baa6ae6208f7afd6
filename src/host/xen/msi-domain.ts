import type { Step } from "../../sim/step.js";
import { type IrqChip, IrqData } from "../irq/chip.js";
import { Flow, type IrqTable } from "../irq/desc.js";
import { MsiChip, type MsiDevice, type MsiDomain } from "../msi.js";
import type { PhysicalIrqs } from "./physical-irqs.js";

/** Where Xen takes messages; their data are the numbers of physical interrupts. */
const DOORBELL = 0xfee0_0000;

/** The hypervisor does what a chip would. */
class PirqChip implements IrqChip {
  readonly name = "xen-pirq";
  readonly isOneshotSafe = true;
  readonly eoiAfterThread = false;
  readonly allowsSoftwareResend = false;
  *mask(): Step<void> {}
  *unmask(): Step<void> {}
  *eoi(): Step<void> {}
}

/**
 * Message-signalled interrupts of a kernel above Xen: each is a physical interrupt of the hypervisor's, which delivers it where
 * it is bound. The kernel has descriptors for them and, for those that it gives away, no handler.
 */
export class XenMsiDomain implements MsiDomain {
  readonly isIsolated = true;
  readonly allocatesDynamically = true;
  readonly multiMsiLimit = 32;
  private readonly chip = new PirqChip();
  /** The functions that had vectors, by device id, and the chip of each. */
  private readonly functions = new Map<number, { readonly device: MsiDevice; readonly chip: MsiChip }>();

  constructor(
    private readonly table: IrqTable,
    private readonly pirqs: PhysicalIrqs,
  ) {}

  *alloc(device: MsiDevice, first: number, count: number, irqs: number[]): Step<number> {
    const number = yield* this.pirqs.mapMessages(device.name, first, count);
    if (number < 0) return number;
    const chip = this.chipOf(device);
    for (let i = 0; i < count; i++) {
      const desc = this.table.allocate(chip, first + i, Flow.FASTEOI);
      desc.data.parent = new IrqData(desc, this.chip, number + i);
      irqs.push(desc.irq);
    }
    return irqs[irqs.length - count];
  }

  private chipOf(device: MsiDevice): MsiChip {
    const known = this.functions.get(device.deviceId);
    if (known?.device === device) return known.chip;
    const chip = new MsiChip(device, this.chip, DOORBELL, (pirq) => pirq);
    this.functions.set(device.deviceId, { device, chip });
    return chip;
  }

  /** The physical interrupt behind one of the kernel's; -1 for another's. */
  pirqOf(irq: number): number {
    const inner = this.table.get(irq)?.data.parent ?? null;
    return inner === null || inner.chip !== this.chip ? -1 : inner.hwirq;
  }

  *free(irqs: readonly number[]): Step<void> {
    for (let i = 0; i < irqs.length; i++) {
      yield* this.pirqs.unmap(this.pirqOf(irqs[i]));
      this.table.free(irqs[i]);
    }
  }

  *write(deviceId: number, addressHi: number, addressLo: number, data: number): Step<boolean> {
    if (addressHi !== 0 || addressLo >>> 0 !== DOORBELL) return false;
    return yield* this.pirqs.message(this.functions.get(deviceId)?.device.name ?? "", data);
  }
}
