import { describe, expect, it } from "vitest";
import { STRAIGHT } from "../sim/step.js";
import type { HazardCase } from "./hazard-case.js";
import { checkHazard } from "./hazard-check.js";
import { HAZARD_CASES } from "./hazards/index.js";

const PATIENCE = 120_000;

/** The same race under the number of another specification is the same race. */
const RACES = HAZARD_CASES.filter((hazard) => hazard.kind === "race");
const isTwin = (hazard: HazardCase): boolean =>
  hazard.kind === "race" && RACES.find((each) => each.protocol === hazard.protocol && each.off === hazard.off) !== hazard;

describe("numbered hazards", () => {
  for (const hazard of HAZARD_CASES.filter((each) => !isTwin(each)))
    // The straight build has no interleavings to explore.
    it.skipIf(STRAIGHT && hazard.kind !== "trap")(`${hazard.id} (${hazard.kind}): ${hazard.title}`, () => {
      const { found, fault } = checkHazard(hazard);
      expect(fault).toBeNull();
      expect(found).toBe(hazard.kind !== "impossible");
    }, PATIENCE);
});
