import { run } from "../../sim/step.js";
import { type AnswerDifference, answerDifferences, chipDifferences } from "./compare.js";
import type { DiffStep } from "./diff.js";
import { Explainer, type Given, type ModelMaker } from "./explain.js";
import type { KnownDifference, KnownSwitch } from "./known.js";
import type { X86Call, X86Target, X86Vector } from "./vector.js";

/** A step of a vector whose answer is not the recorded one. */
export interface ReplayDifference {
  /** From 0. */
  readonly step: number;
  readonly text: string;
  readonly differences: readonly AnswerDifference[];
}

/** A difference from the recording that the table explains, and where. */
export interface ReplayKnown extends ReplayDifference {
  readonly known: KnownDifference;
}

export interface Replay {
  /** The first that nothing explains; the vector ends there. */
  readonly found: ReplayDifference | null;
  readonly known: readonly ReplayKnown[];
  /** Answers that were held against others. */
  readonly answers: number;
}

/** How differences from a recording are explained. Default: by the answers alone. */
export interface ReplayOf {
  /** Switches on whose other side the target stands. */
  readonly foreign: readonly KnownSwitch[];
  readonly modelWith: ModelMaker;
}

/**
 * Runs a recorded vector on a fresh target and closes it. Once a switch of the table has explained an answer, what follows is
 * held against the model on that other side: a second wrong answer of the vector is still one.
 */
export function replayX86(vector: X86Vector, target: X86Target, of?: ReplayOf): Replay {
  const explainer = of === undefined ? new Explainer([], () => target) : new Explainer(of.foreign, of.modelWith);
  const known: ReplayKnown[] = [];
  const [before, given]: [DiffStep[], Given[]] = [[], []];
  const lapics = vector.lapics ?? [];
  let stand: X86Target | null = null;
  let found: ReplayDifference | null = null;
  let answers = 0;
  for (let i = 0; i < vector.steps.length && found === null; i++) {
    const call = vector.steps[i];
    const { after, ...recorded } = call.expect ?? {};
    const expected = stand === null ? recorded : run(stand.perform(call));
    const got = run(target.perform(call));
    answers++;
    const differences = answerDifferences(expected, got);
    const chips = after === undefined ? undefined : run(target.chips(lapics));
    if (after !== undefined && chips !== undefined) differences.push(...chipDifferences(stand === null ? after : run(stand.chips(lapics)), chips));
    given.push({ call, answer: got, lapics, ...(chips === undefined ? {} : { chips }) });
    const step: DiffStep = { call, model: expected, kernel: got, differences };
    before.push(step);
    if (differences.length === 0) continue;
    const explanation = explainer.explain(step, before.slice(0, -1), given);
    const at = { step: i, text: describeX86Step(call), differences };
    for (const each of explanation.known) known.push({ ...at, known: each });
    if (explanation.left.length > 0) found = { ...at, differences: explanation.left };
    if (explanation.model !== null) {
      if (stand !== null) run(stand.close());
      stand = explanation.model;
    }
    if (explanation.isEnd) break;
  }
  if (stand !== null) run(stand.close());
  run(target.close());
  return { found, known, answers };
}

/** "irqLine gsi=4 level=1" */
export const describeX86Step = ({ op, args }: X86Call): string => [op, ...Object.entries(args).map(([name, value]) => `${name}=${typeof value === "string" ? value : JSON.stringify(value)}`)].join(" ");
