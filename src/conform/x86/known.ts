import { KNOWN_ANSWERS } from "./known-answers.js";
import { SWITCHES } from "./known-switches.js";
import type { AnswerDifference } from "./compare.js";
import type { DiffStep } from "./diff.js";
import type { Backend } from "./targets.js";
import type { Flavour, X86Call } from "./vector.js";

/** What every row of the table says. */
interface Declared {
  readonly name: string;
  readonly flavour: Exclude<Flavour, "any">;
  /** Kernels or back ends that answer otherwise. */
  readonly where: string;
  /** Why they do. */
  readonly reason: string;
  /** What the model does instead. */
  readonly model: string;
  /** Why it is declared although the machine that these were found on does not show it; missing where it does. */
  readonly kept?: string;
}

/** A difference that is recognised in the answer that shows it. */
export interface KnownAnswer extends Declared {
  /** Nothing that follows depends on it: the comparison goes on. Else it ends there. */
  readonly isHarmless: boolean;
  /** It explains a single field, whatever else differs in the step. */
  readonly isField?: true;
  /** @param before the steps before it */
  explains(call: X86Call, step: DiffStep, before: readonly DiffStep[]): boolean;
}

/** A difference that the model has a switch for: the kernel is asked where it stands. */
export interface KnownSwitch extends Declared {
  /** Calls whose answers tell; missing where none do. */
  readonly probe?: readonly X86Call[];
  /** Why there is no probe: what nobody was asked, explains nothing. */
  readonly unasked?: string;
  /** A matter of the machine, not of the kernel's version: the model follows from the first call on. */
  readonly isOfMachine?: true;
  /** It can show from the first such step on, not before. Default: from the first of all. */
  shows?(step: DiffStep): boolean;
  /** The same back end on the other side. */
  flip(backend: Backend): Backend;
}

/**
 * A difference between the model and a running kernel that is no fault of either. Every one is declared here, with its
 * reason, and counted where it is met; nothing is left out of a comparison in silence.
 */
export type KnownDifference = KnownAnswer | KnownSwitch;

export const KNOWN_DIFFERENCES: readonly KnownDifference[] = [...SWITCHES, ...KNOWN_ANSWERS];

export const isSwitch = (known: KnownDifference): known is KnownSwitch => "flip" in known;

/** What explains that the two sides differ in this step, of what can be told from the answer; null when nothing does. */
export function explanationOf(call: X86Call, step: DiffStep, before: readonly DiffStep[]): KnownAnswer | null {
  return KNOWN_ANSWERS.find((known) => known.explains(call, step, before)) ?? null;
}

/** Fields of a step that differ for a reason of their own, with it; and what is left to explain. */
export function withoutFields(step: DiffStep): { readonly met: readonly KnownAnswer[]; readonly left: readonly AnswerDifference[] } {
  const met = new Set<KnownAnswer>();
  const left = step.differences.filter((each) => {
    const known = KNOWN_ANSWERS.find((row) => row.isField === true && row.explains(step.call, { ...step, differences: [each] }, []));
    if (known !== undefined) met.add(known);
    return known === undefined;
  });
  return { met: [...met], left };
}

/** How a row is met: what a person reads of it in the table. */
export function told(known: KnownDifference): string {
  if (!isSwitch(known)) return known.isHarmless ? "told by the answer; the comparison goes on" : "told by the answer; the sequence ends there";
  if (known.unasked !== undefined) return `not asked: ${known.unasked}; it explains nothing`;
  return known.isOfMachine === true ? "asked by calls; the model follows from the start" : "asked by calls; the model follows where it shows";
}
