import type { KnownMet, VectorResult } from "../runner.js";
import { NOTHING } from "./compare.js";
import { isSwitch, type KnownDifference } from "./known.js";
import { type Replay, type ReplayDifference, type ReplayOf, replayX86 } from "./replay.js";
import type { X86TargetName } from "./targets.js";
import type { X86Target, X86Vector } from "./vector.js";

/**
 * Runs one recorded vector on a fresh target. What the table explains is counted; it excuses a running kernel, whose vector is
 * then skipped, and not the model, which is only told why it fails.
 */
export function runX86Vector(vector: X86Vector, target: X86Target, name: X86TargetName, of?: ReplayOf): VectorResult {
  const replay = replayX86(vector, target, of);
  const [excuse] = replay.known.filter(({ known }) => isSwitch(known) || known.isField !== true);
  const known = replay.known.map(({ known: { name: row, flavour }, step, differences }): KnownMet => ({ name: row, flavour, step, paths: differences.map(({ path }) => path) }));
  const result = { id: vector.id, title: vector.title, target: name, compared: { answers: replay.answers, kvmAnswers: 0 }, known };
  if (replay.found !== null) return { ...result, outcome: "failed", reason: null, difference: shownDifference(replay.found) };
  if (excuse === undefined) return { ...result, outcome: "passed", reason: null, difference: null };
  const { expected, got, step, text } = shownDifference(excuse);
  if (name === "model") return { ...result, outcome: "failed", reason: null, difference: { step, text, expected, got: `${got} (${reasonOf(excuse.known)})` } };
  return { ...result, outcome: "skipped", reason: `${excusesOf(replay)} (step ${step}: ${text}: expected ${expected}, got ${got})`, difference: null };
}

const reasonOf = ({ name, flavour, where, reason }: KnownDifference): string => `known: ${name}; ${flavour}, ${where}: ${reason}`;
const excusesOf = ({ known }: Replay): string => [...new Set(known.map((each) => reasonOf(each.known)))].join("; ");

function shownDifference({ step, text, differences }: ReplayDifference): { step: number; text: string; expected: string; got: string } {
  return { step, text, expected: shown(differences.map(({ path, expected: value }) => [path, value])), got: shown(differences.map(({ path, got: value }) => [path, value])) };
}

/** "errno EINVAL", where one side has it in place of the other's "ret 0". */
function shown(values: readonly (readonly [string, string])[]): string {
  const there = values.filter(([, value]) => value !== NOTHING);
  return there.length === 0 ? NOTHING : there.map(([path, value]) => `${path} ${value}`).join(", ");
}
