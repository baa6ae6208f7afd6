import { search } from "../explore/search.js";
import type { Citation, Exhibit } from "./exhibit.js";

/** What a visit shows, in the form of `virq museum --json`. */
export interface Visit {
  readonly name: string;
  readonly cite: readonly Citation[];
  /** Within the exhibit's budget. */
  readonly foundWithoutFix: boolean;
  /** The fixed program was searched up to the bound, whole, and nothing is wrong with it. */
  readonly absentWithFix: boolean;
  /** Of both searches. */
  readonly executions: { readonly without: number; readonly with: number };
  readonly bound: Exhibit["bound"];
  /** Shows the bug in the program without the fix; null where it was not found. */
  readonly schedule: string | null;
  /** What went wrong there; or, with the fix, what must not be: null when all is as it should be. */
  readonly message: string | null;
}

/** Executions of the fixed program after which its search gives up: more than any exhibit's bound has. */
const PATIENCE = 1_000_000;

/** Searches an exhibit's program without its fix, then with it. Works in the stepped build only. */
export function visit({ name, cite, protocol, off, bound }: Exhibit): Visit {
  const { preemptions, budget } = bound;
  const without = search(protocol, { off: [off], preemptions, executions: budget });
  const fixed = search(protocol, { preemptions, executions: PATIENCE });
  return {
    name,
    cite,
    foundWithoutFix: without.verdict === "violation",
    absentWithFix: fixed.verdict === "ok" && fixed.exhausted,
    executions: { without: without.executions, with: fixed.executions },
    bound,
    schedule: without.violation?.schedule ?? null,
    message: without.violation?.message ?? fixed.violation?.message ?? null,
  };
}
