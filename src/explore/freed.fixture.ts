import { expect, it } from "vitest";
import type { Sim } from "../sim/sim.js";
import type { Step } from "../sim/step.js";
import { search } from "./search.js";
import { protocolOf } from "./search.fixture.js";
import { Cell, Task } from "./small.fixture.js";

/** One who uses an object without holding it, and one who frees it, each as the kernel would. */
export interface Pair {
  readonly sim: Sim;
  use(): Step<unknown>;
  free(): Step<unknown>;
}

/** What is freed, what a search says, and the two. */
export type Freed = readonly [name: string, message: RegExp, pair: () => Pair];

/** The ways of searching that must find it. */
export const STRATEGIES = ["preemption", "dpor"] as const;

/** Each is found unasked. */
export function itFindsFreed(kinds: readonly Freed[], strategy: (typeof STRATEGIES)[number]): void {
  it.each(kinds)("%s", (name, message, pair) => {
    const protocol = protocolOf(name, () => {
      const { sim, ...both } = pair();
      const contexts = (["use", "free"] as const).map((what) => new Task(what === "use" ? "user" : "owner", function* () {
        yield* both[what]();
      }));
      return { sim, contexts, check: () => null };
    });
    expect(search(protocol, { strategy, shrink: false }).violation?.message).toMatch(message);
  });
}

/** An access point at nothing that matters: what follows it announces nothing. */
export function* point(): Step<void> {
  yield* new Cell().get();
}

export function* locked(lock: { lock(): Step<void>; unlock(): Step<void> }): Step<void> {
  yield* lock.lock();
  yield* lock.unlock();
}

export function refuse(): never {
  throw new Error("the stage is not what it was");
}
