import type { EventArgument, EventName } from "../../sim/event.js";
import type { Heard, Property } from "../property.js";

const RESAMPLE_SOURCE = 1;

/** kvm-irq-core.md 3.4 RL3: the last leaver lowers by hand what it may have raised (H16, H17). */
export class NoLineWithoutOwner implements Property {
  readonly name = "no-line-without-owner";
  readonly sentence = "no resampled line is left up when the last of its owners has gone";
  readonly hears: readonly EventName[] = ["kvm_set_irq", "resampler_create", "resampler_free"];
  readonly anyOrder = [[["kvm_set_irq"], ["resampler_create", "resampler_free"]]] as const; // asked at the end
  private readonly high = new Set<EventArgument>();
  private readonly owned = new Set<EventArgument>();

  hear({ name, args: [gsi, level, source] }: Heard): null {
    if (name === "resampler_create") this.owned.add(gsi);
    else if (name === "resampler_free") this.owned.delete(gsi);
    else if (source === RESAMPLE_SOURCE && level === 0) this.high.delete(gsi);
    else if (source === RESAMPLE_SOURCE) this.high.add(gsi);
    return null;
  }

  end(): string | null {
    for (const gsi of this.high) if (!this.owned.has(gsi)) return `GSI ${gsi} is up and nobody owns it`;
    return null;
  }
}
