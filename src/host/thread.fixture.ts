import { Context } from "../sim/context.js";
import type { Step } from "../sim/step.js";

/** A user thread for tests: runs its task once per wake. */
export class Thread extends Context {
  constructor(
    name: string,
    private readonly program: () => Step<void>,
    cpu = 0,
  ) {
    super(name, "user", cpu);
  }
  override *body(): Step<void> {
    yield* this.program();
  }
}
