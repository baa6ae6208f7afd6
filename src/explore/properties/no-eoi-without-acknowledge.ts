import type { EventArgument, EventName } from "../../sim/event.js";
import type { Heard, Property } from "../property.js";

const NOTHING_IN_SERVICE = -1;

/** The guest ends what it has taken, and nothing else (gic-v3.md 4.8; an x86 EOI with nothing in service is vector -1). */
export class NoEoiWithoutAcknowledge implements Property {
  readonly name = "no-eoi-without-acknowledge";
  readonly sentence = "a guest ends an interrupt only after it has acknowledged it, and once";
  readonly hears: readonly EventName[] = ["guest_ack", "guest_eoi", "kvm_eoi"];
  /** Acknowledged and not ended: "vcpu intid", as often. */
  private readonly open = new Map<string, number>();

  hear({ name, args: [vcpu, number] }: Heard): string | null {
    if (name === "kvm_eoi") return number === NOTHING_IN_SERVICE ? `vCPU ${vcpu} ends an interrupt while none is in service` : null;
    const key = `${vcpu} ${number}`;
    const open = (this.open.get(key) ?? 0) + (name === "guest_ack" ? 1 : -1);
    this.open.set(key, open);
    return open < 0 ? this.refuse(vcpu, number) : null;
  }

  private refuse(vcpu: EventArgument, number: EventArgument): string {
    return `vCPU ${vcpu} ends interrupt ${number}, which it has not acknowledged`;
  }
}
