import type { X86Chips } from "./state.js";
import type { X86Answer } from "./vector.js";

/** How a value that one side has not is shown. */
export const NOTHING = "nothing";

/** One place where two answers differ: a path, and what each has there as JSON. */
export interface AnswerDifference {
  readonly path: string;
  readonly expected: string;
  readonly got: string;
}

/** Where two answers, or two states of the chips, differ; empty when they agree. A missing field differs from any value. */
export function answerDifferences(expected: X86Answer | X86Chips, got: X86Answer | X86Chips): AnswerDifference[] {
  const found: AnswerDifference[] = [];
  compare("", expected, got, found);
  return found;
}

/** Of the chips only those that were recorded: what is missing was left out on purpose. */
export function chipDifferences(recorded: X86Chips, got: X86Chips): AnswerDifference[] {
  const names = (["picMaster", "picSlave", "ioapic", "lapic"] as const).filter((name) => recorded[name] !== undefined);
  return answerDifferences(recorded, Object.fromEntries(names.map((name) => [name, got[name]])));
}

function compare(path: string, expected: unknown, got: unknown, found: AnswerDifference[]): void {
  if (isRecord(expected) && isRecord(got)) {
    for (const key of new Set([...Object.keys(expected), ...Object.keys(got)])) compare(path === "" ? key : `${path}.${key}`, expected[key], got[key], found);
    return;
  }
  if (sameLeaf(expected, got)) return;
  found.push({ path, expected: show(expected), got: show(got) });
}

/** Lists of vectors ascend, events are in order: a list differs as a whole. */
function sameLeaf(expected: unknown, got: unknown): boolean {
  if (!Array.isArray(expected) || !Array.isArray(got)) return expected === got;
  const found: AnswerDifference[] = [];
  for (let i = 0; i < expected.length; i++) compare(String(i), expected[i], got[i], found);
  return expected.length === got.length && found.length === 0;
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> => typeof value === "object" && value !== null && !Array.isArray(value);
const show = (value: unknown): string => (value === undefined ? NOTHING : JSON.stringify(value));
