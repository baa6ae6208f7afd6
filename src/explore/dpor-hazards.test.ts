import { describe, expect, it } from "vitest";
import { STRAIGHT } from "../sim/step.js";
import { STEPS } from "./explorer.js";
import type { Race, Reproduced } from "./hazard-case.js";
import { BEYOND_DPOR, DPOR_EXECUTIONS } from "./hazards/beyond-dpor.js";
import { HAZARD_CASES } from "./hazards/index.js";
import { IN_TURN, movesOf } from "./schedule.js";
import { jobOf, search } from "./search.js";
import { dependentUntold } from "./swapped.fixture.js";

const offOf = (hazard: Race | Reproduced): string => (hazard.kind === "race" ? hazard.off : "");

/** Pairs of neighbours that change places in a schedule that was found. */
const SWAPS = 60;

/** Each program once, whatever its numbers in the specifications. */
const PROGRAMS = HAZARD_CASES.filter((hazard) => hazard.kind === "race" || hazard.kind === "reproduced").filter(
  (hazard, i, all) => all.findIndex((other) => other.protocol === hazard.protocol && offOf(other) === offOf(hazard)) === i,
);

const isBeyond = ({ id, protocol }: Race | Reproduced): boolean => BEYOND_DPOR.some((each) => each.id === id && each.protocol === protocol.name);

// The straight build has no interleavings to explore.
describe.skipIf(STRAIGHT)("what the preemption-bounded search finds, the reduction finds too", () => {
  // What it finds stays found when steps change places that it takes for independent: or it may miss the like of it elsewhere.
  for (const hazard of PROGRAMS.filter((each) => !isBeyond(each)))
    it(`${hazard.id} (${hazard.kind}): ${hazard.title}`, () => {
      const off = hazard.kind === "race" ? [hazard.off] : [];
      const { violation } = search(hazard.protocol, { strategy: "dpor", off, executions: DPOR_EXECUTIONS, shrink: false });
      expect(violation).toBeDefined();
      const choices = movesOf(violation?.schedule ?? "", hazard.protocol, off);
      if (choices.at(-1) === IN_TURN) return; // a livelock: there is no step that breaks it
      expect(dependentUntold(jobOf(hazard.protocol, off, STEPS).scenario, choices, SWAPS)).toBe(null);
    }, 120_000);

  it("the list of those beyond it names hazards of the catalogue", () => {
    expect(PROGRAMS.filter(isBeyond)).toHaveLength(BEYOND_DPOR.length);
  });
});
