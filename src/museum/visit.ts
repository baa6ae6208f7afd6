import { explore } from "../explore/explorer.js";
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
  /** One line per access of the failing execution. */
  readonly trace: readonly string[];
}

/** Executions of the fixed program after which its search gives up: more than any exhibit's bound has. */
const PATIENCE = 1_000_000;

/** Searches an exhibit's program without its fix, then with it. Works in the stepped build only. */
export function visit({ name, cite, protocol, off, bound }: Exhibit): Visit {
  const found = explore(() => protocol.program({ [off]: true }), { preemptions: bound.preemptions, limit: bound.budget });
  const fixed = explore(() => protocol.program(), { preemptions: bound.preemptions, limit: PATIENCE });
  const isFound = found.verdict === "violation";
  const isAbsent = fixed.verdict === "ok" && fixed.exhausted;
  return {
    name,
    cite,
    foundWithoutFix: isFound,
    absentWithFix: isAbsent,
    executions: { without: found.interleavings, with: fixed.interleavings },
    bound,
    schedule: isFound ? found.schedule : null,
    message: isFound ? found.message : fixed.verdict === "violation" ? fixed.message : null,
    trace: isFound ? found.trace : [],
  };
}
