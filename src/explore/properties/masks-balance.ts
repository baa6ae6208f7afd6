import type { EventName } from "../../sim/event.js";
import type { Heard, Property } from "../property.js";

/** vfio.md 16.3: an automasked interrupt is masked once when it fires, and unmasked once by whoever was told. */
export class MasksBalance implements Property {
  readonly name = "masks-balance";
  readonly sentence = "an interrupt that VFIO masks when it fires is not masked so again before it is unmasked, and is unmasked in the end";
  readonly hears: readonly EventName[] = ["vfio_automask", "vfio_unmask"];
  private readonly masked = new Set<string>();

  hear({ name, args: [device, index] }: Heard): string | null {
    const key = `${device} ${index}`;
    const isMasked = this.masked.has(key);
    if (name === "vfio_automask") this.masked.add(key);
    else this.masked.delete(key);
    if (name === "vfio_automask" && isMasked) return `interrupt ${index} of ${device} is masked twice`;
    return null; // an unmask more is nothing wrong: it may undo a mask by ioctl, and one of what is open does nothing
  }

  end(): string | null {
    const [left] = this.masked;
    return left === undefined ? null : `the interrupt of ${left} is masked, and nobody will unmask it`;
  }
}
