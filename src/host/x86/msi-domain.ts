import type { Step } from "../../sim/step.js";
import { type IrqChip, IrqData } from "../irq/chip.js";
import { Flow, type IrqDesc, type IrqTable } from "../irq/desc.js";
import { setTrigger } from "../irq/request.js";
import { IrqType } from "../irq/types.js";
import type { MsiDevice, MsiDomain } from "../msi.js";
import { type InterruptRemapping, remappableAddress } from "./intr-remapping.js";
import { RemappedIrq, sourceOf } from "./remapped-irq.js";
import { type VectorDomain, VectorIrq } from "./vector-domain.js";

/** The outermost level of a PCI function's vector: acknowledged at once, masked by the function's own mask bit. */
class RemappedMsi implements IrqChip {
  readonly name = "IR-PCI-MSI";
  readonly isOneshotSafe = true;
  readonly eoiAfterThread = false;
  readonly allowsSoftwareResend = false;

  /** @param block first entry of the block that this vector's is in: the address names it, the data the entry */
  constructor(
    private readonly device: MsiDevice,
    readonly remapped: RemappedIrq,
    private readonly block: number,
  ) {}

  *mask(data: IrqData): Step<void> {
    yield* this.device.setMasked(data.hwirq, true);
  }

  *unmask(data: IrqData): Step<void> {
    yield* this.device.setMasked(data.hwirq, false);
  }

  *ack(): Step<void> {
    yield* this.remapped.ack();
  }

  *eoi(): Step<void> {}

  *retrigger(): Step<boolean> {
    return yield* this.remapped.retrigger();
  }

  *activate(data: IrqData): Step<number> {
    const result = yield* this.remapped.prepare(data.desc);
    if (result < 0) return result;
    yield* this.device.writeMessage(data.hwirq, remappableAddress(this.block), this.remapped.index - this.block);
    return 0;
  }

  *deactivate(data: IrqData): Step<void> {
    yield* this.device.writeMessage(data.hwirq, 0, 0);
  }
}

/** Message-signalled interrupts of a host with interrupt remapping: a device can raise only what its entries allow. */
export class RemappedMsiDomain implements MsiDomain {
  readonly isIsolated = true;
  readonly allocatesDynamically = true;
  readonly multiMsiLimit = 32;
  private readonly byIrq = new Map<number, RemappedIrq>();

  constructor(
    private readonly table: IrqTable,
    private readonly vectors: VectorDomain,
    private readonly remapping: InterruptRemapping,
  ) {}

  *alloc(device: MsiDevice, first: number, count: number, irqs: number[]): Step<number> {
    const block = yield* this.remapping.allocate(count);
    if (block < 0) return block;
    const at = irqs.length;
    for (let i = 0; i < count; i++) irqs.push((yield* this.connect(device, first + i, block, block + i)).irq);
    return irqs[at];
  }

  private *connect(device: MsiDevice, vector: number, block: number, index: number): Step<IrqDesc> {
    const remapped = new RemappedIrq(this.remapping, index, sourceOf(device.deviceId), new VectorIrq(this.vectors));
    const desc = this.table.allocate(new RemappedMsi(device, remapped, block), vector, Flow.EDGE);
    this.byIrq.set(desc.irq, remapped);
    desc.data.parent = new IrqData(desc, remapped, index);
    yield* desc.lock.lock();
    yield* setTrigger(desc, IrqType.EDGE_RISING);
    yield* desc.lock.unlock();
    return desc;
  }

  private entryOf(irq: number): RemappedIrq {
    const entry = this.byIrq.get(irq);
    if (entry === undefined) throw new Error(`irq ${irq} has no remapping entry`);
    return entry;
  }

  *free(irqs: readonly number[]): Step<void> {
    for (let i = 0; i < irqs.length; i++) {
      yield* this.entryOf(irqs[i]).free();
      this.byIrq.delete(irqs[i]);
      this.table.free(irqs[i]);
    }
  }

  *write(deviceId: number, addressHi: number, addressLo: number, data: number): Step<boolean> {
    return yield* this.remapping.message(deviceId, addressHi, addressLo, data);
  }
}
