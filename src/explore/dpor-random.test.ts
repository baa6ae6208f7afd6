import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { STRAIGHT } from "../sim/step.js";
import { LIST_OPS, type Op, OPS, scenarioOf } from "./generated.fixture.js";
import { enumerate, reduce } from "./small.fixture.js";

/** Executions of the plain enumeration up to which a program is compared. */
const LIMIT = 120;

const op: fc.Arbitrary<Op> = fc.record({ name: fc.constantFrom(...OPS), a: fc.nat(1), b: fc.nat(1) });
/** So small that most can be enumerated. */
const sized = (tasks: number, ops: number): fc.Arbitrary<Op[][]> => fc.array(fc.array(op, { minLength: 1, maxLength: ops }), { minLength: tasks, maxLength: tasks, size: "max" });
const plans = fc.oneof(sized(2, 2), sized(2, 3), sized(3, 1));

/** What counts, and what looks at what is counted. */
const counting: fc.Arbitrary<Op> = fc.record({ name: fc.constantFrom("put" as const, "put" as const, "raise" as const, "take" as const, "poke" as const, "visit" as const, "section" as const, "grace" as const), a: fc.nat(1), b: fc.constant(0) });
const counted = fc.array(fc.array(counting, { minLength: 1, maxLength: 2 }), { minLength: 2, maxLength: 4, size: "max" });

/** What frees, and what comes to what is freed: by a list, in a section or outside of any, and behind a grace period or without. */
const freeing: fc.Arbitrary<Op> = fc.record({ name: fc.constantFrom(...LIST_OPS, "walk" as const, "unlink" as const, "visit" as const, "free" as const, "put" as const, "take" as const), a: fc.nat(1), b: fc.nat(1) });
const freed = fc.array(fc.array(freeing, { minLength: 1, maxLength: 2 }), { minLength: 2, maxLength: 2, size: "max" });

/** What ends an execution wherever it happens: one is enough for a search, which has no more to find then. */
const isBroken = (outcome: string): boolean => /^(UseAfterFree|LockError)/.test(outcome);

/** How many of so many generated programs were compared. */
function compare(generated: fc.Arbitrary<Op[][]>, limit: number, numRuns: number): { compared: number; broken: number } {
  let compared = 0;
  let broken = 0;
  fc.assert(
    fc.property(generated, (plan) => {
      const plain = enumerate(scenarioOf(plan), limit);
      if (plain === null) return;
      compared++;
      if ([...plain.outcomes].some(isBroken)) {
        broken++;
        expect([...reduce(scenarioOf(plan)).outcomes].some(isBroken)).toBe(true);
        return;
      }
      const { executions, outcomes } = reduce(scenarioOf(plan));
      expect({ executions, outcomes }).toEqual({ executions: plain.traces.size, outcomes: plain.outcomes });
    }),
    { numRuns, seed: Number(process.env.VIRQ_DPOR_SEED ?? 4) },
  );
  return { compared, broken };
}

// The straight build has no interleavings to explore.
describe.skipIf(STRAIGHT)("partial-order reduction of generated programs", () => {
  it("reaches every outcome of the plain enumeration, deadlocks too, and each class once", () => {
    expect(compare(plans, LIMIT, Number(process.env.VIRQ_DPOR_RUNS ?? 4_000)).compared).toBeGreaterThan(2_000);
  }, 300_000);

  it("references are dropped in any order, but for the last one, and taken in any, but against those that are dropped; reader sections are entered and left in any", () => {
    expect(compare(counted, 4 * LIMIT, Number(process.env.VIRQ_DPOR_RUNS ?? 400)).compared).toBeGreaterThan(100);
  }, 300_000);

  it("what is freed is used in some order of the reduction if it is in any, and each class of the others is reached once", () => {
    const { compared, broken } = compare(freed, 20 * LIMIT, Number(process.env.VIRQ_DPOR_RUNS ?? 300));
    expect(broken).toBeGreaterThan(30);
    expect(compared - broken).toBeGreaterThan(30);
  }, 300_000);
});
