import { describe, expect, it } from "vitest";
import { Spinlock } from "../sim/lock.js";
import { PersonError } from "../sim/person-error.js";
import { Sim } from "../sim/sim.js";
import { STRAIGHT, type Step } from "../sim/step.js";
import { replay } from "./explorer.js";
import type { Protocol } from "./protocol.js";
import { splitRaiseAgainstEoi } from "./protocols/assigned-device.js";
import { assignAgainstSignal } from "./protocols/irqfd.js";
import { protocolOf } from "./search.fixture.js";
import { search, type SearchOptions } from "./search.js";
import { Cell, Task } from "./small.fixture.js";

const EXHAUSTIVE = ["preemption", "dfs", "dpor"] as const;
const whole: SearchOptions = { preemptions: Infinity, executions: 20_000 };

/** Tasks over two cells; the last task's result is asked at the end. */
function tasks(name: string, bodies: (ground: { pad: Cell; x: Cell; lock: Spinlock }) => readonly (() => Step<void>)[], end: () => string | null = () => null): Protocol {
  return protocolOf(name, () => {
    const sim = new Sim();
    const ground = { pad: new Cell(), x: new Cell(), lock: new Spinlock(sim, "lock") };
    return { sim, contexts: bodies(ground).map((body, i) => new Task(`task ${i}`, body)), check: () => null, end };
  });
}

/** So many reads in a row, and the one that matters behind them. */
const scan = (reads: number): Protocol => {
  let seen = -1;
  return tasks(
    `scan ${reads}`,
    ({ pad, x }) => [
      function* () {
        for (let i = 0; i < reads; i++) yield* pad.get();
        seen = yield* x.get();
      },
      function* () {
        yield* x.set(1);
      },
    ],
    () => (seen === 0 ? "the scan saw 0" : null),
  );
};

const spinRead = tasks("spin on a read", ({ x }) => [
  function* () {
    while ((yield* x.get()) === 0);
  },
  function* () {
    yield* x.set(1);
  },
]);

const spinLocked = tasks("spin on a read under a lock", ({ x, lock }) => [
  function* () {
    for (let seen = 0; seen === 0; ) {
      yield* lock.lock();
      seen = yield* x.get();
      yield* lock.unlock();
    }
  },
  function* () {
    yield* lock.lock();
    yield* x.set(1);
    yield* lock.unlock();
  },
]);

const spinSwap = tasks("spin on a swap", ({ x }) => [
  function* () {
    while (!(yield* x.swap(1, 2)));
  },
  function* () {
    yield* x.set(1);
  },
]);

/** Never the same twice, until the other has moved. */
const growing = tasks("grow until told", ({ pad, x }) => [
  function* () {
    for (let n = 1; (yield* x.get()) === 0; n++) for (let i = 0; i < n; i++) yield* pad.add(1);
  },
  function* () {
    yield* x.set(1);
  },
]);

// The straight build has no interleavings to explore.
describe.skipIf(STRAIGHT).each(EXHAUSTIVE)("a context that does the same again and again: %s", (strategy) => {
  it("is not held back where it would go on to something else: a scan of 70, of 200 reads", () => {
    for (const reads of [50, 70, 150])
      expect(search(scan(reads), { ...whole, strategy, shrink: false })).toMatchObject({ verdict: "violation", violation: { message: "the scan saw 0" } });
  });

  it("is held back where it waits for others by that: every order is searched, and each ends", () => {
    for (const protocol of [spinRead, spinLocked, spinSwap]) expect(search(protocol, { ...whole, strategy })).toMatchObject({ verdict: "ok", exhausted: true, cut: 0 });
  });

  it("what ends when every context has its turn is no violation, however late: the search goes on, and is not exhausted", () => {
    const { verdict, exhausted, executions, cut, bound } = search(growing, { strategy, preemptions: 1, executions: 100, steps: 200 });
    expect({ verdict, exhausted }).toEqual({ verdict: "ok", exhausted: false });
    expect(executions).toBeGreaterThan(0);
    if (strategy === "dfs") return; // comes to what is cut behind all the orders of the last steps
    expect(cut).toBeGreaterThan(0);
    expect(bound).toContain(`${cut} cut short after 200 steps`);
  });

  it("a search none of whose executions ended says that there were too few steps", () => {
    expect(() => search(assignAgainstSignal, { strategy, steps: 5, executions: 100 })).toThrow(PersonError);
    expect(() => search(assignAgainstSignal, { strategy, steps: 5, executions: 100 })).toThrow(/^no execution of assign-against-signal ended: \d+ were cut short after 5 steps; allow more/);
  });

  it("what does not end although every context has its turn is a livelock", () => {
    const forever = tasks("forever", ({ x }) => [
      function* () {
        for (;;) yield* x.add(1);
      },
    ]);
    expect(search(forever, { strategy })).toMatchObject({ violation: { message: "livelock: after 0 steps no end within 5000 more in which every context has its turn: task 0 goes round" } });
  });
});

describe.skipIf(STRAIGHT)("a storm of interrupts on a whole machine", () => {
  it("is left as soon as somebody else may move: x86-irqchip.md 8.2, a line that is high until its device has been masked", () => {
    // The CPU takes the interrupt again and again while the device stands still, before it has noted what it raised.
    expect(replay(() => splitRaiseAgainstEoi.program(), "a4b16c54a10")).toMatchObject({ verdict: "ok" });
  });
});
