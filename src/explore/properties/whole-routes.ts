import type { EventName } from "../../sim/event.js";
import { KVM_SET_GSI_ROUTING } from "../../uapi/kvm.js";
import type { Heard, Property } from "../property.js";

/** What a GSI leads to. */
export interface RoutedMessage {
  readonly address: number;
  readonly data: number;
}

/** The system work queue, whose items inject by copies of the entries: they may be late (kvm-irq-core.md H6). */
const WORKER = "events";

/**
 * kvm-irq-core.md 2.4 WK3 and 4.3 RU8: a message is one route's, whole (H4), and no callback sends an older one once the
 * change has returned (H5, H25). Routing calls must return in the order of the tables.
 */
export class WholeRoutes implements Property {
  readonly name = "whole-routes";
  readonly sentence = "a routing change is atomic: every message is wholly of one table, and no callback uses the old table after the change has returned";
  readonly hears: readonly EventName[] = ["kvm_msi_set_irq", "sys_ioctl"];
  /** Calls that have returned. */
  private inForce = 0;

  /** @param tables the one message of each table that a call brings, in the order of the calls */
  constructor(private readonly tables: readonly RoutedMessage[]) {}

  hear({ name, context, args }: Heard): string | null {
    if (name === "sys_ioctl") {
      if (args[1] === KVM_SET_GSI_ROUTING && args[2] === 0) this.inForce++;
      return null;
    }
    const [address, data] = args;
    const table = this.tables.findIndex((message) => message.address === address && message.data === data);
    if (table < 0) return `the message with address ${address} and data ${data} is of no table`;
    return table < this.inForce - 1 && context !== WORKER ? `message ${data} is sent from the old table after the change has returned` : null;
  }
}
