import type { EventName } from "../../sim/event.js";
import type { Heard, Property } from "../property.js";

const RESAMPLE_SOURCE = 1;

/** What one context has done in the acknowledge that it is in. */
interface Acknowledge {
  deasserts: number;
  notified: number;
}

/** kvm-irq-core.md 3.5 rules 2 and 3: AK3 once, before all of AK4 (H14, H15). */
export class OneDeassertPerResample implements Property {
  readonly name = "one-deassert-per-resample";
  readonly sentence = "an acknowledge that tells the owners of a resampled line has lowered it exactly once, before it tells any";
  readonly hears: readonly EventName[] = ["kvm_ack_irq", "kvm_set_irq", "resampler_notify"];
  readonly anyOrder = [[this.hears, this.hears]] as const; // each context by itself
  private readonly byContext = new Map<string, Acknowledge>();

  hear({ name, context, args: [gsi, level, source] }: Heard): string | null {
    if (name === "kvm_ack_irq") {
      this.byContext.set(context, { deasserts: 0, notified: 0 });
      return null;
    }
    const acknowledge = this.byContext.get(context);
    if (acknowledge === undefined) return null; // a leaver, or a resample without acknowledge (3.7)
    if (name === "resampler_notify") {
      acknowledge.notified++;
      return acknowledge.deasserts > 0 ? null : `an owner of GSI ${gsi} is told before its line is lowered`;
    }
    if (level !== 0 || source !== RESAMPLE_SOURCE) return null;
    acknowledge.deasserts++;
    if (acknowledge.notified > 0) return `GSI ${gsi} is lowered although an owner was told already`;
    return acknowledge.deasserts > 1 ? `GSI ${gsi} is lowered ${acknowledge.deasserts} times in one acknowledge` : null;
  }
}
