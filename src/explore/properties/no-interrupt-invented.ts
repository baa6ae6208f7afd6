import type { EventArgument, EventName } from "../../sim/event.js";
import type { Heard, Property } from "../property.js";

/** Each injection has an event of its own behind it: events may be coalesced, never multiplied (kvm-irq-core.md H2, H31). */
export class NoInterruptInvented implements Property {
  readonly name = "no-interrupt-invented";
  readonly sentence = "nothing is injected that no event asked for, and no event is injected twice";
  readonly hears: readonly EventName[] = ["eventfd_signal", "eventfd_write", "irqfd_inject"];
  /** Events less injections, by eventfd. */
  private readonly owed = new Map<EventArgument, number>();

  /** @param counting eventfds that count from the start: their first injection has that event */
  constructor(counting: readonly number[] = []) {
    for (const eventfd of counting) this.owed.set(eventfd, 1);
  }

  hear({ name, args: [eventfd, gsi] }: Heard): string | null {
    const owed = (this.owed.get(eventfd) ?? 0) + (name === "irqfd_inject" ? -1 : 1);
    this.owed.set(eventfd, owed);
    return owed < 0 ? `an injection of GSI ${gsi} has no event of eventfd ${eventfd} behind it` : null;
  }
}
