import { describe, expect, it } from "vitest";
import { STRAIGHT } from "../sim/step.js";
import type { Race, Reproduced } from "./hazard-case.js";
import { BEYOND_DPOR, DPOR_EXECUTIONS } from "./hazards/beyond-dpor.js";
import { HAZARD_CASES } from "./hazards/index.js";
import { search } from "./search.js";

const offOf = (hazard: Race | Reproduced): string => (hazard.kind === "race" ? hazard.off : "");

/** Each program once, whatever its numbers in the specifications. */
const PROGRAMS = HAZARD_CASES.filter((hazard) => hazard.kind === "race" || hazard.kind === "reproduced").filter(
  (hazard, i, all) => all.findIndex((other) => other.protocol === hazard.protocol && offOf(other) === offOf(hazard)) === i,
);

const isBeyond = ({ id, protocol }: Race | Reproduced): boolean => BEYOND_DPOR.some((each) => each.id === id && each.protocol === protocol.name);

// The straight build has no interleavings to explore.
describe.skipIf(STRAIGHT)("what the preemption-bounded search finds, the reduction finds too", () => {
  for (const hazard of PROGRAMS.filter((each) => !isBeyond(each)))
    it(`${hazard.id} (${hazard.kind}): ${hazard.title}`, () => {
      const off = hazard.kind === "race" ? [hazard.off] : [];
      expect(search(hazard.protocol, { strategy: "dpor", off, executions: DPOR_EXECUTIONS, shrink: false }).verdict).toBe("violation");
    }, 120_000);

  it("the list of those beyond it names hazards of the catalogue", () => {
    expect(PROGRAMS.filter(isBeyond)).toHaveLength(BEYOND_DPOR.length);
  });
});
