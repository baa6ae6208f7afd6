import type { Property } from "../property.js";

/** kvm-irq-core.md 2.4, H3: of programs in which one event is owed to a GSI that leads to a message. */
export class MessageSent implements Property {
  readonly name = "message-sent";
  readonly sentence = "an event of an irqfd whose GSI leads to a message is sent as one, whoever consumes it";
  readonly hears = ["kvm_msi_set_irq"] as const;
  private isSent = false;

  hear(): null {
    this.isSent = true;
    return null;
  }

  end(): string | null {
    return this.isSent ? null : "the event was consumed, and no message sent";
  }
}
