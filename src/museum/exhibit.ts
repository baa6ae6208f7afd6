import type { Protocol } from "../explore/protocol.js";
import type { HazardName } from "../sim/hazards.js";

/** Where a bug is told: a commit, a thread, an issue. */
export interface Citation {
  readonly text: string;
  /** Null where no public copy was found: then the text says by whom it is told. */
  readonly url: string | null;
}

/** A real bug: found without its fix, and not found with it to the stated bound. */
export interface Exhibit {
  /** Words joined by hyphens: "resampler-without-grace". */
  readonly name: string;
  readonly title: string;
  readonly year: number;
  readonly cite: readonly Citation[];
  /** What happened and who found it, a paragraph. */
  readonly story: string;
  /** Where what is cited is not a report of this very bug: what is cited, and what is our own construction. One sentence. */
  readonly ours?: string;
  /** The rule that it taught, one sentence. */
  readonly rule: string;
  readonly protocol: Protocol;
  /** The fix, taken out. */
  readonly off: HazardName;
  readonly bound: {
    /** Interruptions up to which the fixed program is searched, whole. */
    readonly preemptions: number;
    /** Executions within which the search finds the bug without its fix. */
    readonly budget: number;
  };
}
