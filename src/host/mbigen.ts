import type { EdgeSink, LevelSink } from "../arch/level.js";
import { block, writes } from "../sim/access.js";
import type { Step } from "../sim/step.js";
import { EINVAL, ENOSPC } from "../uapi/errno.js";
import { type IrqChip, IrqData } from "./irq/chip.js";
import { Flow, type IrqTable } from "./irq/desc.js";
import type { GicDomain } from "./irq/domain.js";
import { setTrigger } from "./irq/request.js";
import { IrqType } from "./irq/types.js";

const FIRST_PIN = 64;
const END_PIN = 1408;
const PINS_PER_NODE = 128;
const FIRST_NODE_BEHIND_CLEAR = 10;
const VECTORS = 0x200;
const CLEAR = 0xa000;
const EVENT_SHIFT = 12;
const EVENT_MASK = 0x3ff;
/** The register has so much of the device id; the mbigen puts the rest, its own, before it. */
const DEVICE_MASK = 0xfff;

/** Where an mbigen writes its messages: an ITS. */
export interface MsiPort {
  write(deviceId: number, eventId: number): Step<void>;
}

/** The domain behind it: events of a device become LPIs. */
export interface EventDomain {
  readonly chip: IrqChip;
  /** An LPI for the next event of a device; the event id goes into the message. Null: there are no more. */
  allocEvent(deviceId: number): Step<{ intid: number; eventId: number } | null>;
}

export const isMbigenPin = (pin: number): boolean => pin >= FIRST_PIN && pin < END_PIN;

const nodeOf = (pin: number): number => Math.floor((pin - FIRST_PIN) / PINS_PER_NODE) + 1;
const indexOf = (pin: number): number => (pin - FIRST_PIN) % PINS_PER_NODE;
/** The registers of later nodes lie behind the clear registers. */
const nodeBase = (node: number): number => node * 0x1000 + (node >= FIRST_NODE_BEHIND_CLEAR ? 0x1000 : 0);

/** Offsets of a pin's registers (host-irq.md 2.8). Vector and type go by node and index, clear by the raw pin (K25). */
export function vectorRegister(pin: number): number {
  return nodeBase(nodeOf(pin)) + VECTORS + 4 * indexOf(pin);
}
export function typeRegister(pin: number): { offset: number; bit: number } {
  return { offset: nodeBase(nodeOf(pin)) + 4 * (indexOf(pin) >> 5), bit: indexOf(pin) & 31 };
}
export function clearRegister(pin: number): { offset: number; bit: number } {
  return { offset: CLEAR + 4 * (pin >> 5), bit: pin & 31 };
}

/**
 * An mbigen: turns wired pins into messages. A pin that has sent one is silent until its status is cleared; a level pin
 * that is still high then sends another.
 */
export class Mbigen {
  /** By raw pin. */
  private readonly line = new Uint8Array(END_PIN);
  private readonly sent = new Uint8Array(END_PIN);
  private readonly isLevel = new Uint8Array(END_PIN);
  private readonly vectors = new Int32Array(END_PIN);
  messages = 0;

  /** @param deviceId of its messages, as firmware has programmed it */
  constructor(
    private readonly port: MsiPort,
    readonly deviceId: number,
  ) {}

  *setLine(pin: number, isHigh: boolean): Step<void> {
    yield writes(this, "mbigen");
    const rises = isHigh && this.line[pin] === 0;
    this.line[pin] = isHigh ? 1 : 0;
    if (rises && this.sent[pin] === 0) yield* this.send(pin);
  }

  private *send(pin: number): Step<void> {
    this.sent[pin] = 1;
    this.messages++;
    yield* this.port.write(this.deviceId, (this.vectors[pin] >> EVENT_SHIFT) & EVENT_MASK);
  }

  *writeVector(pin: number, eventId: number): Step<void> {
    yield writes(this, "mbigen");
    this.vectors[pin] = ((eventId & EVENT_MASK) << EVENT_SHIFT) | (this.deviceId & DEVICE_MASK);
  }

  *writeType(pin: number, isLevel: boolean): Step<void> {
    yield writes(this, "mbigen");
    this.isLevel[pin] = isLevel ? 1 : 0;
  }

  /** Writes one bit of a clear register. */
  *writeClear(offset: number, bit: number): Step<void> {
    yield writes(this, "mbigen");
    const pin = ((offset - CLEAR) >> 2) * 32 + bit;
    this.sent[pin] = 0;
    if (this.isLevel[pin] === 1 && this.line[pin] === 1) yield* this.send(pin);
  }

  /** The contents of a pin's registers, for inspection. */
  pin(pin: number): { vector: number; isLevel: boolean; isSent: boolean } {
    return { vector: this.vectors[pin], isLevel: this.isLevel[pin] === 1, isSent: this.sent[pin] === 1 };
  }
}
block(Mbigen, "line", "sent", "isLevel", "vectors");

/** Masking is the LPI's; the end of interrupt clears the pin first. */
class MbigenChip implements IrqChip {
  readonly name = "mbigen-v2";
  readonly isOneshotSafe = false;
  readonly eoiAfterThread = false;
  readonly allowsSoftwareResend = false;
  clears = 0;

  constructor(
    private readonly mbigen: Mbigen,
    private readonly parent: IrqChip,
    private readonly eventOf: (pin: number) => number,
  ) {}

  *mask(data: IrqData): Step<void> {
    if (data.parent !== null) yield* this.parent.mask(data.parent);
  }

  *unmask(data: IrqData): Step<void> {
    if (data.parent !== null) yield* this.parent.unmask(data.parent);
  }

  *eoi(data: IrqData): Step<void> {
    const { offset, bit } = clearRegister(data.desc.table.sim.hazards.clearByIndex ? indexOf(data.hwirq) : data.hwirq);
    this.clears++;
    yield* this.mbigen.writeClear(offset, bit);
    if (data.parent !== null) yield* this.parent.eoi(data.parent);
  }

  *setType(data: IrqData, type: number): Step<number> {
    if (type !== IrqType.EDGE_RISING && type !== IrqType.LEVEL_HIGH) return -EINVAL;
    yield* this.mbigen.writeType(data.hwirq, type === IrqType.LEVEL_HIGH);
    return 0;
  }

  *activate(data: IrqData): Step<number> {
    const error = data.parent !== null && this.parent.activate ? yield* this.parent.activate(data.parent) : 0;
    if (error < 0) return error;
    yield* this.mbigen.writeVector(data.hwirq, this.eventOf(data.hwirq));
    return 0;
  }
}

/** The pins of one mbigen group as interrupts of the host: mbigen, then ITS, then GICv3. */
export class MbigenDomain {
  private readonly chip: MbigenChip;
  private readonly events = new Map<number, number>();
  private readonly irqs = new Map<number, number>();

  constructor(
    private readonly table: IrqTable,
    private readonly root: GicDomain,
    private readonly parent: EventDomain,
    readonly mbigen: Mbigen,
  ) {
    this.chip = new MbigenChip(mbigen, parent.chip, (pin) => this.events.get(pin) ?? 0);
  }

  /** Writes to clear registers so far. */
  get clears(): number {
    return this.chip.clears;
  }

  /** Maps the interrupt that firmware describes by its cells (pin, type): the irq, or -EINVAL, -ENOSPC. */
  *map(cells: readonly number[]): Step<number> {
    const [pin, type] = cells;
    if (cells.length !== 2 || !isMbigenPin(pin) || (type !== IrqType.EDGE_RISING && type !== IrqType.LEVEL_HIGH)) return -EINVAL;
    const known = this.irqs.get(pin);
    if (known !== undefined) return known;
    const event = yield* this.parent.allocEvent(this.mbigen.deviceId);
    if (event === null) return -ENOSPC;
    const { intid, eventId } = event;
    const desc = this.table.allocate(this.chip, pin, Flow.FASTEOI);
    desc.data.parent = new IrqData(desc, this.parent.chip, intid);
    yield* desc.lock.lock();
    yield* setTrigger(desc, type);
    yield* desc.lock.unlock();
    this.root.attach(desc, intid);
    this.events.set(pin, eventId);
    this.irqs.set(pin, desc.irq);
    return desc.irq;
  }
}

/** A level pin, as a device's line ends there. */
export class MbigenLevelPin implements LevelSink {
  readonly trigger = "level";
  constructor(
    private readonly mbigen: Mbigen,
    private readonly pin: number,
  ) {}
  *setLevel(isHigh: boolean): Step<void> {
    yield* this.mbigen.setLine(this.pin, isHigh);
  }
}

/** An edge pin: each pulse is one rise and fall. */
export class MbigenEdgePin implements EdgeSink {
  readonly trigger = "edge";
  constructor(
    private readonly mbigen: Mbigen,
    private readonly pin: number,
  ) {}
  *pulse(): Step<void> {
    yield* this.mbigen.setLine(this.pin, true);
    yield* this.mbigen.setLine(this.pin, false);
  }
}
