import { GITS_TRANSLATER } from "../../arch/gic/gits.js";
import { physicalAddress } from "../../arch/gic/physical-address.js";
import type { Step } from "../../sim/step.js";
import { ENOSPC } from "../../uapi/errno.js";
import { IrqData } from "../irq/chip.js";
import { Flow, type IrqDesc } from "../irq/desc.js";
import { setTrigger } from "../irq/request.js";
import { IrqType } from "../irq/types.js";
import type { EventDomain, MsiPort } from "../mbigen.js";
import { MsiChip, type MsiDevice, type MsiDomain } from "../msi.js";
import { ItsChip } from "./its-chip.js";
import type { ItsDevice } from "./its-device.js";
import type { ItsDriver } from "./its-driver.js";
import type { ItsNode } from "./its-node.js";
import { powerOfTwo } from "./lpi-space.js";

/** Room for a device that does not say how many it can have. */
export const DEFAULT_VECTORS = 32;
/** Events of an mbigen: ten bits of its vector register. */
const WIRED_EVENTS = 1024;

/** Which ITS a device's messages go to, by its device id there: firmware's msi-map. Device ids are each ITS's own. */
export type ItsOf = (deviceId: number) => number;

/**
 * Message interrupts of a host with ITSs (host-irq.md 1.11): PCI-MSI over ITS, and wired pins of an mbigen over ITS. A device
 * can raise its own events only: the bus says who writes.
 */
export class ItsMsiDomain implements MsiDomain, EventDomain {
  readonly isIsolated = true;
  readonly allocatesDynamically = true;
  readonly multiMsiLimit = 32;
  readonly chip: ItsChip;

  /** @param itsOf default: all devices are behind the first ITS */
  constructor(
    private readonly driver: ItsDriver,
    private readonly itsOf: ItsOf = () => 0,
  ) {
    this.chip = new ItsChip(driver);
  }

  private nodeOf(deviceId: number): ItsNode {
    return this.driver.nodes[this.itsOf(deviceId)];
  }

  *alloc(device: MsiDevice, first: number, count: number, irqs: number[]): Step<number> {
    return yield* this.allocBehind(this.nodeOf(device.deviceId), device, first, count, irqs);
  }

  /** {@link alloc} for a device behind this ITS, whose number there it has. */
  *allocBehind(node: ItsNode, device: MsiDevice, first: number, count: number, irqs: number[]): Step<number> {
    const behind = yield* this.driver.deviceFor(node, device.deviceId, Math.max(device.maxVectors ?? DEFAULT_VECTORS, count));
    if (typeof behind === "number") return behind;
    const event = behind.take(powerOfTwo(count));
    if (event < 0) return -ENOSPC;
    const chip = this.chipOf(device, behind);
    const at = irqs.length;
    for (let i = 0; i < count; i++) irqs.push((yield* this.connect(chip, first + i, behind.lpiBase + event + i)).irq);
    return irqs[at];
  }

  /** One for all of its vectors: chips of their own would be read from memory anew with each of thousands. */
  private chipOf(device: MsiDevice, behind: ItsDevice): MsiChip {
    if (behind.chip?.device !== device) behind.chip = new MsiChip(device, this.chip, behind.node.base + GITS_TRANSLATER, (lpi) => behind.eventOf(lpi));
    return behind.chip;
  }

  private *connect(chip: MsiChip, vector: number, lpi: number): Step<IrqDesc> {
    const { irqs, domain } = this.driver.host;
    const desc = irqs.allocate(chip, vector, Flow.FASTEOI);
    desc.data.parent = new IrqData(desc, this.chip, lpi);
    yield* desc.lock.lock();
    yield* setTrigger(desc, IrqType.EDGE_RISING);
    yield* desc.lock.unlock();
    domain.attach(desc, lpi);
    return desc;
  }

  *free(irqs: readonly number[]): Step<void> {
    const { host } = this.driver;
    let device: ItsDevice | null = null;
    let firstEvent = 0;
    for (let i = 0; i < irqs.length; i++) {
      const lpi = host.desc(irqs[i])?.data.parent?.hwirq ?? 0;
      const behind = this.driver.deviceOf(lpi);
      if (behind === null) continue;
      if (device === null) firstEvent = behind.eventOf(lpi);
      device = behind;
      host.domain.detach(lpi);
      host.irqs.free(irqs[i]);
    }
    if (device === null) return;
    device.give(firstEvent, powerOfTwo(irqs.length));
    if (device.isUnused) yield* this.driver.dropDevice(device);
  }

  *write(deviceId: number, addressHi: number, addressLo: number, data: number): Step<boolean> {
    const { nodes } = this.driver;
    const address = physicalAddress(addressHi >>> 0, addressLo);
    for (let i = 0; i < nodes.length; i++)
      if (address === nodes[i].base + GITS_TRANSLATER) {
        yield* nodes[i].its.message(deviceId, data >>> 0);
        return true;
      }
    return false;
  }

  // --- wired pins ---

  *allocEvent(deviceId: number): Step<{ intid: number; eventId: number } | null> {
    const behind = yield* this.driver.deviceFor(this.nodeOf(deviceId), deviceId, WIRED_EVENTS);
    const eventId = typeof behind === "number" ? -1 : behind.take(1);
    return typeof behind === "number" || eventId < 0 ? null : { intid: behind.lpiBase + eventId, eventId };
  }
}

/** Where an mbigen's messages go. */
export class MbigenPort implements MsiPort {
  constructor(private readonly node: ItsNode) {}

  *write(deviceId: number, eventId: number): Step<void> {
    yield* this.node.its.message(deviceId, eventId);
  }
}
