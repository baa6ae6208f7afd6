import type { Step } from "../sim/step.js";
import { type AnswerDifference, answerDifferences, chipDifferences } from "./x86-compare.js";
import type { X86Call, X86Target, X86Vector } from "./x86-vector.js";

/** The first step of a vector whose answer is not the recorded one. */
export interface ReplayDifference {
  /** From 0. */
  readonly step: number;
  readonly text: string;
  readonly differences: readonly AnswerDifference[];
}

/** Runs a recorded vector on a fresh target and closes it. */
export function* replayX86(vector: X86Vector, target: X86Target): Step<ReplayDifference | null> {
  let found: ReplayDifference | null = null;
  for (let i = 0; i < vector.steps.length && found === null; i++) {
    const step = vector.steps[i];
    const { after, ...expected } = step.expect ?? {};
    const differences = answerDifferences(expected, yield* target.perform(step));
    if (after !== undefined) differences.push(...chipDifferences(after, yield* target.chips(vector.lapics ?? [])));
    if (differences.length > 0) found = { step: i, text: describeX86Step(step), differences };
  }
  yield* target.close();
  return found;
}

/** "irqLine gsi=4 level=1" */
export const describeX86Step = ({ op, args }: X86Call): string => [op, ...Object.entries(args).map(([name, value]) => `${name}=${typeof value === "string" ? value : JSON.stringify(value)}`)].join(" ");
