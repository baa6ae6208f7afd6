import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { STRAIGHT } from "../sim/step.js";
import { type Op, OPS, scenarioOf } from "./generated.fixture.js";
import { enumerate, reduce } from "./small.fixture.js";

/** Executions of the plain enumeration up to which a program is compared. */
const LIMIT = 120;

const op: fc.Arbitrary<Op> = fc.record({ name: fc.constantFrom(...OPS), a: fc.nat(1), b: fc.nat(1) });
/** So small that most can be enumerated. */
const sized = (tasks: number, ops: number): fc.Arbitrary<Op[][]> => fc.array(fc.array(op, { minLength: 1, maxLength: ops }), { minLength: tasks, maxLength: tasks, size: "max" });
const plans = fc.oneof(sized(2, 2), sized(2, 3), sized(3, 1));

// The straight build has no interleavings to explore.
describe.skipIf(STRAIGHT)("partial-order reduction of generated programs", () => {
  it("reaches every outcome of the plain enumeration, deadlocks too, and each class once", () => {
    let compared = 0;
    fc.assert(
      fc.property(plans, (plan) => {
        const plain = enumerate(scenarioOf(plan), LIMIT);
        if (plain === null) return;
        compared++;
        const { executions, outcomes } = reduce(scenarioOf(plan));
        expect({ executions, outcomes }).toEqual({ executions: plain.traces.size, outcomes: plain.outcomes });
      }),
      { numRuns: Number(process.env.VIRQ_DPOR_RUNS ?? 4_000), seed: Number(process.env.VIRQ_DPOR_SEED ?? 4) },
    );
    expect(compared).toBeGreaterThan(2_000);
  }, 300_000);
});
