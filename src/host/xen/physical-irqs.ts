import type { LevelSink } from "../../arch/level.js";
import { reads, shared, writes } from "../../sim/access.js";
import type { Sim } from "../../sim/sim.js";
import type { Step } from "../../sim/step.js";
import { EBUSY, EINVAL } from "../../uapi/errno.js";
import type { EventChannels } from "./event-channels.js";

const FIRST_PIRQ = 16;

/** Where a physical interrupt goes. */
export type PirqTarget =
  | { readonly kind: "evtchn"; readonly domain: number; readonly port: number }
  | { readonly kind: "guest"; readonly domain: number; readonly vector: number };

/** What a guest's own interrupt controller is told, for interrupts that no event channel carries (bind_pt_irq, 38). */
export interface GuestVectors {
  inject(domain: number, vector: number): Step<void>;
}

interface Pirq {
  /** A function's message of that number, or a line. */
  readonly device: string;
  readonly entry: number;
  target: PirqTarget | null;
  /** Of a line: its level, and delivered since the last EOI. */
  isHigh: boolean;
  isActive: boolean;
  /** Interrupts so far. */
  count: number;
}

/**
 * The physical interrupts that a host kernel has asked Xen for (vfio.md 21.4; physdev.h): no host handler ever sees them. A line
 * stays active until the guest's end of interrupt reaches the controller, as it does when hardware owns it (21.5).
 */
export class PhysicalIrqs {
  guests: GuestVectors | null = null;
  private readonly pirqs = new Map<number, Pirq>();
  private next = FIRST_PIRQ;

  constructor(readonly sim: Sim) {}

  /** PHYSDEVOP_map_pirq (13), by message (type 0) or line (type 1, entry -1): the number; -EBUSY where it is mapped. */
  *map(device: string, entry: number): Step<number> {
    yield writes(this, "pirqs");
    for (const pirq of this.pirqs.values()) if (pirq.device === device && pirq.entry === entry) return -EBUSY;
    const number = this.next++;
    this.pirqs.set(number, { device, entry, target: null, isHigh: false, isActive: false, count: 0 });
    return number;
  }

  /** PHYSDEVOP_unmap_pirq (14). */
  *unmap(number: number): Step<number> {
    yield writes(this, "pirqs");
    return this.pirqs.delete(number) ? 0 : -EINVAL;
  }

  /** Bound once to an event channel or, by bind_pt_irq (38), to a vector of the guest; null takes it back (48). */
  *bind(number: number, target: PirqTarget | null): Step<number> {
    yield writes(this, "pirqs");
    const pirq = this.pirqs.get(number);
    if (pirq === undefined) return -EINVAL;
    if (target !== null && pirq.target !== null) return -EBUSY;
    pirq.target = target;
    return 0;
  }

  /** The function's message: true where it is mapped here. */
  *message(device: string, entry: number, channels: EventChannels): Step<boolean> {
    yield writes(this, "pirqs");
    const pirq = this.of(device, entry);
    if (pirq === null) return false;
    yield* this.deliver(pirq, channels);
    return true;
  }

  /** The line of a device changes; false where nobody has it here. */
  *setLevel(device: string, isHigh: boolean, channels: EventChannels): Step<boolean> {
    yield writes(this, "pirqs");
    const pirq = this.of(device, LINE);
    if (pirq === null) return false;
    pirq.isHigh = isHigh;
    if (isHigh && !pirq.isActive) yield* this.activate(pirq, channels);
    return true;
  }

  /** PHYSDEVOP_eoi (12), from the guest: a line that is still high comes again. */
  *eoi(number: number, channels: EventChannels): Step<number> {
    yield writes(this, "pirqs");
    const pirq = this.pirqs.get(number);
    if (pirq === undefined) return -EINVAL;
    pirq.isActive = false;
    if (pirq.isHigh) yield* this.activate(pirq, channels);
    return 0;
  }

  private *activate(pirq: Pirq, channels: EventChannels): Step<void> {
    pirq.isActive = true;
    yield* this.deliver(pirq, channels);
  }

  private *deliver(pirq: Pirq, channels: EventChannels): Step<void> {
    pirq.count++;
    const { target } = pirq;
    if (target === null) return;
    if (target.kind === "evtchn") yield* channels.send(target.domain, target.port);
    else if (this.guests !== null) yield* this.guests.inject(target.domain, target.vector);
  }

  private of(device: string, entry: number): Pirq | null {
    for (const pirq of this.pirqs.values()) if (pirq.device === device && pirq.entry === entry) return pirq;
    return null;
  }

  /** Numbers in use, for tests and dumps. */
  *numbers(): Step<readonly number[]> {
    yield reads(this, "pirqs");
    return [...this.pirqs.keys()];
  }
}
shared(PhysicalIrqs, "pirqs");

/** The entry of a line. */
export const LINE = -1;

/** A device's wire: to Xen while the interrupt is mapped there, to the host's controller otherwise. */
export class XenLine implements LevelSink {
  readonly trigger = "level";

  constructor(
    private readonly device: string,
    private readonly pirqs: PhysicalIrqs,
    private readonly channels: EventChannels,
    private readonly host: LevelSink,
  ) {}

  *setLevel(isHigh: boolean): Step<void> {
    if (!(yield* this.pirqs.setLevel(this.device, isHigh, this.channels))) yield* this.host.setLevel(isHigh);
  }
}
