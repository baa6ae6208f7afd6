import { describe, expect, it } from "vitest";
import { Sim } from "../sim/sim.js";
import { STRAIGHT, type Step } from "../sim/step.js";
import { replaySchedule, search } from "./search.js";
import { protocolOf } from "./search.fixture.js";
import { shrink } from "./shrink.js";
import { Cell, Task } from "./small.fixture.js";
import { RandomWalk } from "./strategies/random-walk.js";
import type { Scenario } from "./trial.js";

const STEPS = 1_000;

/** Two tasks that lose an update, among others that make noise; told as soon as both are done. */
const noisy: Scenario = () => {
  const cell = new Cell();
  let done = 0;
  const adder = (name: string): Task =>
    new Task(name, function* () {
      const noise = new Cell();
      for (let i = 0; i < 40; i++) yield* noise.set(i);
      const value = yield* cell.get();
      yield* noise.set(0);
      yield* cell.set(value + 1);
      done++;
    });
  const noise = (name: string): Task =>
    new Task(name, function* () {
      const own = new Cell();
      for (let i = 0; i < 90; i++) yield* own.set(i);
    });
  return {
    sim: new Sim(),
    contexts: [noise("noise 1"), adder("one"), noise("noise 2"), adder("two")],
    check: () => (done === 2 && cell.value !== 2 ? `the count is ${cell.value}, not 2` : null),
  };
};

/** Broken by whichever of two goes first, when a third has been interrupted: numbers in the sentence differ. */
const found = (seed: number): { message: string; choices: readonly number[] } => {
  const strategy = new RandomWalk(seed, 100);
  const job = { scenario: noisy, steps: STEPS };
  const [unit] = strategy.begin(0, job) ?? [];
  const outcome = strategy.run(unit, job, { executions: 100, steps: Infinity });
  if (outcome.found === null) throw new Error("nothing is found");
  return outcome.found;
};

// The straight build has no interleavings to explore.
describe.skipIf(STRAIGHT)("shrinking", () => {
  it("leaves one interruption, the steps that it needs, and two contexts, whatever was found", () => {
    for (const seed of [1, 2, 3, 4, 5]) {
      const before = found(seed);
      const { choices, message } = shrink(noisy, before, STEPS);
      const switches = choices.filter((seat, i) => i > 0 && seat !== choices[i - 1]).length;
      expect({ switches, contexts: new Set(choices).size, message }).toEqual({ switches: 2, contexts: 2, message: "the count is 1, not 2" });
      expect(choices.length).toBe(2 * 44);
      expect(before.choices.length).toBeGreaterThan(150);
    }
  });

  it("gives the same again", () => {
    expect(shrink(noisy, found(3), STEPS)).toEqual(shrink(noisy, found(3), STEPS));
  });

  it("keeps the rule that was broken: another one is no smaller finding", () => {
    const scenario: Scenario = () => {
      const cell = new Cell();
      const task = (name: string, value: number): Task =>
        new Task(name, function* () {
          yield* cell.set(value);
        });
      const end = (): string | null => (cell.value === 1 ? "the first stays" : "the second stays");
      return { sim: new Sim(), contexts: [task("a", 1), task("b", 2)], check: () => null, end };
    };
    expect(shrink(scenario, { message: "the first stays", choices: [1, 0, 1, 0] }, STEPS)).toEqual({ message: "the first stays", choices: [1, 1, 0, 0] });
  });

  it("a livelock shrinks to the steps behind which nobody gets on, shown with one round of it, and is replayed so", () => {
    // Each looks for what the other says behind its own look; a third makes noise, and the last one lets them in.
    const protocol = protocolOf("livelock", () => {
      const [one, two, gate] = [new Cell(), new Cell(), new Cell()];
      const body = (own: Cell, other: Cell) =>
        function* (): Step<void> {
          for (let i = 0; i < 3; i++) yield* gate.get();
          if ((yield* gate.get()) === 0) return;
          while ((yield* other.get()) === 0);
          yield* own.set(1);
        };
      const opener = function* (): Step<void> {
        yield* gate.set(1);
      };
      return { sim: new Sim(), contexts: [new Task("one", body(one, two)), new Task("two", body(two, one)), new Task("opener", opener)], check: () => null };
    });
    const found = search(protocol, { steps: 400, strategy: "random", shrink: false }).violation;
    const { message, schedule, steps } = search(protocol, { steps: 400, strategy: "random" }).violation ?? {};
    expect(message).toMatch(/^livelock: after \d+ steps no end within 5000 more in which every context has its turn: one and two go round$/);
    expect(schedule).toMatch(/~\.\w+$/);
    expect(steps?.length).toBeLessThan(40);
    expect(found?.schedule.length).toBeGreaterThan(schedule?.length ?? Infinity);
    expect(replaySchedule(protocol, [], schedule ?? "")).toMatchObject({ message, schedule, steps });
  });

  it("of schedules alike in switches, steps and contexts, the one with fewer interruptions is the smaller", () => {
    // The first may move before the second or behind it: at its end it is not interrupted.
    const scenario: Scenario = () => {
      const [x, y] = [new Cell(), new Cell()];
      let seen = -1;
      const contexts = [
        new Task("a", function* () {
          yield* x.set(1);
          yield* y.set(1);
        }),
        new Task("b", function* () {
          seen = yield* x.get();
          yield* y.set(2);
        }),
      ];
      return { sim: new Sim(), contexts, check: () => null, end: () => (seen === 1 ? "seen" : null) };
    };
    expect(shrink(scenario, { message: "seen", choices: [0, 1, 0, 1, 0, 1] }, STEPS).choices).toEqual([0, 0, 0, 1, 1, 1]);
  });

  it("takes seconds for 200 steps", () => {
    const late: Scenario = () => {
      const { check, ...rest } = noisy();
      return { ...rest, check: () => null, end: check };
    };
    const before = search(protocolOf("late", late), { strategy: "random", seed: 9, shrink: false }).violation;
    expect(before?.steps.length).toBeGreaterThan(200);
    const { violation } = search(protocolOf("late", late), { strategy: "random", seed: 9 });
    expect(violation).toMatchObject({ preemptions: 1, message: "the count is 1, not 2" });
  }, 10_000);
});
