import { describe, expect, it } from "vitest";
import { STRAIGHT } from "../sim/step.js";
import { explore, replay } from "./explorer.js";
import {
  assignAgainstSignal,
  assignAgainstSignalAndClose,
  deassignAgainstClose,
  deassignAgainstSignal,
  hangUpAgainstReroute,
  joinAgainstAcknowledge,
  leaveAgainstAcknowledge,
  reassignAgainstDeassign,
  sharedLineAgainstAcknowledge,
} from "./irqfd-protocols.js";

const CLEAN = { verdict: "ok", exhausted: true };
const PATIENCE = 60_000;

// The straight build has no interleavings to explore.
describe.skipIf(STRAIGHT)("irqfd, explored", () => {
  it("H1: an event is lost when the count is sampled before the entry is inserted, and never in the right order", () => {
    const wrong = () => assignAgainstSignal({ sampleBeforeInsert: true });
    const found = explore(wrong);
    expect(found).toMatchObject({ verdict: "violation", message: "H1: the event is lost" });
    if (found.verdict === "violation") expect(replay(wrong, found.schedule)).toMatchObject({ message: found.message, trace: found.trace });
    expect(explore(assignAgainstSignal, { preemptions: 3 })).toMatchObject(CLEAN);
  });

  it("H2: one event may be injected twice, when the sample falls between a signal's count and its callback", () => {
    const found = explore(() => assignAgainstSignal({}, 1));
    expect(found).toMatchObject({ verdict: "violation", message: "H2: one event was injected 2 times" });
    if (found.verdict === "ok") return;
    const sample = found.trace.findIndex((line) => line.startsWith("assign:") && line.endsWith("reads EventfdContext.count"));
    const [counted, consumed] = [...found.trace.keys()].filter((i) => /^raise: .*writes EventfdContext.count$/.test(found.trace[i]));
    expect(counted).toBeLessThan(sample);
    expect(sample).toBeLessThan(consumed);
  });

  it("H12: a resampler freed before its grace period is reached by an acknowledge, and never one freed after it", () => {
    const wrong = () => leaveAgainstAcknowledge({ freeResamplerEarly: true });
    const found = explore(wrong);
    expect(found).toMatchObject({ verdict: "violation", message: expect.stringMatching(/^UseAfterFree: .*Resampler/) });
    if (found.verdict === "violation") expect(replay(wrong, found.schedule)).toMatchObject({ message: found.message });
    expect(explore(leaveAgainstAcknowledge, { preemptions: 3 })).toMatchObject(CLEAN);
  }, PATIENCE);

  it("H14, H15: a line that two devices share ends high while one asks for service, over every acknowledge with two preemptions", () => {
    expect(explore(sharedLineAgainstAcknowledge, { preemptions: 2 })).toMatchObject(CLEAN);
  }, PATIENCE);

  it("H18: a device that joins during an acknowledge keeps its line, with two preemptions", () => {
    expect(explore(joinAgainstAcknowledge, { preemptions: 2 })).toMatchObject(CLEAN);
  }, PATIENCE);

  it("H25: a hung-up irqfd sends its old message after a routing change by the older rule, and never by the later one", () => {
    expect(explore(() => hangUpAgainstReroute({ clearRouteOnDeassign: true }))).toMatchObject({ verdict: "violation", message: expect.stringMatching(/^H5, H25/) });
    expect(explore(hangUpAgainstReroute, { preemptions: 1 })).toMatchObject(CLEAN);
  });

  it("I1 to I5 and I9 hold, and no reference is left, over every assign, signal and close with two preemptions", () => {
    const result = explore(assignAgainstSignalAndClose, { preemptions: 2 });
    expect(result).toMatchObject(CLEAN);
    expect(result.interleavings).toBeGreaterThan(5000);
  }, PATIENCE);

  it("H9: one of a deassign and a hang-up deactivates, over every one with three preemptions", () => {
    expect(explore(deassignAgainstClose, { preemptions: 3 })).toMatchObject(CLEAN);
  }, PATIENCE);

  it("H19, H31: an eventfd assigned anew during a deassign is taken or busy, and a busy call leaves nothing", () => {
    expect(explore(reassignAgainstDeassign, { preemptions: 1 })).toMatchObject(CLEAN);
  }, PATIENCE);

  it("H7, H8: nothing is injected after a deassign has returned, over every one against two signals with two preemptions", () => {
    expect(explore(deassignAgainstSignal, { preemptions: 2 })).toMatchObject(CLEAN);
  }, PATIENCE);
});
