import { describe, expect, it } from "vitest";
import { STRAIGHT } from "../sim/step.js";
import { explore } from "./explorer.js";
import { HAZARD_CASES } from "./hazards/index.js";
import { PROTOCOLS } from "./protocols/index.js";

const PATIENCE = 120_000;
const EXECUTIONS = 3_000;

/** The hazards' own tests search those of races, and find something in the reproduced ones. */
const SEARCHED = new Set(HAZARD_CASES.flatMap((hazard) => (hazard.kind === "race" || hazard.kind === "reproduced" ? [hazard.protocol] : [])));

// The straight build has no interleavings to explore.
describe.skipIf(STRAIGHT)("protocols that no hazard names", () => {
  for (const protocol of PROTOCOLS.filter((each) => !SEARCHED.has(each)))
    it(`${protocol.name}: ${protocol.title}`, () => {
      const result = explore(() => protocol.program(), { preemptions: 2, limit: EXECUTIONS });
      expect(result.verdict === "violation" ? [result.message, result.schedule, ...result.trace] : []).toEqual([]);
    }, PATIENCE);

  it("have names of their own", () => {
    const names = PROTOCOLS.map(({ name }) => name);
    expect(names.filter((name, i) => names.indexOf(name) !== i)).toEqual([]);
  });
});
