import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { STRAIGHT } from "../sim/step.js";
import { type Op, type Plan, scenarioOf } from "./generated.fixture.js";
import { shrink } from "./shrink.js";
import { lowest } from "./strategy.js";
import { type Scenario, Trial } from "./trial.js";

/** Orders of one program up to which all are made, and from which on there is something to shrink. */
const MOST = 3_000;
const LEAST = 4;
const STEPS = 5_000;

const NAMES = ["get", "set", "swap", "locked", "put", "poke", "queue", "flush"] as const;
const op: fc.Arbitrary<Op> = fc.record({ name: fc.constantFrom(...NAMES), a: fc.nat(1), b: fc.nat(1) });
const plans = fc.array(fc.array(op, { minLength: 1, maxLength: 2, size: "max" }), { minLength: 2, maxLength: 3, size: "max" });

/** What is left in the end, without numbers: those in a violation's sentence do not tell it from another. */
const lettersOf = (outcome: string): string => outcome.replace(/\d/g, (digit) => "abcdefghij"[Number(digit)]);

/** The program, broken by that outcome; by any when none is named. */
const brokenBy = (plan: Plan, outcome: string | null): Scenario => {
  const build = scenarioOf(plan);
  return () => {
    const program = build();
    return {
      ...program,
      end() {
        const left = lettersOf(program.outcome?.() ?? "");
        return outcome === null || left === outcome ? left : null;
      },
    };
  };
};

interface Ended {
  readonly choices: readonly number[];
  readonly message: string | null;
}

/** Every execution there is, whoever moves; null for too many. */
function everyOrder(scenario: Scenario): Ended[] | null {
  const all: Ended[] = [];
  const path: number[] = [];
  const open: number[] = [];
  for (;;) {
    const trial = new Trial(scenario, { rounds: null });
    for (let depth = 0, movable = trial.movable(); movable !== 0 && trial.violation === null; depth++, movable = trial.movable()) {
      if (depth === path.length) {
        path.push(lowest(movable));
        open.push(movable & ~(1 << path[depth]));
      }
      trial.move(path[depth], true);
    }
    trial.finish();
    all.push({ choices: trial.made.slice(), message: trial.violation });
    if (all.length > MOST) return null;
    while (open.at(-1) === 0) {
      open.pop();
      path.pop();
    }
    if (path.length === 0) return all;
    const last = path.length - 1;
    path[last] = lowest(open[last]);
    open[last] &= open[last] - 1;
  }
}

/** Runs of one context, steps, contexts: the fewer the better, in this order. */
const sizesOf = (choices: readonly number[]): number[] => [choices.filter((seat, i) => seat !== choices[i - 1]).length, choices.length, new Set(choices).size];

const compare = (a: readonly number[], b: readonly number[]): number => {
  const at = a.findIndex((size, i) => size !== b[i]);
  return at < 0 ? 0 : a[at] - b[at];
};

// The straight build has no interleavings to explore.
describe.skipIf(STRAIGHT)("shrinking, against every order that there is", () => {
  it("leaves the fewest switches, then the fewest steps, then the fewest contexts, from whatever was found, and the same each time", () => {
    let compared = 0;
    let shrunk = 0;
    fc.assert(
      fc.property(plans, fc.nat(), fc.nat(), (plan, which, from) => {
        const all = everyOrder(brokenBy(plan, null));
        if (all === null || all.length < LEAST) return;
        const { message } = all[which % all.length];
        const bad = all.filter((each) => each.message === message);
        if (message === null || bad.length === all.length) return;
        const least = bad.map(({ choices }) => sizesOf(choices)).toSorted(compare)[0];
        const { choices } = bad[from % bad.length];
        const scenario = message.startsWith("deadlock") ? brokenBy(plan, "") : brokenBy(plan, message);
        const small = shrink(scenario, { message, choices }, STEPS);
        expect(sizesOf(small.choices)).toEqual(least);
        expect(shrink(scenario, { message, choices }, STEPS)).toEqual(small);
        compared++;
        if (compare(sizesOf(choices), least) > 0) shrunk++;
      }),
      { numRuns: 120, seed: 4 },
    );
    expect(compared).toBeGreaterThan(40);
    expect(shrunk).toBeGreaterThan(30);
  }, 120_000);
});
