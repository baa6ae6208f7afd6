import type { Step } from "../sim/step.js";
import type { IrqChip, IrqData } from "./irq/chip.js";

/** The function whose message-signalled vectors the host programs: its MSI capability or MSI-X table. */
export interface MsiDevice {
  readonly name: string;
  /** What its messages carry to an ITS. */
  readonly deviceId: number;
  /** The most vectors it can have: what an ITS makes room for. Default 32. */
  readonly maxVectors?: number;
  /** Programs the message of a vector; address 0 with data 0 is "not programmed". */
  writeMessage(index: number, address: number, data: number): Step<void>;
  /** The vector's mask bit. */
  setMasked(index: number, isMasked: boolean): Step<void>;
  /** Behind an IOMMU with an MSI cookie: where the doorbell is mapped for this device, or -ENOMEM (host-irq.md 5.4). */
  prepareDoorbell?(address: number): Step<number>;
}

/** Where a host gets message-signalled interrupts from: the frames of a GICv2m, or an ITS (host-irq.md 1.11). */
export interface MsiDomain {
  /** The device id is part of the translation: a device can only raise its own. */
  readonly isIsolated: boolean;
  /** MSI-X vectors may be added while others are in use (MSI_FLAG_PCI_MSIX_ALLOC_DYN). */
  readonly allocatesDynamically: boolean;
  /** The most vectors that one function's MSI gets; interrupt remapping, and a GIC, set no limit. */
  readonly multiMsiLimit: number;
  /** `count` interrupts for the vectors from `first` on: the first irq (the others follow in `irqs`), or a negative errno. */
  alloc(device: MsiDevice, first: number, count: number, irqs: number[]): Step<number>;
  free(irqs: readonly number[]): Step<void>;
  /** A bus master writes `data` to a doorbell, in halves as int32: true if the address is one of this domain's. */
  write(deviceId: number, addressHi: number, addressLo: number, data: number): Step<boolean>;
}

/** The outermost chip of a PCI function's vectors; the level behind it leads to the GIC. */
export class MsiChip implements IrqChip {
  readonly name = "PCI-MSI";
  readonly isOneshotSafe = true;
  readonly eoiAfterThread = false;
  readonly allowsSoftwareResend = false;

  /**
   * @param doorbell physical address to write to
   * @param dataOf the message's data for the INTID or event behind a vector
   */
  constructor(
    readonly device: MsiDevice,
    private readonly parent: IrqChip,
    private readonly doorbell: number,
    private readonly dataOf: (parentHwirq: number) => number,
  ) {}

  *mask(data: IrqData): Step<void> {
    yield* this.device.setMasked(data.hwirq, true);
    if (data.parent !== null) yield* this.parent.mask(data.parent);
  }

  *unmask(data: IrqData): Step<void> {
    if (data.parent !== null) yield* this.parent.unmask(data.parent);
    yield* this.device.setMasked(data.hwirq, false);
  }

  *eoi(data: IrqData): Step<void> {
    if (data.parent !== null) yield* this.parent.eoi(data.parent);
  }

  /** The level behind it first: an ITS maps the event before anything can be sent. */
  *activate(data: IrqData): Step<number> {
    const error = data.parent !== null && this.parent.activate ? yield* this.parent.activate(data.parent) : 0;
    if (error < 0) return error;
    const address = this.device.prepareDoorbell ? yield* this.device.prepareDoorbell(this.doorbell) : this.doorbell;
    if (address < 0) return address;
    yield* this.device.writeMessage(data.hwirq, address, this.dataOf(data.parent?.hwirq ?? 0));
    return 0;
  }

  *deactivate(data: IrqData): Step<void> {
    yield* this.device.writeMessage(data.hwirq, 0, 0);
    if (data.parent !== null && this.parent.deactivate) yield* this.parent.deactivate(data.parent);
  }
}
