import { describe, expect, it } from "vitest";
import { HAZARD_CASES } from "../explore/hazards/index.js";
import { assignAgainstSignal } from "../explore/protocols/irqfd.js";
import { replaySchedule } from "../explore/search.js";
import { STRAIGHT } from "../sim/step.js";
import type { Exhibit } from "./exhibit.js";
import { EXHIBITS } from "./exhibits.js";
import { UNREACHABLE } from "./unreachable.js";
import { findWithoutFix, prove } from "./visit.js";

const PATIENCE = 60_000;

/** Is the fixed program searched up to that bound by the tests of the numbered hazards? */
const isProvedThere = ({ protocol, bound }: Exhibit): boolean =>
  HAZARD_CASES.some((hazard) => "protocol" in hazard && hazard.kind !== "reproduced" && hazard.protocol === protocol && hazard.preemptions >= bound.preemptions);

describe("the museum", () => {
  it("names each exhibit once, and says what it cites", () => {
    expect(new Set(EXHIBITS.map(({ name }) => name)).size).toBe(EXHIBITS.length);
    for (const { cite } of [...EXHIBITS, ...UNREACHABLE]) {
      expect(cite.length).toBeGreaterThan(0);
      for (const { text, url } of cite) if (url === null) expect(text).toMatch(/specification/);
    }
  });

  it("each program says what it is about, and each bug that cannot happen has an exhibit in its place", () => {
    for (const { protocol } of [...EXHIBITS, ...UNREACHABLE]) expect(protocol.about?.length, protocol.name).toBeGreaterThan(0);
    for (const { instead } of UNREACHABLE) expect(EXHIBITS.map(({ name }) => name)).toContain(instead);
  });

  it.skipIf(STRAIGHT)("nothing is proved absent by a program in which what it is about does not happen", () => {
    const idle = { ...assignAgainstSignal, about: ["kvm_ack_irq"] };
    const bound = { preemptions: 0 };
    expect(prove({ name: "idle", protocol: idle, bound })).toMatchObject({ absent: false, message: "assign-against-signal proves nothing: kvm_ack_irq does not happen in it" });
    expect(prove({ name: "busy", protocol: assignAgainstSignal, bound })).toMatchObject({ absent: true, message: null });
  });

  describe.skipIf(STRAIGHT)("what was told and cannot happen as told is searched whole, and nothing is lost", () => {
    for (const told of UNREACHABLE) it(told.name, () => expect(prove(told)).toMatchObject({ absent: true, message: null }), PATIENCE);
  });

  // The straight build has no interleavings to explore.
  describe.skipIf(STRAIGHT)("each bug is found without its fix within its budget, and absent with it up to its bound", () => {
    for (const exhibit of EXHIBITS)
      it(exhibit.name, () => {
        const { verdict, violation } = findWithoutFix(exhibit);
        expect(verdict).toBe("violation");
        expect(replaySchedule(exhibit.protocol, [exhibit.off], violation?.schedule ?? "").message).toBe(violation?.message);
        if (!isProvedThere(exhibit)) expect(prove(exhibit)).toMatchObject({ absent: true, message: null });
      }, PATIENCE);
  });
});
