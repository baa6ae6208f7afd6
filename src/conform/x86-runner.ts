import { run } from "../sim/step.js";
import type { VectorResult } from "./runner.js";
import { replayX86 } from "./x86-replay.js";
import type { X86TargetName } from "./x86-targets.js";
import type { X86Target, X86Vector } from "./x86-vector.js";

/** Runs one recorded vector on a fresh target. */
export function runX86Vector(vector: X86Vector, target: X86Target, name: X86TargetName): VectorResult {
  const found = run(replayX86(vector, target));
  const of = { id: vector.id, title: vector.title, target: name, reason: null, difference: null };
  if (found === null) return { ...of, outcome: "passed" };
  const [{ path, expected, got }] = found.differences;
  return { ...of, outcome: "failed", difference: { step: found.step, text: found.text, expected: `${path} ${expected}`, got: `${path} ${got}` } };
}
