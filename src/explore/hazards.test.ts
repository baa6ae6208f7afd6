import { describe, expect, it } from "vitest";
import { STRAIGHT } from "../sim/step.js";
import { checkHazard } from "./hazard-check.js";
import { HAZARD_CASES } from "./hazards/index.js";

const PATIENCE = 120_000;

describe("numbered hazards", () => {
  for (const hazard of HAZARD_CASES)
    // The straight build has no interleavings to explore.
    it.skipIf(STRAIGHT && hazard.kind !== "trap")(`${hazard.id} (${hazard.kind}): ${hazard.title}`, () => {
      const { found, fault } = checkHazard(hazard);
      expect(fault).toBeNull();
      expect(found).toBe(hazard.kind !== "impossible");
    }, PATIENCE);
});
