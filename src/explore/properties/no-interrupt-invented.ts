import type { EventArgument, EventName } from "../../sim/event.js";
import type { Heard, Property } from "../property.js";

/** What may still be injected of an eventfd. */
interface Owed {
  /** Events that have run their callbacks, or were counted before anybody listened: together one injection. */
  hasQueued: boolean;
  /** Whose last event may still be on its way to the callback: an injection each. */
  readonly underWay: Set<string>;
}

/**
 * Each injection has an event of its own behind it: events may be coalesced, never multiplied (kvm-irq-core.md H2, H31). An
 * event is told before its callback runs; whoever does something else afterwards has run it.
 */
export class NoInterruptInvented implements Property {
  readonly name = "no-interrupt-invented";
  readonly sentence = "nothing is injected that no event asked for, no event is injected twice, and those that were coalesced are injected once";
  readonly hears: readonly EventName[] = ["eventfd_signal", "eventfd_write", "irqfd_inject"];
  private readonly owed = new Map<EventArgument, Owed>();

  /** @param counting eventfds that count from the start: their first injection has that event */
  constructor(counting: readonly number[] = []) {
    for (const eventfd of counting) this.owedOf(eventfd).hasQueued = true;
  }

  private owedOf(eventfd: EventArgument): Owed {
    const owed = this.owed.get(eventfd) ?? { hasQueued: false, underWay: new Set() };
    this.owed.set(eventfd, owed);
    return owed;
  }

  hear({ name, context, args: [eventfd, gsi] }: Heard): string | null {
    const owed = this.owedOf(eventfd);
    if (owed.underWay.delete(context)) owed.hasQueued = true;
    if (name !== "irqfd_inject") {
      owed.underWay.add(context);
      return null;
    }
    if (owed.hasQueued) {
      owed.hasQueued = false;
      return null;
    }
    const [first] = owed.underWay;
    if (first === undefined) return `an injection of GSI ${gsi} has no event of eventfd ${eventfd} behind it`;
    owed.underWay.delete(first);
    return null;
  }
}
