import { missingFrom } from "../explore/about.js";
import { type Report, search } from "../explore/search.js";
import type { Citation, Exhibit } from "./exhibit.js";
import type { Unreachable } from "./unreachable.js";

/** What a visit shows. */
export interface Visit {
  readonly name: string;
  readonly cite: readonly Citation[];
  /** Within the exhibit's budget. */
  readonly foundWithoutFix: boolean;
  /** Found in more than the first execution, in which nobody is interrupted: the order matters. */
  readonly isRace: boolean;
  /** The fixed program does what it is about, was searched up to the bound, whole, and nothing is wrong with it. */
  readonly absentWithFix: boolean;
  /** Of both searches. */
  readonly executions: { readonly without: number; readonly with: number };
  /** Executions with the fix that were cut short after their steps. */
  readonly cut: number;
  readonly bound: Exhibit["bound"];
  /** Shows the bug in the program without the fix; null where it was not found. */
  readonly schedule: string | null;
  /** What went wrong there; null where nothing did. */
  readonly message: string | null;
  /** What stands against `absentWithFix`; null for nothing, or where the search did not end. */
  readonly fault: string | null;
}

/** What the search of a bug that cannot happen shows. */
export interface Proof {
  readonly name: string;
  /** The program does what it is about, was searched up to the bound, whole, and nothing is wrong with it. */
  readonly absent: boolean;
  readonly executions: number;
  /** Executions cut short after their steps. */
  readonly cut: number;
  /** What stands against it; null for nothing. */
  readonly message: string | null;
}

/** Executions of the fixed program after which its search gives up: more than any exhibit's bound has. */
const PATIENCE = 1_000_000;

/** Searches an exhibit's program without its fix, then with it. Works in the stepped build only. */
export function visit(exhibit: Exhibit): Visit {
  const { name, cite, protocol, bound } = exhibit;
  const without = findWithoutFix(exhibit);
  const fixed = prove({ name, protocol, bound });
  return {
    name,
    cite,
    foundWithoutFix: without.verdict === "violation",
    isRace: without.verdict === "violation" && without.executions > 1,
    absentWithFix: fixed.absent,
    executions: { without: without.executions, with: fixed.executions },
    cut: fixed.cut,
    bound,
    schedule: without.violation?.schedule ?? null,
    message: without.violation?.message ?? null,
    fault: fixed.message,
  };
}

/** Searches an exhibit's program without its fix, within its budget. Works in the stepped build only. */
export const findWithoutFix = ({ protocol, off, bound }: Exhibit): Report => search(protocol, { off: [off], preemptions: bound.preemptions, executions: bound.budget });

/** Searches a program with every rule in force. Works in the stepped build only. */
export function prove({ name, protocol, bound }: Pick<Unreachable, "name" | "protocol" | "bound">): Proof {
  const { verdict, exhausted, executions, cut, violation } = search(protocol, { preemptions: bound.preemptions, executions: PATIENCE });
  const missing = missingFrom(protocol);
  const idle = missing === null ? null : `${protocol.name} proves nothing: ${missing} does not happen in it`;
  return { name, absent: verdict === "ok" && exhausted && idle === null, executions, cut, message: idle ?? violation?.message ?? null };
}
