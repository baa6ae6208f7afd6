import { run, type Step } from "../sim/step.js";
import { PcMachine } from "./pc-machine.js";
import { describePcStep, type PcVector } from "./pc-vector.js";
import type { Difference, VectorResult } from "./runner.js";
import { type Compared, expectationOf, shown } from "./target.js";
import type { X86TargetName } from "./x86/targets.js";
import type { X86Target } from "./x86/vector.js";

/** Runs a vector on a fresh target and closes it. */
export function* replayPc(vector: PcVector, kvm: X86Target, compared: Compared): Step<Difference | null> {
  const machine = new PcMachine(kvm);
  yield* machine.start(vector.cpus);
  let found: Difference | null = null;
  for (let i = 0; i < vector.steps.length && found === null; i++) {
    const step = vector.steps[i];
    const got = yield* machine.perform(step);
    const expected = expectationOf(step, "kvm");
    if (expected === undefined) continue;
    compared.answers++;
    if (expected.isKvm) compared.kvmAnswers++;
    if (shown(expected.value) !== shown(got)) found = { step: i, text: describePcStep(step), expected: shown(expected.value), got: shown(got) };
  }
  yield* machine.close();
  return found;
}

/** Runs one vector recorded on QEMU's `pc` on a fresh target, which answers as a kernel. */
export function runPcVector(vector: PcVector, target: X86Target, name: X86TargetName): VectorResult {
  const compared: Compared = { answers: 0, kvmAnswers: 0 };
  const difference = run(replayPc(vector, target, compared));
  return { id: vector.id, title: vector.title, target: name, outcome: difference === null ? "passed" : "failed", reason: null, difference, compared };
}
