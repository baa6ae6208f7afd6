import type { EventName } from "../../sim/event.js";
import type { Heard, Property } from "../property.js";

/** vfio.md 23.1: an automasked interrupt is signalled once, and then once for each unmask. */
export class OneSignalPerUnmask implements Property {
  readonly name = "one-signal-per-unmask";
  readonly sentence = "an automasked interrupt is signalled once, and then once for each unmask at most";
  readonly hears: readonly EventName[] = ["vfio_trigger", "vfio_unmask"];

  /** @param allowed signals that may still come before the first unmask: 1, or 0 for an interrupt that is masked */
  constructor(private allowed: number) {}

  hear({ name, args: [device, index] }: Heard): string | null {
    if (name === "vfio_unmask") this.allowed++;
    else if (--this.allowed < 0) return `interrupt ${index} of ${device} is signalled although nothing has unmasked it`;
    return null;
  }
}
