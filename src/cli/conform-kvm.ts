import type { VectorResult } from "../conform/runner.js";
import type { AnyVector } from "../conform/vector.js";
import { X86Calls } from "../conform/x86/calls.js";
import { ENDS_AT_ACCEPTANCE } from "../conform/x86/known-switches.js";
import type { ReplayOf } from "../conform/x86/replay.js";
import { runX86Vector } from "../conform/x86/runner.js";
import { askKernel, type Standing } from "../conform/x86/sides.js";
import { type Backend, X86_MODEL } from "../conform/x86/targets.js";
import { isKvmVector, type X86Vector } from "../conform/x86/vector.js";
import { RunningKernel } from "../node/kvm/kernel-system.js";
import { Progress } from "./progress.js";

/** Runs the vectors of calls to /dev/kvm on this machine's. @throws PersonError where there is none */
export async function runOnKernel(vectors: readonly AnyVector[]): Promise<VectorResult[]> {
  const kernel = await RunningKernel.open();
  const progress = new Progress();
  try {
    const standing = standingOf(kernel);
    const results: VectorResult[] = [];
    for (const vector of vectors) {
      progress.show(`${results.length} of ${vectors.length} vectors`);
      results.push(isKvmVector(vector) ? runOne(vector as X86Vector, kernel, standing) : skipped(vector, "the running kernel takes only vectors of calls to /dev/kvm"));
      await kernel.breathe();
    }
    return results;
  } finally {
    progress.clear();
    await kernel.close();
  }
}

/** Where the running kernel stands. */
export const standingOf = (kernel: RunningKernel): Standing =>
  askKernel(
    () => new X86Calls(kernel.process()),
    (backend) => new X86Calls(X86_MODEL(backend)),
  );

const skipped = ({ id, title }: AnyVector, reason: string): VectorResult => ({ id, title, target: "kvm", outcome: "skipped", reason, difference: null, compared: { answers: 0, kvmAnswers: 0 } });

function runOne(vector: X86Vector, kernel: RunningKernel, { backend: { endsAtAcceptance }, other }: Standing): VectorResult {
  const { name, flavour, where, reason } = ENDS_AT_ACCEPTANCE;
  if (vector.flavour === "pvm" && !endsAtAcceptance) return skipped(vector, `known: ${name}; ${flavour}, ${where}: ${reason}; this back end keeps the in-service bit`);
  const foreign = other.filter((each) => each !== ENDS_AT_ACCEPTANCE);
  const of: ReplayOf = { foreign, modelWith: (flipped) => new X86Calls(X86_MODEL(flipped.reduce<Backend>((backend, each) => each.flip(backend), { endsAtAcceptance }))) };
  return runX86Vector(vector, new X86Calls(kernel.process()), "kvm", of);
}
