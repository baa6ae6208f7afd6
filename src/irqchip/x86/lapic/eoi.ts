import { removeVector } from "../../../arch/x86/vector-set.js";
import { writes } from "../../../sim/access.js";
import { Ev } from "../../../sim/event.js";
import type { Step } from "../../../sim/step.js";
import type { Lapic } from "./lapic.js";

/** A write to the EOI register (x86-irqchip.md 8.1): the vector that ended, -1 when none was in service. */
export function* endOfInterrupt(lapic: Lapic): Step<number> {
  const vector = yield* endInService(lapic);
  if (vector < 0) return -1;
  yield* lapic.updatePpr();
  if (lapic.handled.has(vector)) yield* lapic.handled.ended(vector);
  yield* lapic.vcpu.requestEvent();
  return vector;
}

/** What the processor does by itself where it virtualises the EOI (10.3); PPR and handled vectors are the caller's. */
export function* endInService(lapic: Lapic): Step<number> {
  const { sim } = lapic.set.vm;
  const vector = yield* lapic.highestInService();
  if (sim.tracing) sim.emit(Ev.kvm_eoi, lapic.vcpu.id, vector, lapic.handled.destination(vector));
  if (vector < 0) return -1;
  yield writes(lapic, "isr");
  removeVector(lapic.isr, vector);
  lapic.inService--;
  return vector;
}
