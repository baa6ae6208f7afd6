import { type Waitable, writes } from "../../sim/access.js";
import { Context, type ContextKind } from "../../sim/context.js";
import type { Sim } from "../../sim/sim.js";
import type { Step } from "../../sim/step.js";

/** A context of a program: it does one thing, and is done. Who waits for it does so by {@link waitFor}. */
export class Thread extends Context implements Waitable {
  isDone = false;
  /** What the thing answered: a system call's result. */
  result = 0;
  private isAwaited = false;

  constructor(
    name: string,
    kind: ContextKind,
    private readonly work: () => Step<unknown>,
    cpu = 0,
  ) {
    super(name, kind, cpu);
  }

  isOpen(): boolean {
    return this.isDone;
  }

  override *body(): Step<void> {
    const result = yield* this.work();
    if (typeof result === "number") this.result = result;
    if (this.isAwaited) yield writes(this, "isDone");
    this.isDone = true;
  }

  /** For another context: waits until this one is done. {@link await} comes first, when the program is built. */
  *waitFor(sim: Sim): Step<void> {
    yield* sim.wait(this);
  }

  /** Says that somebody will wait for this one, so that its end is an access. */
  await(): this {
    this.isAwaited = true;
    return this;
  }
}
