import type { EventArgument, EventName } from "../../sim/event.js";
import type { Heard, Property } from "../property.js";

/** An eventfd and a GSI that it is injected as. */
interface Link {
  readonly eventfd: EventArgument;
  readonly gsi: EventArgument;
  /** Signalled since its last injection. */
  isOwed: boolean;
}

const SIGNALS: readonly EventName[] = ["eventfd_signal", "eventfd_write"];
const IRQFD: readonly EventName[] = ["irqfd_assign", "irqfd_inject", "irqfd_deactivate", ...SIGNALS];
const DEVICE: readonly EventName[] = ["device_raise", "device_service"];

/**
 * Signals of an eventfd that came before one injection are coalesced into it; conditions of a device, into one service. Hears
 * both ends of an irqfd (kvm-irq-core.md 2.4) and of a device; either alone will do. A count that an irqfd leaves behind when
 * it is deactivated waits in the eventfd for the next one, and is not lost; one that user space reads away is not its to know.
 */
export class NoInterruptLost implements Property {
  readonly name = "no-interrupt-lost";
  readonly sentence = "every event that a device raised is serviced, and injected by every irqfd that stays, alone or together with others that came before";
  readonly hears: readonly EventName[] = [...IRQFD, ...DEVICE];
  readonly anyOrder = [
    [IRQFD, DEVICE],
    [SIGNALS, [...SIGNALS, "irqfd_assign"]],
    [["irqfd_deactivate"], ["irqfd_deactivate", "irqfd_inject", ...SIGNALS]],
    [["irqfd_inject"], ["irqfd_inject"]],
    [["irqfd_assign"], ["irqfd_assign"]],
    [["device_raise"], ["device_raise"]],
    [["device_service"], ["device_service"]],
  ] as const;
  /** Eventfds signalled since their last injection: who is assigned to one of them finds its count. */
  private readonly counting = new Set<EventArgument>();
  private active: Link[] = [];
  /** Interrupts of devices raised since their last service: "device 0". */
  private readonly raised = new Set<string>();

  hear({ name, args }: Heard): null {
    const [first, second, third] = args;
    switch (name) {
      case "irqfd_assign":
        this.active.push({ eventfd: first, gsi: second, isOwed: this.counting.has(first) });
        break;
      case "irqfd_deactivate":
        this.active = this.active.filter(({ eventfd, gsi }) => eventfd !== second || gsi !== third);
        break;
      case "eventfd_signal":
      case "eventfd_write":
        this.counting.add(first);
        for (const link of this.active) if (link.eventfd === first) link.isOwed = true;
        break;
      case "irqfd_inject":
        this.counting.delete(first);
        for (const link of this.active) if (link.eventfd === first && link.gsi === second) link.isOwed = false;
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
    const owed = this.active.find(({ isOwed }) => isOwed);
    if (owed !== undefined) return `an event of eventfd ${owed.eventfd} was never injected as GSI ${owed.gsi}`;
    const [lost] = this.raised;
    return lost === undefined ? null : `the interrupt of ${lost} was raised and never serviced`;
  }
}
