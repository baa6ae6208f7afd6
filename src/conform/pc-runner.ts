import { run, type Step } from "../sim/step.js";
import { PcMachine } from "./pc-machine.js";
import { describePcStep, type PcStep, type PcVector } from "./pc-vector.js";
import type { Difference, VectorResult } from "./runner.js";
import { type Observation, shown } from "./target.js";
import type { X86TargetName } from "./x86-targets.js";
import type { X86Target } from "./x86-vector.js";

/** What a kernel has to show; undefined where the step shows nothing. */
function expectation(step: PcStep): Observation | undefined {
  if (!("expect" in step)) return undefined;
  return step.expectKvm ?? step.expect;
}

/** Runs a vector on a fresh target and closes it. */
export function* replayPc(vector: PcVector, kvm: X86Target): Step<Difference | null> {
  const machine = new PcMachine(kvm);
  yield* machine.start(vector.cpus);
  let found: Difference | null = null;
  for (let i = 0; i < vector.steps.length && found === null; i++) {
    const step = vector.steps[i];
    const got = yield* machine.perform(step);
    const expected = expectation(step);
    if (expected !== undefined && shown(expected) !== shown(got)) found = { step: i, text: describePcStep(step), expected: shown(expected), got: shown(got) };
  }
  yield* machine.close();
  return found;
}

/** Runs one vector recorded on QEMU's `pc` on a fresh target, which answers as a kernel. */
export function runPcVector(vector: PcVector, target: X86Target, name: X86TargetName): VectorResult {
  const difference = run(replayPc(vector, target));
  return { id: vector.id, title: vector.title, target: name, outcome: difference === null ? "passed" : "failed", reason: null, difference };
}
