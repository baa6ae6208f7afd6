import { describe, expect, it } from "vitest";
import { STRAIGHT } from "../sim/step.js";
import { irqfdLifeSmall } from "./protocols/irqfd-life.js";
import { search } from "./search.js";

// The straight build has no interleavings to explore.
describe.skipIf(STRAIGHT)("partial-order reduction of real protocols", () => {
  it("an irqfd's life, from its assignment to its end: at least 50 times fewer executions than its 393,120 orders", () => {
    const { executions, blocked, exhausted, verdict } = search(irqfdLifeSmall, { strategy: "dpor" });
    expect({ exhausted, verdict }).toEqual({ exhausted: true, verdict: "ok" });
    expect(executions + blocked).toBeLessThan(393_120 / 50);
  });
});
