import { describe, expect, it } from "vitest";
import { explore } from "../explore/explorer.js";
import { splitRaiseAgainstEoi } from "../explore/protocols/assigned-device.js";
import { replaySchedule } from "../explore/search.js";
import { STRAIGHT } from "../sim/step.js";
import { EXHIBITS } from "./exhibits.js";
import { visit } from "./visit.js";

const PATIENCE = 60_000;

describe("the museum", () => {
  it("names each exhibit once, and says what it cites", () => {
    expect(new Set(EXHIBITS.map(({ name }) => name)).size).toBe(EXHIBITS.length);
    for (const { cite } of EXHIBITS) {
      expect(cite.length).toBeGreaterThan(0);
      for (const { text, url } of cite) if (url === null) expect(text).toMatch(/specification/);
    }
  });

  it.skipIf(STRAIGHT)("cloud-hypervisor#5260 as told: an IOAPIC past which irqfds deliver sends nothing again at an EOI, and loses nothing", () => {
    expect(explore(() => splitRaiseAgainstEoi.program(), { preemptions: 1 })).toMatchObject({ verdict: "ok", exhausted: true });
  }, PATIENCE);

  // The straight build has no interleavings to explore.
  describe.skipIf(STRAIGHT)("each bug is found without its fix within its budget, and absent with it up to its bound", () => {
    for (const exhibit of EXHIBITS)
      it(exhibit.name, () => {
        const { foundWithoutFix, absentWithFix, schedule, message } = visit(exhibit);
        expect({ foundWithoutFix, absentWithFix }).toEqual({ foundWithoutFix: true, absentWithFix: true });
        expect(replaySchedule(exhibit.protocol, [exhibit.off], schedule ?? "").message).toBe(message);
      }, PATIENCE);
  });
});
