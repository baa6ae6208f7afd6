import { run } from "../sim/step.js";
import type { VectorResult } from "./runner.js";
import { NOTHING } from "./x86-compare.js";
import { replayX86 } from "./x86-replay.js";
import type { X86TargetName } from "./x86-targets.js";
import type { X86Target, X86Vector } from "./x86-vector.js";

/** Runs one recorded vector on a fresh target. */
export function runX86Vector(vector: X86Vector, target: X86Target, name: X86TargetName): VectorResult {
  const found = run(replayX86(vector, target));
  const compared = { answers: found === null ? vector.steps.length : found.step + 1, kvmAnswers: 0 };
  const of = { id: vector.id, title: vector.title, target: name, reason: null, difference: null, compared };
  if (found === null) return { ...of, outcome: "passed" };
  const expected = shown(found.differences.map(({ path, expected: value }) => [path, value]));
  const got = shown(found.differences.map(({ path, got: value }) => [path, value]));
  return { ...of, outcome: "failed", difference: { step: found.step, text: found.text, expected, got } };
}

/** "errno EINVAL", where one side has it in place of the other's "ret 0". */
function shown(values: readonly (readonly [string, string])[]): string {
  const there = values.filter(([, value]) => value !== NOTHING);
  return there.length === 0 ? NOTHING : there.map(([path, value]) => `${path} ${value}`).join(", ");
}
