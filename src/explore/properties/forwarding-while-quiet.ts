import type { EventName } from "../../sim/event.js";
import type { Heard, Property } from "../property.js";

/** kvm-irq-core.md 8.3 checks 12 and 13 (H36). The release of the KVM-VFIO device alone may change it at any time. */
export class ForwardingWhileQuiet implements Property {
  readonly name = "forwarding-while-quiet";
  readonly sentence = "an interrupt begins or ceases to be forwarded only while no trigger is installed for it";
  readonly hears: readonly EventName[] = ["vfio_signaling", "irq_forward"];
  private readonly signaling = new Set<string>();

  hear({ name, args: [device, index, third, on, by] }: Heard): string | null {
    const key = `${device} ${index}`;
    if (name === "irq_forward") {
      const isLate = this.signaling.has(key) && by !== "release";
      return isLate ? `interrupt ${index} of ${device} ${on === 1 ? "becomes" : "ceases to be"} forwarded while its trigger is installed` : null;
    }
    if (third === 1) this.signaling.add(key);
    else this.signaling.delete(key);
    return null;
  }
}
