import type { EventName } from "../../sim/event.js";
import type { Heard, Property } from "../property.js";

const RESAMPLE_SOURCE = 1;

/** kvm-irq-core.md 3.5 rule 2: what a device asserts once an acknowledge has lowered the line stays for the next one (H14). */
export class NoRequestWipedOut implements Property {
  readonly name = "no-request-wiped-out";
  readonly sentence = "a line that is asserted after an acknowledge has lowered it is not lowered again by the same acknowledge";
  readonly hears: readonly EventName[] = ["kvm_ack_irq", "kvm_set_irq"];
  /** GSIs that the acknowledge under way has lowered, and whether anybody has asserted them since. */
  private readonly assertedAgain = new Map<number, boolean>();

  hear({ name, args: [gsi, level, source] }: Heard): string | null {
    if (typeof gsi !== "number" || (name === "kvm_set_irq" && source !== RESAMPLE_SOURCE)) return null;
    if (name === "kvm_ack_irq") this.assertedAgain.delete(gsi);
    else if (level !== 0) {
      if (this.assertedAgain.has(gsi)) this.assertedAgain.set(gsi, true);
    } else if (this.assertedAgain.get(gsi) === true) return `GSI ${gsi} is lowered by an acknowledge that had lowered it before a device asserted it again: its request is lost`;
    else this.assertedAgain.set(gsi, false);
    return null;
  }
}
