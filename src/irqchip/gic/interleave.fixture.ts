import type { Access } from "../../sim/access.js";
import { Context, setCurrent } from "../../sim/context.js";
import { run, type Step } from "../../sim/step.js";

class Actor extends Context {
  constructor(
    name: string,
    private readonly work: () => Step<unknown>,
  ) {
    super(name, "user", 0);
  }
  override *body(): Step<void> {
    yield* this.work();
  }
}

/**
 * Stepped build only: runs `first` up to its access number `at`, or to the next one without a spinlock held, then
 * `second` to its end, then the rest of `first`. The number of accesses of `first`, so that a loop can try them all.
 */
export function interleave(first: () => Step<unknown>, second: () => Step<unknown>, at: number): number {
  const one = new Actor("first", first);
  const two = new Actor("second", second);
  const steps = one.body() as Generator<Access, void, void>;
  let done = 0;
  let isOver = false;
  let isIn = false;
  const before = setCurrent(one.task);
  while (!isOver || !isIn) {
    if (done >= at && one.task.spins === 0 && !isIn) {
      isIn = true;
      setCurrent(two.task);
      run(two.body());
      setCurrent(one.task);
    }
    isOver = steps.next().done === true;
    done++;
  }
  setCurrent(before);
  return done;
}
