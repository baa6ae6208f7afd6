import { describe, expect, it } from "vitest";
import { STRAIGHT } from "../sim/step.js";
import type { ProgramTrap, Race, Trap } from "./hazard-case.js";
import { checkHazard, RuledSearches } from "./hazard-check.js";
import { HAZARD_CASES } from "./hazards/index.js";
import { unforwardOneOfTwo } from "./protocols/forwarding.js";
import { lineAgainstPulse } from "./protocols/injection.js";
import { assignAgainstSignal } from "./protocols/irqfd.js";

const lostFirstEvent: Race = { kind: "race", id: "kvm-irq-core.md H1", title: "lost first event", protocol: assignAgainstSignal, off: "sampleBeforeInsert", preemptions: 2 };

describe.skipIf(STRAIGHT)("a hazard's report", () => {
  it("holds when a race is found without its rule and not found with it, and has the schedule", () => {
    expect(checkHazard(lostFirstEvent)).toMatchObject({ found: true, absent: true, holds: true, fault: null, schedule: expect.stringMatching(/\w/) });
  });

  it("does not hold when another rule is taken out", () => {
    const report = checkHazard({ ...lostFirstEvent, off: "keepLineAtLeave" });
    expect(report).toMatchObject({ found: false, absent: true, holds: false, schedule: null, fault: expect.stringMatching(/^not found in \d+ executions without its rule$/) });
  });

  it("does not hold when what is found is there with the rule too", () => {
    const report = checkHazard({ ...lostFirstEvent, protocol: lineAgainstPulse });
    expect(report).toMatchObject({ found: true, absent: false, holds: false, fault: expect.stringMatching(/^found although its rule is in force: H20.*; replay \w+$/) });
  });

  it("does not hold when what the program is about does not happen in it: nothing can go wrong there", () => {
    const idle = { ...assignAgainstSignal, about: ["irqfd_assign", "kvm_ack_irq"] };
    expect(checkHazard({ ...lostFirstEvent, protocol: idle })).toMatchObject({ found: true, absent: true, holds: false, fault: "assign-against-signal proves nothing: kvm_ack_irq does not happen in it" });
    const untouched = { ...assignAgainstSignal, about: ["writes Resampler.members"] };
    expect(checkHazard({ ...lostFirstEvent, protocol: untouched })).toMatchObject({ holds: false, fault: expect.stringContaining("writes Resampler.members does not happen") });
  });

  it("of a race does not hold when the first execution shows it; of a trap, when it takes another", () => {
    const trap: ProgramTrap = { kind: "trap", id: "", title: "", protocol: unforwardOneOfTwo, off: "shareDeviceReference", preemptions: 1 };
    expect(checkHazard(trap)).toMatchObject({ found: true, absent: true, holds: true, fault: null });
    expect(checkHazard({ ...trap, kind: "race" })).toMatchObject({ holds: false, fault: expect.stringMatching(/^it needs no race/) });
    expect(checkHazard({ ...lostFirstEvent, kind: "trap" })).toMatchObject({ holds: false, fault: expect.stringMatching(/^it is a race/) });
  });

  it("does not hold when the search with the rule is cut short", () => {
    expect(checkHazard(lostFirstEvent, { limit: 200 })).toMatchObject({ absent: false, holds: false, fault: "the search with its rule did not end within 200 executions" });
  });

  it("counts the search with the rule although another hazard of the program has made it", () => {
    const ruled = new RuledSearches(1_000_000);
    const first = checkHazard(lostFirstEvent, { ruled });
    expect(checkHazard(lostFirstEvent, { ruled })).toEqual(first);
    expect(first).toEqual(checkHazard(lostFirstEvent));
    expect(checkHazard({ ...lostFirstEvent, preemptions: 1 }, { ruled }).executions).toBeLessThan(first.executions);
  });

  it("of a kernel's outcome holds only when it is seen", () => {
    const argument = "";
    expect(checkHazard({ kind: "reproduced", id: "", title: "", protocol: lineAgainstPulse, preemptions: 0, argument })).toMatchObject({ found: true, absent: null, holds: true });
    expect(checkHazard({ kind: "reproduced", id: "", title: "", protocol: assignAgainstSignal, preemptions: 0, argument })).toMatchObject({ found: false, holds: false });
  });
});

describe("a hazard's report, without a search", () => {
  const trap = (run: Trap["run"]): Trap => ({ kind: "trap", id: "", title: "", off: "keepCount", vector: "vector 22", run });

  it("of a trap holds only when its vector fails without the rule and passes with it", () => {
    expect(checkHazard(trap(({ keepCount = false }) => (keepCount ? "shows 1" : null)))).toMatchObject({ holds: true, message: "shows 1" });
    expect(checkHazard(trap(() => null))).toMatchObject({ holds: false, fault: "vector 22 holds without its rule" });
    expect(checkHazard(trap(() => "shows 1"))).toMatchObject({ holds: false, fault: "vector 22 fails although its rule is in force: shows 1" });
  });

  it("of what is impossible holds only when nothing happens", () => {
    expect(checkHazard({ kind: "impossible", id: "", title: "", argument: "", run: () => null })).toMatchObject({ found: false, holds: true });
    expect(checkHazard({ kind: "impossible", id: "", title: "", argument: "", run: () => "it happened" })).toMatchObject({ found: true, holds: false, fault: "it happened" });
  });

  it("kvm-irq-core.md has every hazard from H1 to H40", () => {
    const numbers = new Set(HAZARD_CASES.filter(({ id }) => id.startsWith("kvm-irq-core.md ")).map(({ id }) => Number(id.split("H")[1])));
    expect(Array.from({ length: 40 }, (_, i) => i + 1).filter((number) => !numbers.has(number))).toEqual([]);
  });
});
