import type { EventName } from "../../sim/event.js";
import type { Heard, Property } from "../property.js";

/**
 * Signals of an eventfd that came before one injection are coalesced into it; conditions of a device, into one service. Hears
 * both ends of an irqfd (kvm-irq-core.md 2.4) and of a device; either alone will do. A count that user space reads away is
 * not its to know.
 */
export class NoInterruptLost implements Property {
  readonly name = "no-interrupt-lost";
  readonly sentence = "every event that a device raised is injected and serviced, alone or together with others that came before";
  readonly hears: readonly EventName[] = ["irqfd_assign", "irqfd_inject", "irqfd_deactivate", "eventfd_signal", "eventfd_write", "device_raise", "device_service"];
  /** Eventfds signalled since their last injection. */
  private readonly signalled = new Set<unknown>();
  /** GSIs of active irqfds by eventfd. */
  private readonly active = new Map<unknown, unknown>();
  /** Interrupts of devices raised since their last service: "device 0". */
  private readonly raised = new Set<string>();

  hear({ name, args }: Heard): null {
    const [first, second, third] = args;
    switch (name) {
      case "irqfd_assign":
        this.active.set(first, second);
        break;
      case "irqfd_deactivate":
        this.active.delete(second);
        break;
      case "eventfd_signal":
      case "eventfd_write":
        this.signalled.add(first);
        break;
      case "irqfd_inject":
        this.signalled.delete(first);
        break;
      case "device_raise":
        this.raised.add(`${first} ${second}`);
        break;
      case "device_service":
        if (third !== 0) this.raised.delete(`${first} ${second}`);
        break;
    }
    return null;
  }

  end(): string | null {
    for (const [eventfd, gsi] of this.active) if (this.signalled.has(eventfd)) return `an event of eventfd ${eventfd} was never injected as GSI ${gsi}`;
    const [lost] = this.raised;
    return lost === undefined ? null : `the interrupt of ${lost} was raised and never serviced`;
  }
}
