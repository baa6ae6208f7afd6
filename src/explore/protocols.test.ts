import { describe, expect, it } from "vitest";
import { STRAIGHT } from "../sim/step.js";
import { explore, replay } from "./explorer.js";
import { HAZARD_CASES } from "./hazards/index.js";
import type { Protocol } from "./protocol.js";
import * as machines from "./protocols/machines.js";
import { PROTOCOLS } from "./protocols/index.js";
import { assignAgainstSignal, assignAgainstSignalAndClose, signalInjectedOnce } from "./protocols/irqfd.js";

const PATIENCE = 120_000;
const EXECUTIONS = 200;

const MACHINES: readonly Protocol[] = Object.values(machines);

/** The hazards' own tests search those of races, and find something in the reproduced ones; whole machines have a search of their own. */
const SEARCHED = new Set([...MACHINES, ...HAZARD_CASES.flatMap((hazard) => ("protocol" in hazard ? [hazard.protocol] : []))]);

// The straight build has no interleavings to explore.
describe.skipIf(STRAIGHT)("protocols that no hazard names", () => {
  for (const protocol of PROTOCOLS.filter((each) => !SEARCHED.has(each)))
    it(`${protocol.name}: ${protocol.title}`, () => {
      const result = explore(() => protocol.program(), { preemptions: 2, limit: EXECUTIONS });
      expect(result.verdict === "violation" ? [result.message, result.schedule, ...result.trace] : []).toEqual([]);
    }, PATIENCE);
});

describe.skipIf(STRAIGHT)("whole machines", () => {
  for (const protocol of MACHINES)
    it(`${protocol.name}: every property that hears events holds over the first hundred interleavings with one preemption`, () => {
      expect(explore(() => protocol.program(), { preemptions: 1, limit: 100 })).toMatchObject({ verdict: "ok" });
    }, PATIENCE);
});

describe("the list of protocols", () => {
  it("names each once, in words joined by hyphens, with a title that is a sentence and the section that it is of", () => {
    const names = PROTOCOLS.map(({ name }) => name);
    expect(names.filter((name, i) => names.indexOf(name) !== i)).toEqual([]);
    for (const { name, title, source } of PROTOCOLS) {
      expect(name).toMatch(/^[a-z0-9]+(-[a-z0-9]+)+$/);
      expect(title).toMatch(/^[A-Z].*\.$/);
      expect(source).toMatch(/^[a-z0-9-]+\.md /);
    }
  });
});

describe.skipIf(STRAIGHT)("an irqfd that is being assigned", () => {
  it("I1 to I5 and I9 hold, and no reference is left, over every signal and close with two preemptions", () => {
    const result = explore(() => assignAgainstSignalAndClose.program(), { preemptions: 2 });
    expect(result).toMatchObject({ verdict: "ok", exhausted: true });
    expect(result.interleavings).toBeGreaterThan(5000);
  }, PATIENCE);

  it("H1: what is found is found again by its schedule, with the same trace", () => {
    const wrong = () => assignAgainstSignal.program({ sampleBeforeInsert: true });
    const found = explore(wrong);
    expect(found).toMatchObject({ verdict: "violation", message: "an event of eventfd 0 was never injected as GSI 5" });
    if (found.verdict === "violation") expect(replay(wrong, found.schedule)).toMatchObject({ message: found.message, trace: found.trace });
  });

  it("H2: an event is injected twice only where the sample falls between a signal's count and its callback", () => {
    const found = explore(() => signalInjectedOnce.program());
    expect(found).toMatchObject({ verdict: "violation", message: "an injection of GSI 5 has no event of eventfd 0 behind it" });
    if (found.verdict === "ok") return;
    const sample = found.trace.findIndex((line) => line.startsWith("assign:") && line.endsWith("reads EventfdContext.count"));
    const [counted, consumed] = [...found.trace.keys()].filter((i) => /^raise: .*writes EventfdContext.count$/.test(found.trace[i]));
    expect(counted).toBeLessThan(sample);
    expect(sample).toBeLessThan(consumed);
  });
});
