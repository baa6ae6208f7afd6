import { describe, expect, it } from "vitest";
import { PersonError } from "../sim/person-error.js";
import { Sim } from "../sim/sim.js";
import { STRAIGHT, type Step } from "../sim/step.js";
import { type Report, replaySchedule, search, type SearchOptions } from "./search.js";
import { Cell, Task } from "./small.fixture.js";
import { counter, deadlock, deep, long, protocolOf } from "./search.fixture.js";
import { STRATEGIES } from "./strategy.js";

const whole: SearchOptions = { preemptions: Infinity, executions: 4_000 };
const withoutOpen = (result: Report): Omit<Report, "open"> => {
  const { open, ...rest } = result;
  expect(open).toBeUndefined();
  return rest;
};

// The straight build has no interleavings to explore.
describe.skipIf(STRAIGHT).each(STRATEGIES.map(({ name }) => name))("every strategy: %s", (strategy) => {
  it("finds a lost update and a deadlock, as a schedule that replays them", () => {
    for (const [protocol, message] of [
      [counter(2, false), /^the count is 1, not 2$/],
      [deadlock, /^deadlock: left .*; right /],
    ] as const) {
      const { verdict, violation } = search(protocol, { ...whole, strategy });
      expect(verdict).toBe("violation");
      expect(violation?.message).toMatch(message);
      expect(replaySchedule(protocol, [], violation?.schedule ?? "")).toEqual(violation);
    }
  });

  it("finds nothing where nothing is, and says whether that was everything", () => {
    const result = search(counter(3, true), { ...whole, strategy });
    expect(result).toMatchObject({ verdict: "ok", exhausted: strategy !== "pct" && strategy !== "random" });
    expect(result.open).toBeUndefined();
  });

  it("gives the same answer again", () => {
    const options = { ...whole, strategy };
    expect(search(counter(3, false), options)).toEqual(search(counter(3, false), options));
  });

  it("stops where it is told, says what is open, and goes on from there without repeating", () => {
    const options = { ...whole, strategy, executions: 5_000, steps: 100 };
    const all = search(long, options);
    let parts = 0;
    let part = search(long, options, () => false);
    for (; part.open !== undefined; parts++) part = search(long, { ...options, resume: JSON.parse(JSON.stringify(part.open)) }, () => false);
    expect(withoutOpen(part)).toMatchObject({ executions: all.executions, steps: all.steps, verdict: "ok", exhausted: all.exhausted });
    expect(parts).toBeGreaterThan(2);
  });

  it("refuses what another search left open", () => {
    const options = { ...whole, strategy };
    const { open } = search(long, options, () => false);
    const other = strategy === "dfs" ? "random" : "dfs";
    expect(() => search(deep, { ...options, resume: open })).toThrow(PersonError);
    expect(() => search(long, { ...options, strategy: other, resume: open })).toThrow(PersonError);
    expect(() => search(long, { ...options, off: ["dropResamplefdEarly"], resume: open })).toThrow(PersonError);
  });

  it("stops at its limit of executions", () => {
    const { executions, exhausted, verdict } = search(long, { ...whole, strategy, executions: 20 });
    expect({ executions, exhausted, verdict }).toEqual({ executions: 20, exhausted: false, verdict: "ok" });
  });
});

describe.skipIf(STRAIGHT)("exhaustive strategies", () => {
  it.each(["preemption", "dfs", "dpor"] as const)("%s finds the one bad order among many units", (strategy) => {
    expect(search(deep, { ...whole, strategy })).toMatchObject({ verdict: "violation", violation: { message: "the order is taken in turn" } });
  });
});

describe.skipIf(STRAIGHT)("what is counted", () => {
  it("each order once, however wide the bound: two tasks of one step each have two orders", () => {
    const pair = protocolOf("pair", () => ({ sim: new Sim(), contexts: ["a", "b"].map((name) => new Task(name, function* () {})), check: () => null }));
    for (const preemptions of [0, 1, 9]) expect(search(pair, { preemptions })).toMatchObject({ executions: 2, exhausted: true });
    expect(search(pair, { strategy: "dfs" })).toMatchObject({ executions: 2, exhausted: true });
  });

  it("the orders with up to any number of preemptions are all orders", () => {
    const { executions } = search(long, { strategy: "dfs", executions: 1e6 });
    expect(executions).toBe(3432); // 14 steps, 7 of each
    for (const preemptions of [99, Infinity]) expect(search(long, { preemptions, executions: 1e6 })).toMatchObject({ executions, exhausted: true });
  });
});

describe.skipIf(STRAIGHT)("a program that is not the same each time it is built", () => {
  it.each(STRATEGIES.map(({ name }) => name))("%s: is refused in one sentence, not searched", (strategy) => {
    let built = 0;
    const changing = protocolOf("changing", () => {
      const cell = new Cell();
      const steps = (built++ % 3) + 1;
      return {
        sim: new Sim(),
        contexts: ["a", "b"].map(
          (name) =>
            new Task(name, function* () {
              for (let i = 0; i < steps; i++) yield* cell.set(i);
            }),
        ),
        check: () => null,
      };
    });
    expect(() => search(changing, { strategy })).toThrow(PersonError);
    expect(() => search(changing, { strategy })).toThrow("the program is not the same each time it is built");
  });

  it.each(["preemption", "dfs", "dpor"] as const)("%s: also where its first executions are the same", (strategy) => {
    let built = 0;
    const changing = protocolOf("changing late", () => {
      const cell = new Cell();
      const steps = built++ < 6 ? 3 : 4;
      const body = function* (): Step<void> {
        for (let i = 0; i < steps; i++) yield* cell.set(i);
      };
      return { sim: new Sim(), contexts: ["a", "b"].map((name) => new Task(name, body)), check: () => null };
    });
    expect(() => search(changing, { strategy })).toThrow("the program is not the same each time it is built");
  });
});

describe.skipIf(STRAIGHT)("strategies that draw lots", () => {
  it("pct prints its guarantee: n contexts, k steps, depth d", () => {
    const { guarantee } = search(counter(2, true), { strategy: "pct", executions: 10, depth: 3 });
    expect(guarantee).toMatch(/at least 1\/(\d+): 1\/\(n\*k\^\(d-1\)\) with n = 2 contexts, k = \d+ steps, d = 3; no execution so far had more of either, and 10 were drawn for this k$/);
  });

  it("pct draws for the longest execution that it has seen, and promises no more than that: the first one may be short", () => {
    const reader = 16;
    const torn = protocolOf("torn", () => {
      const cell = new Cell();
      let isTorn = false;
      const reads = function* (): Step<void> {
        if ((yield* cell.get()) !== 1) return;
        for (let i = 0; i < reader; i++) yield* cell.get();
        isTorn = (yield* cell.get()) !== (yield* cell.get());
      };
      const writes = function* (): Step<void> {
        yield* cell.set(1);
        yield* cell.set(2);
      };
      return { sim: new Sim(), contexts: [new Task("reader", reads), new Task("writer", writes)], check: () => null, end: () => (isTorn ? "torn" : null) };
    });
    // The reader enters and reads; the writer enters and writes twice; as long as the reader finds 1, it reads on.
    const k = 2 + reader + 2 + 3;
    const clean = search(torn, { strategy: "pct", depth: 1, executions: 400 });
    expect(clean).toMatchObject({ verdict: "ok", guarantee: expect.stringContaining("n = 2 contexts, k = 5 steps") });
    const found = Array.from({ length: 40 }, (_, seed) => search(torn, { strategy: "pct", depth: 3, executions: 2 * k * k, seed, shrink: false }));
    expect(found.filter(({ verdict }) => verdict === "violation").length).toBeGreaterThan(40 * (1 - 1 / Math.E));
    expect(search(torn, { strategy: "pct", depth: 3, executions: 2 * k * k, seed: 1, shrink: false }).guarantee).toBeDefined();
  });

  it("pct finds a bug of depth d at least as often as it promises", () => {
    // A lost update is of depth 2: the other's write falls behind the read and before the write.
    let found = 0;
    const seeds = 400;
    for (let seed = 0; seed < seeds; seed++) if (search(counter(2, false), { strategy: "pct", executions: 1, depth: 2, seed, shrink: false }).verdict === "violation") found++;
    expect(found).toBeGreaterThan(seeds / 12);
  });

  it.each(["pct", "random"] as const)("%s makes other executions with another seed", (strategy) => {
    const schedules = new Set([1, 2, 3, 4, 5, 6].map((seed) => search(counter(4, false), { strategy, seed, executions: 1, shrink: false }).violation?.schedule));
    expect(schedules.size).toBeGreaterThan(2);
  });
});

describe.skipIf(STRAIGHT)("what the options ask wrongly", () => {
  it.each([
    [{ strategy: "quantum" }, "there is no strategy"],
    [{ preemptions: -1 }, "preemptions is -1"],
    [{ executions: 0.5 }, "executions is 0.5"],
    [{ steps: 0 }, "steps is 0"],
    [{ strategy: "pct", depth: 0 }, "depth is 0"],
    [{ off: ["gravity"] }, "there is no rule"],
  ] as [SearchOptions, string][])("%j", (options, message) => {
    expect(() => search(long, options)).toThrow(PersonError);
    expect(() => search(long, options)).toThrow(message);
  });

  it("more contexts than a schedule has letters for are refused in a sentence", () => {
    const crowd = protocolOf("crowd", () => ({ sim: new Sim(), contexts: Array.from({ length: 31 }, (_, i) => new Task(`task ${i}`, function* () {})), check: () => null }));
    expect(() => search(crowd)).toThrow(/more than 30 contexts/);
  });
});

