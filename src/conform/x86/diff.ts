import { PersonError } from "../../sim/person-error.js";
import { run } from "../../sim/step.js";
import { type AnswerDifference, answerDifferences } from "./compare.js";
import { Explainer, type Given } from "./explain.js";
import { type KnownDifference, type KnownSwitch, withoutFields } from "./known.js";
import { shrink } from "../shrink.js";
import type { X86Chips } from "./state.js";
import type { X86Answer, X86Call, X86Target } from "./vector.js";

/** One step on both sides. */
export interface DiffStep {
  readonly call: X86Call;
  readonly model: X86Answer;
  readonly kernel: X86Answer;
  /** The kernel's after it, where the answers agree. */
  readonly kernelChips?: X86Chips;
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
  /** The vCPUs whose local APICs were looked at. */
  readonly lapics: readonly string[];
}

/** What a machine answers that has run out of something: no difference between the two sides. */
const EXHAUSTED = ["EMFILE", "ENFILE", "ENOMEM"];

/** Fresh machines for the two sides. */
export interface DiffSides {
  /** @param flipped switches on the other side than usual */
  model(flipped?: readonly KnownSwitch[]): X86Target;
  kernel(): X86Target;
  /** Switches on whose other side the kernel stands. Default: none. */
  readonly foreign?: readonly KnownSwitch[];
}

/**
 * Runs calls on both sides until the first step whose answers, or whose chips after it, differ, and nothing declared says why.
 *
 * @throws PersonError where the kernel ran out of descriptors or memory
 */
export function diffX86(calls: readonly X86Call[], sides: DiffSides): DiffResult {
  const kernel = sides.kernel();
  let model = sides.model();
  const explainer = new Explainer(sides.foreign ?? [], (flipped) => sides.model(flipped));
  const steps: DiffStep[] = [];
  const given: Given[] = [];
  const lapics: string[] = [];
  const known: KnownDifference[] = [];
  let outcome: DiffResult["outcome"] = "same";
  for (const call of calls) {
    const step = performOnBoth(call, model, kernel, lapics);
    given.push({ call, answer: step.kernel, lapics: [...lapics], ...(step.kernelChips === undefined ? {} : { chips: step.kernelChips }) });
    if (call.op === "createVcpu" && step.kernel.ret === "fd") lapics.push(call.args.as ?? `vcpu${call.args.id}`);
    if (step.differences.length === 0) {
      steps.push(step);
      continue;
    }
    if (EXHAUSTED.includes(step.kernel.errno ?? "")) {
      run(model.close());
      run(kernel.close());
      throw new PersonError(`the machine refuses ${call.op} with ${step.kernel.errno}, the model does not: give it more descriptors or memory (ulimit -n), and compare again`);
    }
    const explanation = explainer.explain(step, steps, given);
    steps.push({ ...step, differences: explanation.left.length > 0 ? explanation.left : step.differences });
    known.push(...explanation.known);
    if (explanation.model !== null) {
      run(model.close());
      model = explanation.model;
    }
    if (!explanation.isEnd) continue;
    outcome = explanation.left.length > 0 ? "different" : "known";
    break;
  }
  run(model.close());
  run(kernel.close());
  return { steps, outcome, known, lapics };
}

function performOnBoth(call: X86Call, model: X86Target, kernel: X86Target, lapics: readonly string[]): DiffStep {
  const answers = { model: run(model.perform(call)), kernel: run(kernel.perform(call)) };
  const differences = answerDifferences(answers.kernel, answers.model);
  if (withoutFields({ call, ...answers, differences }).left.length > 0) return { call, ...answers, differences };
  const kernelChips = run(kernel.chips(lapics));
  differences.push(...answerDifferences(kernelChips, run(model.chips(lapics))));
  return { call, ...answers, kernelChips, differences };
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
