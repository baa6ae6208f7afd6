import type { VectorResult } from "../conform/runner.js";
import type { AnyVector } from "../conform/vector.js";
import { endsAtAcceptance } from "../conform/x86-backend.js";
import { X86Calls } from "../conform/x86-calls.js";
import { runX86Vector } from "../conform/x86-runner.js";
import { isKvmVector, type Flavour, type X86Vector } from "../conform/x86-vector.js";
import { RunningKernel } from "../node/kvm/kernel-system.js";
import { run } from "../sim/step.js";
import { Progress } from "./progress.js";

/** What a recorded answer may be otherwise on another kernel, by the vector's flavour (conformance/README.md). */
const MAY_DIFFER: Readonly<Partial<Record<Flavour, string>>> = {
  version: "the answer changed in a recent kernel, and this one gives another",
  build: "the answer depends on the kernel's configuration, and this one gives another",
};

/** Runs the vectors of calls to /dev/kvm on this machine's. @throws PersonError where there is none */
export async function runOnKernel(vectors: readonly AnyVector[]): Promise<VectorResult[]> {
  const kernel = await RunningKernel.open();
  const progress = new Progress();
  try {
    const isPvm = run(endsAtAcceptance(new X86Calls(kernel.process())));
    const results: VectorResult[] = [];
    for (const vector of vectors) {
      progress.show(`${results.length} of ${vectors.length} vectors`);
      results.push(isKvmVector(vector) ? runOne(vector as X86Vector, kernel, isPvm) : skipped(vector, "the running kernel takes only vectors of calls to /dev/kvm"));
      await kernel.breathe();
    }
    return results;
  } finally {
    progress.clear();
    await kernel.close();
  }
}

const skipped = ({ id, title }: AnyVector, reason: string): VectorResult => ({ id, title, target: "kvm", outcome: "skipped", reason, difference: null, compared: { answers: 0, kvmAnswers: 0 } });

function runOne(vector: X86Vector, kernel: RunningKernel, isPvm: boolean): VectorResult {
  if (vector.flavour === "pvm" && !isPvm) return skipped(vector, "seen only on kvm-pvm, where an interrupt ends as the guest takes it; this back end keeps the in-service bit");
  const result = runX86Vector(vector, new X86Calls(kernel.process()), "kvm");
  const excuse = MAY_DIFFER[vector.flavour];
  if (result.outcome === "passed" || excuse === undefined) return result;
  return skipped(vector, `${vector.flavour}: ${excuse} (step ${result.difference?.step ?? 0}: expected ${result.difference?.expected ?? ""}, got ${result.difference?.got ?? ""})`);
}
