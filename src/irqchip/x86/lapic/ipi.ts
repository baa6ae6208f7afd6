import { Ev } from "../../../sim/event.js";
import type { Step } from "../../../sim/step.js";
import { type DeliveryMode, Shorthand } from "../contract.js";
import type { Lapic } from "./lapic.js";

// Interprocessor interrupts (x86-irqchip.md 7.5).

/** A write of ICR: `low` the command, `high` ICR2 in xAPIC mode and the destination in x2APIC mode. */
export function* sendIpi(lapic: Lapic, low: number, high: number): Step<void> {
  const { message, set } = lapic;
  message.vector = low & 0xff;
  message.mode = ((low >> 8) & 7) as DeliveryMode;
  message.isLogical = (low & (1 << 11)) !== 0;
  message.isAsserted = (low & (1 << 14)) !== 0;
  message.isLevel = (low & (1 << 15)) !== 0;
  message.shorthand = ((low >> 18) & 3) as Shorthand;
  message.hasRedirectionHint = false;
  message.destination = lapic.base.isX2apic() ? high >>> 0 : high >>> 24;
  set.vm.sim.emit(Ev.kvm_apic_ipi, lapic.vcpu.id, low >>> 0, message.destination);
  yield* set.deliverFrom(lapic, message, null);
}

/** x2APIC's SELF_IPI: fixed, edge, to itself. */
export function* sendSelfIpi(lapic: Lapic, vector: number): Step<void> {
  yield* sendIpi(lapic, (Shorthand.SELF << 18) | vector, 0);
}
