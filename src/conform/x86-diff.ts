import { PersonError } from "../sim/person-error.js";
import { run } from "../sim/step.js";
import { type AnswerDifference, answerDifferences } from "./x86-compare.js";
import { explanationOf, type KnownDifference } from "./x86-known.js";
import { shrink } from "./shrink.js";
import type { X86Answer, X86Call, X86Target } from "./x86-vector.js";

/** One step on both sides. */
export interface DiffStep {
  readonly call: X86Call;
  readonly model: X86Answer;
  readonly kernel: X86Answer;
  /** In the answers and, after it, in the chips; empty when both sides agree. `expected` is the kernel's. */
  readonly differences: readonly AnswerDifference[];
}

export interface DiffResult {
  /** Up to and with the first that differs. */
  readonly steps: readonly DiffStep[];
  /** "known": the last step differs, and why is declared. */
  readonly outcome: "same" | "known" | "different";
  /** Declared differences that were met, one for each step that they explain. */
  readonly known: readonly KnownDifference[];
}

/** What a machine answers that has run out of something: no difference between the two sides. */
const EXHAUSTED = ["EMFILE", "ENFILE", "ENOMEM"];

/** Fresh machines for the two sides. */
export interface DiffSides {
  model(): X86Target;
  kernel(): X86Target;
}

/**
 * Runs calls on both sides until the first step whose answers, or whose chips after it, differ.
 *
 * @throws PersonError where the kernel ran out of descriptors or memory
 */
export function diffX86(calls: readonly X86Call[], sides: DiffSides): DiffResult {
  const [model, kernel] = [sides.model(), sides.kernel()];
  const steps: DiffStep[] = [];
  const lapics: string[] = [];
  const met: KnownDifference[] = [];
  let outcome: DiffResult["outcome"] = "same";
  for (const call of calls) {
    const step = performOnBoth(call, model, kernel, lapics);
    steps.push(step);
    if (call.op === "createVcpu" && step.kernel.ret === "fd") lapics.push(call.args.as ?? `vcpu${call.args.id}`);
    if (step.differences.length === 0) continue;
    if (EXHAUSTED.includes(step.kernel.errno ?? "")) {
      run(model.close());
      run(kernel.close());
      throw new PersonError(`the machine refuses ${call.op} with ${step.kernel.errno}, the model does not: give it more descriptors or memory (ulimit -n), and compare again`);
    }
    const known = explanationOf(call, step, steps.slice(0, -1));
    if (known !== null) met.push(known);
    if (known?.isHarmless) continue;
    outcome = known === null ? "different" : "known";
    break;
  }
  run(model.close());
  run(kernel.close());
  return { steps, outcome, known: met };
}

function performOnBoth(call: X86Call, model: X86Target, kernel: X86Target, lapics: readonly string[]): DiffStep {
  const answers = { model: run(model.perform(call)), kernel: run(kernel.perform(call)) };
  const differences = answerDifferences(answers.kernel, answers.model);
  if (differences.length === 0) differences.push(...answerDifferences(run(kernel.chips(lapics)), run(model.chips(lapics))));
  return { call, ...answers, differences };
}

/** What kind of difference a result ends in, empty when in none: shrinking must not slip from one to another. */
export function kindOf({ steps, outcome }: DiffResult): string {
  const last = steps.at(-1);
  return outcome === "different" && last !== undefined ? `${last.call.op} ${(last.differences[0]?.path ?? "").replace(/\d+/g, "#")}` : "";
}

/** The fewest of the calls that still differ in the same way. @param calls a sequence that differs */
export function shrinkDifference(calls: readonly X86Call[], first: DiffResult, sides: DiffSides): DiffResult {
  const kind = kindOf(first);
  const failing = calls.slice(0, first.steps.length);
  return diffX86(
    shrink(failing, (some) => kindOf(diffX86(some, sides)) === kind),
    sides,
  );
}
