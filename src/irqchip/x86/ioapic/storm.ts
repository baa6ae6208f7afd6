import { Context, ContextState, current } from "../../../sim/context.js";
import type { Step } from "../../../sim/step.js";
import type { IoApic } from "./ioapic.js";

/** EOIs in a row that found the line still high, after which the next delivery waits (x86-irqchip.md 1). */
export const IOAPIC_SUCCESSIVE_IRQ_MAX_COUNT = 10_000;
/** HZ / 100, nanoseconds. */
export const STORM_DELAY_NS = 10_000_000;

/**
 * The delayed work `eoi_inject` (x86-irqchip.md 5.6): lets a guest that never lowers a line make slow progress, by
 * servicing it 10 ms later (X10).
 */
export class StormWorker extends Context {
  constructor(private readonly ioapic: IoApic) {
    super("ioapic eoi_inject", "worker", 0);
  }

  /** Does nothing where it is scheduled already. */
  schedule(): void {
    if (this.state === ContextState.READY) return;
    this.cpu = current().cpu;
    this.ioapic.vm.sim.wake(this, STORM_DELAY_NS);
  }

  cancel(): void {
    this.ioapic.vm.sim.cancel(this);
  }

  override *body(): Step<void> {
    yield* this.ioapic.serviceHighLines();
  }
}
