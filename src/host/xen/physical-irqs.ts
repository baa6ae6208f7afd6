import type { LevelSink } from "../../arch/level.js";
import { reads, shared, writes } from "../../sim/access.js";
import type { Sim } from "../../sim/sim.js";
import type { Step } from "../../sim/step.js";
import { EBUSY, EINVAL } from "../../uapi/errno.js";
import type { EventChannels } from "./event-channels.js";

/** Where a physical interrupt goes. */
export type PirqTarget =
  | { readonly kind: "evtchn"; readonly domain: number; readonly port: number }
  | { readonly kind: "guest"; readonly domain: number; readonly vector: number };

/** What a guest's own interrupt controller is told, for interrupts that no event channel carries (bind_pt_irq, 38). */
export interface GuestVectors {
  inject(domain: number, vector: number): Step<void>;
}

const FIRST_PIRQ = 16;
const LINE = -1;

interface Pirq {
  readonly device: string;
  /** Number of the function's message; -1 for its line. */
  readonly entry: number;
  target: PirqTarget | null;
  /** Delivered since the last EOI: of a line. */
  isActive: boolean;
}

/**
 * The physical interrupts that a host kernel has asked Xen for (vfio.md 21.4; physdev.h): no host handler ever sees them. A line
 * stays active until the guest's end of interrupt reaches the controller, as it does when hardware owns it (21.5).
 */
export class PhysicalIrqs {
  guests: GuestVectors | null = null;
  /** By number. */
  private readonly pirqs: (Pirq | null)[] = new Array<Pirq | null>(FIRST_PIRQ).fill(null);
  /** Numbers by device, and there by entry, the line's first; 0 where it is not mapped. */
  private readonly byEntry = new Map<string, number[]>();
  private readonly lines = new Map<string, XenLine>();
  /** No number below it is free. */
  private firstFree = FIRST_PIRQ;

  constructor(
    readonly sim: Sim,
    private readonly channels: EventChannels,
  ) {}

  /** A device's wire, which goes to `host` as long as its interrupt is not mapped here. */
  lineOf(device: string, host: LevelSink): LevelSink {
    const line = new XenLine(this, device, host);
    this.lines.set(device, line);
    return line;
  }

  /** PHYSDEVOP_map_pirq (13), type 0: `count` messages of a function from entry `first` on; the first of as many numbers. -EBUSY. */
  *mapMessages(device: string, first: number, count: number): Step<number> {
    yield writes(this, "pirqs");
    for (let entry = first; entry < first + count; entry++) if (this.numberOf(device, entry) !== 0) return -EBUSY;
    // The low bits of a function's data are its vector's: a block begins at a multiple of its size.
    let size = 1;
    while (size < count) size *= 2;
    const number = this.freeBlock(size);
    for (let i = 0; i < count; i++) this.add(number + i, device, first + i);
    return number;
  }

  /** The same, type 1: the function's line. -EBUSY, -EINVAL without one. */
  *mapLine(device: string): Step<number> {
    yield writes(this, "pirqs");
    const line = this.lines.get(device);
    if (line === undefined) return -EINVAL;
    if (this.numberOf(device, LINE) !== 0) return -EBUSY;
    const number = this.freeBlock(1);
    this.add(number, device, LINE);
    yield* line.handOver(true);
    return number;
  }

  /** PHYSDEVOP_unmap_pirq (14). */
  *unmap(number: number): Step<number> {
    yield writes(this, "pirqs");
    const pirq = this.at(number);
    if (pirq === null) return -EINVAL;
    this.pirqs[number] = null;
    this.firstFree = Math.min(this.firstFree, number);
    const numbers = this.byEntry.get(pirq.device);
    if (numbers !== undefined) numbers[pirq.entry - LINE] = 0;
    const line = pirq.entry === LINE ? this.lines.get(pirq.device) : undefined;
    if (line !== undefined) yield* line.handOver(false);
    return 0;
  }

  /** Bound once, to an event channel or, by bind_pt_irq (38), to a vector of the guest; null takes it back (48). -EBUSY, -EINVAL. */
  *bind(number: number, target: PirqTarget | null): Step<number> {
    yield writes(this, "pirqs");
    const pirq = this.at(number);
    if (pirq === null) return -EINVAL;
    if (target !== null && pirq.target !== null) return -EBUSY;
    pirq.target = target;
    pirq.isActive = false;
    if (target !== null) yield* this.sample(pirq);
    return 0;
  }

  /** A message with the number as its data: false where the function has it not. */
  *message(device: string, number: number): Step<boolean> {
    yield writes(this, "pirqs");
    const pirq = this.at(number);
    if (pirq === null || pirq.device !== device || pirq.entry === LINE) return false;
    yield* this.deliver(pirq.target);
    return true;
  }

  /** The line of a device has changed. */
  *sampleLine(device: string): Step<boolean> {
    yield writes(this, "pirqs");
    const pirq = this.at(this.numberOf(device, LINE));
    if (pirq === null) return false;
    yield* this.sample(pirq);
    return true;
  }

  /** PHYSDEVOP_eoi (12), from the guest: a line that is still high comes again. */
  *eoi(number: number): Step<number> {
    yield writes(this, "pirqs");
    const pirq = this.at(number);
    if (pirq === null) return -EINVAL;
    pirq.isActive = false;
    yield* this.sample(pirq);
    return 0;
  }

  private *sample(pirq: Pirq): Step<void> {
    if (pirq.entry !== LINE || pirq.isActive || pirq.target === null) return;
    if (!(this.lines.get(pirq.device)?.isHigh ?? false)) return;
    pirq.isActive = true;
    yield* this.deliver(pirq.target);
  }

  private *deliver(target: PirqTarget | null): Step<void> {
    if (target === null) return;
    if (target.kind === "evtchn") yield* this.channels.send(target.domain, target.port);
    else if (this.guests !== null) yield* this.guests.inject(target.domain, target.vector);
  }

  // The caller has announced the access.

  private at(number: number): Pirq | null {
    return this.pirqs[number] ?? null;
  }

  /** The first of `size` free numbers, at a multiple of `size`. */
  private freeBlock(size: number): number {
    while (this.at(this.firstFree) !== null) this.firstFree++;
    let start = Math.ceil(this.firstFree / size) * size;
    while (!this.isFree(start, size)) start += size;
    return start;
  }

  private isFree(start: number, size: number): boolean {
    for (let number = start; number < start + size; number++) if (this.at(number) !== null) return false;
    return true;
  }

  /** 0 where it is not mapped. */
  private numberOf(device: string, entry: number): number {
    return this.byEntry.get(device)?.[entry - LINE] ?? 0;
  }

  private add(number: number, device: string, entry: number): void {
    let numbers = this.byEntry.get(device);
    if (numbers === undefined) this.byEntry.set(device, (numbers = []));
    while (numbers.length < entry - LINE) numbers.push(0);
    while (this.pirqs.length < number) this.pirqs.push(null);
    numbers[entry - LINE] = number;
    this.pirqs[number] = { device, entry, target: null, isActive: false };
  }

  /** Numbers in use, for tests and dumps. */
  *numbers(): Step<readonly number[]> {
    yield reads(this, "pirqs");
    return [...this.pirqs.keys()].filter((number) => this.at(number) !== null);
  }
}
shared(PhysicalIrqs, "pirqs");

/** A device's wire: to Xen while the interrupt is mapped there, to the host's controller otherwise. */
class XenLine implements LevelSink {
  readonly trigger = "level";
  isHigh = false;

  constructor(
    private readonly pirqs: PhysicalIrqs,
    private readonly device: string,
    private readonly host: LevelSink,
  ) {}

  *setLevel(isHigh: boolean): Step<void> {
    this.isHigh = isHigh;
    if (!(yield* this.pirqs.sampleLine(this.device))) yield* this.host.setLevel(isHigh);
  }

  /** What the host's controller sees of a wire that has gone to Xen is low. */
  *handOver(toXen: boolean): Step<void> {
    if (this.isHigh) yield* this.host.setLevel(!toXen);
  }
}
