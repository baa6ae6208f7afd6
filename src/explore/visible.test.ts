import { describe, expect, it } from "vitest";
import { Mutex } from "../sim/lock.js";
import { Sim } from "../sim/sim.js";
import { STRAIGHT, type Step } from "../sim/step.js";
import type { Protocol } from "./protocol.js";
import { protocolOf } from "./search.fixture.js";
import { search } from "./search.js";
import { Cell, Task } from "./small.fixture.js";

interface Ground {
  readonly sim: Sim;
  readonly lock: Mutex;
  readonly x: Cell;
  readonly seen: { busy: boolean; value: number; runs: number; first: string };
}

/** A program whose end is wrong in one order; `bodies` get what they share. */
function wrongIn(name: string, bodies: (ground: Ground) => readonly (() => Step<void>)[], wrong: (seen: Ground["seen"]) => boolean): Protocol {
  return protocolOf(name, () => {
    const sim = new Sim();
    const seen = { busy: false, value: -1, runs: 0, first: "" };
    const ground = { sim, lock: new Mutex(sim, "lock"), x: new Cell(), seen };
    return { sim, contexts: bodies(ground).map((body, i) => new Task(`task ${i}`, body)), check: () => null, end: () => (wrong(seen) ? "wrong" : null) };
  });
}

function* holder({ lock, x }: Ground): Step<void> {
  yield* lock.lock();
  yield* x.set(1);
  yield* lock.unlock();
}

function* tried({ lock, seen }: Ground): Step<void> {
  if (yield* lock.tryLock()) yield* lock.unlock();
  else seen.busy = true;
}

const PROGRAMS: readonly Protocol[] = [
  wrongIn(
    "a lock is seen taken before its holder has done anything",
    (ground) => [
      () => holder(ground),
      function* () {
        yield* tried(ground);
        ground.seen.value = yield* ground.x.get();
      },
    ],
    ({ busy, value }) => busy && value === 0,
  ),
  wrongIn(
    "a lock is seen taken when its holder has done everything",
    (ground) => [
      () => holder(ground),
      function* () {
        ground.seen.value = yield* ground.x.get();
        yield* tried(ground);
      },
    ],
    ({ busy, value }) => busy && value === 1,
  ),
  wrongIn(
    "a context is woken once more between its entry and its first access",
    ({ sim, x, seen }) => {
      const woken = new Task("woken", function* () {
        seen.runs++;
        const value = yield* x.get();
        if (seen.runs === 1 || seen.value < 0) seen.value = value;
      });
      return [
        function* () {
          sim.wake(woken, 0);
          yield* x.get();
        },
        function* () {
          yield* x.set(1);
          sim.wake(woken, 0);
        },
      ];
    },
    ({ runs, value }) => runs === 2 && value === 1,
  ),
  wrongIn(
    "who woke a context first is told by whether it was idle",
    ({ sim, seen }) => {
      const woken = new Task("woken", function* () {});
      const waker = (name: string, own: Cell) =>
        function* (): Step<void> {
          yield* own.set(1);
          if (sim.isIdle(woken)) seen.first += name;
          sim.wake(woken, 0);
        };
      return [waker("a", new Cell()), waker("b", new Cell())];
    },
    ({ first }) => first === "b",
  ),
];

// The straight build has no interleavings to explore.
describe.skipIf(STRAIGHT).each(PROGRAMS)("$name", (protocol) => {
  it.each(["preemption", "dfs", "dpor", "random"] as const)("%s finds it", (strategy) => {
    expect(search(protocol, { strategy, preemptions: 2, executions: 2_000 })).toMatchObject({ verdict: "violation", violation: { message: "wrong" } });
  });
});
