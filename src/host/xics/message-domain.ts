import type { Step } from "../../sim/step.js";
import { ENOSPC } from "../../uapi/errno.js";
import { IrqData } from "../irq/chip.js";
import { Flow, type IrqDesc, type IrqTable } from "../irq/desc.js";
import { setTrigger } from "../irq/request.js";
import { IrqType } from "../irq/types.js";
import { MsiChip, type MsiDevice, type MsiDomain } from "../msi.js";
import type { InterruptFirmware } from "./firmware.js";
import type { PhysicalXics } from "./physical-xics.js";
import type { SourceDomain } from "./source-domain.js";

/** Where functions write their messages (QEMU's pseries): the data is the source's number. */
export const MESSAGE_WINDOW = 0x400_0000_0000;
const WINDOW_SIZE = 0x1_0000;
const TWO32 = 0x1_0000_0000;

/**
 * Message-signalled interrupts of a Power host: firmware chooses their sources (ibm,change-msi), and says which they are
 * (ibm,query-interrupt-source-number). It writes the messages, too, which here comes with each vector's activation.
 */
export class FirmwareMessages implements MsiDomain {
  /** The host bridge takes from a function its own sources alone. */
  readonly isIsolated = true;
  readonly allocatesDynamically = false;
  readonly multiMsiLimit = 32;
  /** By irq: whose it is, and its source. */
  private readonly given = new Map<number, { readonly device: MsiDevice; readonly source: number }>();

  constructor(
    private readonly table: IrqTable,
    private readonly sources: SourceDomain,
    private readonly firmware: InterruptFirmware,
    private readonly xics: PhysicalXics,
  ) {}

  *alloc(device: MsiDevice, first: number, count: number, irqs: number[]): Step<number> {
    const granted = yield* this.firmware.changeMsi(device.deviceId, first + count);
    if (granted < first + count) {
      yield* this.firmware.changeMsi(device.deviceId, first);
      return -ENOSPC;
    }
    const at = irqs.length;
    for (let i = 0; i < count; i++) {
      const source = yield* this.firmware.querySource(device.deviceId, first + i);
      irqs.push((yield* this.connect(device, first + i, source)).irq);
    }
    return irqs[at];
  }

  private *connect(device: MsiDevice, index: number, source: number): Step<IrqDesc> {
    const chip = new MsiChip(device, this.sources.chip, MESSAGE_WINDOW, (hwirq) => hwirq);
    const desc = this.table.allocate(chip, index, Flow.FASTEOI);
    desc.data.parent = new IrqData(desc, this.sources.chip, source);
    yield* desc.lock.lock();
    yield* setTrigger(desc, IrqType.EDGE_RISING);
    yield* desc.lock.unlock();
    this.sources.attach(desc, source);
    this.given.set(desc.irq, { device, source });
    return desc;
  }

  /** Firmware takes them back when the function has none left: it cannot give up one of several. */
  *free(irqs: readonly number[]): Step<void> {
    for (let i = 0; i < irqs.length; i++) {
      const given = this.given.get(irqs[i]);
      if (given === undefined) continue;
      this.given.delete(irqs[i]);
      this.sources.detach(given.source);
      this.table.free(irqs[i]);
      if (!this.hasAny(given.device)) yield* this.firmware.changeMsi(given.device.deviceId, 0);
    }
  }

  private hasAny(device: MsiDevice): boolean {
    for (const each of this.given.values()) if (each.device === device) return true;
    return false;
  }

  *write(deviceId: number, addressHi: number, addressLo: number, data: number): Step<boolean> {
    const offset = (addressHi >>> 0) * TWO32 + (addressLo >>> 0) - MESSAGE_WINDOW;
    if (offset < 0 || offset >= WINDOW_SIZE) return false;
    const isOwned = yield* this.firmware.isOwned(deviceId, data);
    if (isOwned) yield* this.xics.input(data, true);
    return true;
  }
}
