import { describe, expect, it } from "vitest";
import type { HazardName } from "../sim/hazards.js";
import { STRAIGHT } from "../sim/step.js";
import type { Protocol } from "./protocol.js";
import { lpiAgainstMove } from "./protocols/host-lines.js";
import { irqfdLifeSmall } from "./protocols/irqfd-life.js";
import { search, type SearchOptions } from "./search.js";

/** How the executions end: null where all is well. */
function endings(protocol: Protocol, off: HazardName, options: SearchOptions): { ends: string[]; exhausted: boolean } {
  const ends = new Set<string>();
  const listening: Protocol = {
    ...protocol,
    program(hazards) {
      const program = protocol.program({ ...hazards, [off]: true });
      const end = (): null => {
        ends.add(String(program.end?.() ?? null));
        return null;
      };
      return { ...program, end };
    },
  };
  const { exhausted } = search(listening, { executions: 20_000, ...options });
  return { ends: [...ends].sort(), exhausted };
}

// The straight build has no interleavings to explore.
describe.skipIf(STRAIGHT)("partial-order reduction of real protocols", () => {
  it("an irqfd's life, from its assignment to its end: at least 50 times fewer executions than its 393,120 orders", () => {
    const { executions, blocked, exhausted, verdict } = search(irqfdLifeSmall, { strategy: "dpor" });
    expect({ exhausted, verdict }).toEqual({ exhausted: true, verdict: "ok" });
    expect(executions + blocked).toBeLessThan(393_120 / 50);
  });

  // A CPU looks at the signal that its controller drives, under an access that names the CPU: each must say so (HostCpu.restsOn).
  it("K21: ends as the bounded search does, where a message is lost in one order of a hundred", () => {
    const all = { ends: ["a message is lost", "null"], exhausted: true };
    expect(endings(lpiAgainstMove, "dropInProgress", { preemptions: 2 })).toEqual(all);
    expect(endings(lpiAgainstMove, "dropInProgress", { strategy: "dpor" })).toEqual(all);
  });
});
