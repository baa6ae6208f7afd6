import { describe, expect, it } from "vitest";
import type { HazardName } from "../../sim/hazards.js";
import { X86Calls } from "./calls.js";
import { diffX86, type DiffResult, type DiffSides, kindOf, shrinkDifference } from "./diff.js";
import { SWITCHES } from "./known-switches.js";
import { ModelSystem } from "./model.js";
import { randomSequence } from "./random.js";
import { X86_MODEL } from "./targets.js";
import type { X86Call } from "./vector.js";

/** Bugs that show in a sequence of calls without any race, and the scene that meets them. */
const PLANTED: readonly (readonly [HazardName, scene: string])[] = [
  ["keepLineAtLeave", "ioapic"],
  ["serviceOnUnmask", "stories"],
  ["saveDeliveredEdges", "state"],
  ["ackFirstPinOnly", "ioapic"],
  ["initKeepsStartup", "several guests"],
];
const MOST_SEQUENCES = 2000;
const STEPS = 60;

const sidesOf = (hazard: HazardName): DiffSides => ({
  model: () => new X86Calls(new ModelSystem({ endsAtAcceptance: false }, { [hazard]: true })),
  kernel: () => new X86Calls(new ModelSystem({ endsAtAcceptance: false })),
});

/** The first generated sequence of a scene that a planted bug shows in. */
function found(hazard: HazardName, scene: string): { readonly calls: readonly X86Call[]; readonly result: DiffResult } {
  for (let i = 0; i < MOST_SEQUENCES; i++) {
    const sequence = randomSequence(1, i, STEPS);
    if (sequence.scene !== scene) continue;
    const result = diffX86(sequence.calls, sidesOf(hazard));
    if (result.outcome === "different") return { calls: sequence.calls, result };
  }
  throw new Error(`${hazard} shows in none of ${MOST_SEQUENCES} sequences`);
}

describe("a bug planted in the model", () => {
  it.each(PLANTED)("%s is found, and shrunk to steps of which none can go, the same each time", (hazard, scene) => {
    const sides = sidesOf(hazard);
    const { calls, result } = found(hazard, scene);
    const shrunk = shrinkDifference(calls, result, sides);
    const steps = shrunk.steps.map(({ call }) => call);
    expect(kindOf(shrunk)).toBe(kindOf(result));
    expect(steps.length).toBeLessThan(result.steps.length);
    const removable = steps.filter((_, i) => kindOf(diffX86(steps.toSpliced(i, 1), sides)) === kindOf(result));
    expect(removable).toEqual([]);
    expect(shrinkDifference(calls, result, sides).steps.map(({ call }) => call)).toEqual(steps);
  });
});

/** Rules of x86-irqchip.md 15 that single calls seldom reach, and where calls that belong together do. */
const REACHED: readonly (readonly [rule: string, scene: string])[] = [
  ["rescansStaleRouting", "stories"],
  ["unmaskAsksResampler", "stories"],
  ["levelWriteClearsDelivered", "stories"],
  ["pollHasBit7", "stories"],
  ["tracksRtcEoi", "stories"],
];

describe("a kernel on the other side of a rule", () => {
  it.each(REACHED)("%s is met by generated sequences", (rule, scene) => {
    const [each] = SWITCHES.filter(({ name }) => name === rule);
    const base = { endsAtAcceptance: false };
    const sides: DiffSides = { model: () => new X86Calls(X86_MODEL(base)), kernel: () => new X86Calls(X86_MODEL(each.flip(base))) };
    let met = 0;
    for (let i = 0; met === 0 && i < MOST_SEQUENCES; i++) {
      const sequence = randomSequence(1, i, STEPS);
      if (sequence.scene === scene && diffX86(sequence.calls, sides).outcome === "different") met++;
    }
    expect(met).toBe(1);
  });
});
