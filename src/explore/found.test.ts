import { describe, expect, it } from "vitest";
import { Ev } from "../sim/event.js";
import { Mutex } from "../sim/lock.js";
import { Sim } from "../sim/sim.js";
import { STRAIGHT, type Step } from "../sim/step.js";
import { type Found, itFinds, scenario } from "./found.fixture.js";
import { search } from "./search.js";
import { protocolOf } from "./search.fixture.js";
import { Cell, Task } from "./small.fixture.js";
import type { Scenario } from "./trial.js";

const CASES: Found[] = [
  [
    "a flag that nobody sets",
    /^deadlock: task 0 .*waits for Cell/,
    scenario((sim) => {
      const cell = new Cell();
      return [() => sim.wait(cell)];
    }),
  ],
  [
    "two that each look for what the other does afterwards",
    /^livelock: after \d+ steps no end .*: task 0 and task 1 go round/,
    scenario(() => {
      const done = [new Cell(), new Cell()];
      const second = (own: Cell, other: Cell): (() => Step<void>) =>
        function* () {
          while ((yield* other.get()) === 0);
          yield* own.set(1);
        };
      return [second(done[0], done[1]), second(done[1], done[0])];
    }),
  ],
];

/** Two that give way to each other: in turn, for ever. */
const yielding = scenario((sim) => {
  const [a, b] = [new Mutex(sim, "A"), new Mutex(sim, "B")];
  const both = (first: Mutex, second: Mutex): (() => Step<void>) =>
    function* () {
      for (;;) {
        yield* first.lock();
        const isDone = yield* second.tryLock();
        if (isDone) yield* second.unlock();
        yield* first.unlock();
        if (isDone) return;
      }
    };
  return [both(a, b), both(b, a)];
});

const STRATEGIES = ["preemption", "dfs", "dpor"] as const;

// The straight build has no interleavings to explore.
describe.skipIf(STRAIGHT)("found without anyone asking: no end", () => {
  itFinds(CASES);

  it.each(STRATEGIES)("two that make way for each other for ever, in the first execution: %s", (strategy) => {
    const { violation, executions } = search(protocolOf("yielding", yielding), { strategy });
    expect(violation?.message).toMatch(/^livelock: .*: task 0 and task 1 go round$/);
    expect(executions).toBe(1);
  });

  it("a property that looks at state when it hears of an event is refused: it would be in no order with who changes that", () => {
    const cell = new Cell();
    const looking: Scenario = () => {
      const sim = new Sim();
      const task = new Task("task", function* () {
        yield* new Cell().get();
        sim.emit(Ev.srcu_wait, "x");
      });
      const property = { name: "nosy", sentence: "", hears: ["srcu_wait"] as const, hear: () => (cell.value === 1 ? "late" : null) };
      return { sim, contexts: [task], properties: [property], check: () => null };
    };
    for (const strategy of STRATEGIES)
      expect(() => search(protocolOf("looking", looking), { strategy })).toThrow(/^property nosy: its hear\(\) looks at Cell\.value: it may go by events alone, and looks at state in check\(\) or end\(\)$/);
  });
});
