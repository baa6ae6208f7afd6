import { describe, expect, it } from "vitest";
import { STRAIGHT } from "../sim/step.js";
import type { HazardCase, Reproduced } from "./hazard-case.js";
import { checkHazard, RuledSearches } from "./hazard-check.js";
import { HAZARD_CASES } from "./hazards/index.js";
import { search } from "./search.js";

const PATIENCE = 120_000;

/**
 * Executions in which a rule that is in force must let nothing through: most programs have no more up to their bound. Those that
 * have are searched whole by `npm run explore:all`.
 */
const SELECTION = 2_000;
const ruled = new RuledSearches(SELECTION);
const UNFINISHED = `the search with its rule did not end within ${SELECTION} executions`;

/** Is the kernel's outcome among the first orders of the bounded search, or among those of random priorities? */
function isReproduced(hazard: Reproduced): boolean {
  const message = checkHazard(hazard, { limit: SELECTION }).message ?? search(hazard.protocol, { strategy: "pct", executions: 10 * SELECTION, shrink: false }).violation?.message;
  return message !== undefined && !message.startsWith("SilentAccess");
}

/** The same program and rule under the number of another specification are searched once. */
const RACES = HAZARD_CASES.flatMap((hazard) => ("protocol" in hazard && "off" in hazard ? [hazard] : []));
const isTwin = (hazard: HazardCase): boolean =>
  "protocol" in hazard && "off" in hazard && RACES.find((each) => each.protocol === hazard.protocol && each.off === hazard.off) !== hazard;

describe("numbered hazards", () => {
  it("each program that a rule is taken out of says what it is about", () => {
    expect(RACES.filter(({ protocol }) => (protocol.about ?? []).length === 0).map(({ id }) => id)).toEqual([]);
  });

  for (const hazard of HAZARD_CASES.filter((each) => !isTwin(each)))
    // The straight build has no interleavings to explore.
    it.skipIf(STRAIGHT && (hazard.kind !== "trap" || "protocol" in hazard))(`${hazard.id} (${hazard.kind}): ${hazard.title}`, () => {
      if (hazard.kind === "reproduced") return expect(isReproduced(hazard)).toBe(true);
      const { found, fault, message } = checkHazard(hazard, { ruled });
      expect([null, UNFINISHED]).toContain(fault);
      expect(message ?? "").not.toMatch(/^SilentAccess/); // a fault of the program's own shows nothing
      expect(found).toBe(hazard.kind !== "impossible");
    }, PATIENCE);
});
