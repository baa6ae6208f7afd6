import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { STRAIGHT } from "../sim/step.js";
import { type Op, OPS, scenarioOf } from "./generated.fixture.js";
import { search, type SearchOptions } from "./search.js";
import { protocolOf } from "./search.fixture.js";
import { enumerate, reduce } from "./small.fixture.js";
import type { Scenario } from "./trial.js";

const RUNS = Number(process.env.VIRQ_GENERATED_RUNS ?? 150);
const seed = Number(process.env.VIRQ_GENERATED_SEED ?? 1);
const LIMIT = 4_000;

const op: fc.Arbitrary<Op> = fc.record({ name: fc.constantFrom(...OPS), a: fc.nat(1), b: fc.nat(1) });
const scan: fc.Arbitrary<Op> = fc.record({ name: fc.constant("scan" as const), a: fc.nat(1), b: fc.nat(1) });

/** What a search brings, and how its executions end. */
function ends(scenario: Scenario, options: SearchOptions): { executions: number; exhausted: boolean; outcomes: Set<string> } {
  const outcomes = new Set<string>();
  const listening: Scenario = () => {
    const program = scenario();
    const end = (): null => {
      outcomes.add(program.outcome?.() ?? "");
      return null;
    };
    return { ...program, end };
  };
  const { executions, exhausted } = search(protocolOf("generated", listening), { executions: 1e6, ...options });
  return { executions, exhausted, outcomes };
}

const isWrong = (outcome: string): boolean => !outcome.includes(" | ");

// The straight build has no interleavings to explore.
describe.skipIf(STRAIGHT)("searches of generated programs", () => {
  it("the bounded search runs each order with up to so many preemptions once, and no other", () => {
    let compared = 0;
    fc.assert(
      fc.property(fc.array(fc.array(op, { minLength: 1, maxLength: 2 }), { minLength: 2, maxLength: 3, size: "max" }), fc.nat(2), (plan, preemptions) => {
        const plain = enumerate(scenarioOf(plan), 400);
        if (plain === null || [...plain.outcomes].some(isWrong)) return;
        compared++;
        const within = plain.byPreemptions.filter((each, i) => each !== undefined && i <= preemptions);
        const expected = { executions: within.reduce((sum, each) => sum + each.executions, 0), exhausted: true, outcomes: new Set(within.flatMap((each) => [...each.outcomes])) };
        expect(ends(scenarioOf(plan), { preemptions })).toEqual(expected);
        expect(ends(scenarioOf(plan), { strategy: "dfs" })).toEqual({ executions: plain.executions, exhausted: true, outcomes: plain.outcomes });
      }),
      { numRuns: RUNS, seed },
    );
    expect(compared).toBeGreaterThan(RUNS / 5);
  }, 300_000);

  it("long scans beside others' steps: the reduction reaches every outcome of the plain enumeration, each class once", () => {
    let compared = 0;
    fc.assert(
      fc.property(fc.tuple(scan, op), op, ([first, second], other) => {
        const scenario = scenarioOf([[first, second], [other]]);
        const plain = enumerate(scenario, LIMIT);
        if (plain === null) return;
        compared++;
        const { executions, outcomes } = reduce(scenario);
        expect({ executions, outcomes }).toEqual({ executions: plain.traces.size, outcomes: plain.outcomes });
      }),
      { numRuns: RUNS / 10, seed },
    );
    expect(compared).toBeGreaterThan(RUNS / 30);
  }, 300_000);
});
