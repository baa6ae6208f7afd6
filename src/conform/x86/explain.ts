import { run } from "../../sim/step.js";
import { type AnswerDifference, answerDifferences, chipDifferences } from "./compare.js";
import type { DiffStep } from "./diff.js";
import { explanationOf, type KnownDifference, type KnownSwitch, withoutFields } from "./known.js";
import type { X86Answer, X86Call, X86Target } from "./vector.js";
import type { X86Chips } from "./state.js";

/** What another machine gave for a call: its answer, and the chips after it where they were looked at. */
export interface Given {
  readonly call: X86Call;
  readonly answer: X86Answer;
  readonly chips?: X86Chips;
  /** vCPUs whose local APICs `chips` shows. */
  readonly lapics: readonly string[];
}

/** A machine of the model's with these switches on the other side. */
export type ModelMaker = (flipped: readonly KnownSwitch[]) => X86Target;

/** What a step met of the table. */
export interface Explanation {
  readonly known: readonly KnownDifference[];
  /** Where the two sides differ for no reason that is declared. */
  readonly left: readonly AnswerDifference[];
  /** The last row met ends the comparison. */
  readonly isEnd: boolean;
  /** With the switches flipped that were met: the machine to go on with, which has performed the steps. */
  readonly model: X86Target | null;
}

/** Tells why a step differs by the one table: by the answer itself, or by a switch on whose other side the kernel stands. */
export class Explainer {
  readonly flipped: KnownSwitch[] = [];

  /** @param foreign switches on whose other side the machine that answers stands */
  constructor(
    private readonly foreign: readonly KnownSwitch[],
    private readonly modelWith: ModelMaker,
  ) {}

  /**
   * @param step as it differs
   * @param before the steps before it
   * @param given what the machine gave from the first call on, this one's last
   */
  explain(step: DiffStep, before: readonly DiffStep[], given: readonly Given[]): Explanation {
    const { met, left } = withoutFields(step);
    if (left.length === 0) return { known: met, left, isEnd: false, model: null };
    const known = explanationOf(step.call, { ...step, differences: left }, before);
    if (known !== null) return { known: [...met, known], left: [], isEnd: !known.isHarmless, model: null };
    for (const each of this.foreign) {
      if (this.flipped.includes(each)) continue;
      const model = this.modelWith([...this.flipped, each]);
      if (agrees(model, given)) {
        this.flipped.push(each);
        return { known: [...met, each], left: [], isEnd: false, model };
      }
      run(model.close());
    }
    return { known: met, left, isEnd: true, model: null };
  }
}

/** Does the model give what was given, but for what is harmless? */
function agrees(model: X86Target, given: readonly Given[]): boolean {
  for (const { call, answer, chips, lapics } of given) {
    const got = run(model.perform(call));
    const differences = answerDifferences(answer, got);
    if (chips !== undefined) differences.push(...chipDifferences(chips, run(model.chips(lapics))));
    const step: DiffStep = { call, model: got, kernel: answer, differences };
    const { left } = withoutFields(step);
    if (left.length > 0 && !(explanationOf(call, { ...step, differences: left }, [])?.isHarmless ?? false)) return false;
  }
  return true;
}

/** Would the model without this switch have given something else in these steps? */
export function isMet({ shows }: KnownSwitch, steps: readonly DiffStep[], without: () => X86Target): boolean {
  const first = shows === undefined ? 0 : steps.findIndex(shows);
  if (first < 0) return false;
  const model = without();
  const isSame = agrees(
    model,
    steps.map(({ call, model: answer, kernelChips, differences }, i) => ({ call, answer, lapics: Object.keys(kernelChips?.lapic ?? {}), ...(i < first || kernelChips === undefined || differences.length > 0 ? {} : { chips: kernelChips }) })),
  );
  run(model.close());
  return !isSame;
}
