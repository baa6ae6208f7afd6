import { Context } from "../../sim/context.js";
import type { Sim } from "../../sim/sim.js";
import type { Step } from "../../sim/step.js";
import type { IrqDesc } from "./desc.js";
import { handleIrq } from "./flow.js";

/** The tasklet that runs the flow handler for a chip that cannot retrigger (host-irq.md 1.3). */
export class SoftResend extends Context {
  private readonly waiting: IrqDesc[] = [];

  constructor(private readonly sim: Sim) {
    super("resend_irqs", "worker", 0);
  }

  queue(desc: IrqDesc, cpu: number): void {
    this.waiting.push(desc);
    const isIdle = this.sim.isIdle(this);
    this.sim.wake(this, 0);
    if (isIdle) this.cpu = cpu;
  }

  /** A shutdown takes its resend back. */
  cancel(desc: IrqDesc): void {
    const at = this.waiting.indexOf(desc);
    if (at >= 0) this.waiting.splice(at, 1);
  }

  override *body(): Step<void> {
    for (let desc = this.waiting.shift(); desc !== undefined; desc = this.waiting.shift()) yield* handleIrq(desc);
  }
}
