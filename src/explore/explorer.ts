import { PersonError } from "../sim/person-error.js";
import { Coordinator } from "./coordinator.js";
import { endless, isLivelock } from "./endless.js";
import { Rounds } from "./rounds.js";
import { type CallerOf, describeSteps, oneRound, type ShownStep, Showing } from "./show.js";
import { IN_TURN, parseSchedule, printSchedule } from "./schedule.js";
import { PreemptionBounded } from "./strategies/depth-first.js";
import { lowest } from "./strategy.js";
import { type Scenario, Trial } from "./trial.js";

/** How far a search goes. */
export interface ExploreOptions {
  /**
   * How often a context may be interrupted in the middle of its work, in one interleaving; default 2. Infinity for all.
   */
  preemptions?: number;
  /** Interleavings after which the search gives up; default 100,000. */
  limit?: number;
  /** Steps after which one interleaving counts as endless; default 5,000. */
  accesses?: number;
}

/** Nothing was found. */
export interface Clean {
  readonly verdict: "ok";
  /** Interleavings that were run, each once, within the bound. */
  readonly interleavings: number;
  /** Were these all within the bound? */
  readonly exhausted: boolean;
}

/** A rule was broken. */
export interface Violation {
  readonly verdict: "violation";
  readonly message: string;
  /** Gives the same again in {@link replay}. */
  readonly schedule: string;
  /** One line per access: who, where in the source, what. */
  readonly trace: readonly string[];
  /** Interleavings that were run before, and this one. */
  readonly interleavings: number;
}

/** Steps after which an execution counts as endless, unless somebody says otherwise. */
export const STEPS = 5_000;

/**
 * Runs the interleavings of a scenario with up to `preemptions` interruptions, fewest first, until one breaks a rule:
 * a check of its own, a use after free, a silent access, a lock misused, a deadlock, no end. Works in the stepped
 * build only.
 */
export function explore(scenario: Scenario, options: ExploreOptions = {}): Clean | Violation {
  const { preemptions = 2, limit = 100_000, accesses = STEPS } = options;
  const coordinator = new Coordinator(new PreemptionBounded(preemptions), { scenario, steps: accesses }, limit);
  coordinator.begin();
  coordinator.runAll(() => true);
  const { found, totals, isDone } = coordinator;
  if (found !== null) return violation(rerun(scenario, found.choices, accesses), totals.executions);
  return { verdict: "ok", interleavings: totals.executions, exhausted: isDone && totals.cut === 0 };
}

/**
 * Runs one printed schedule again, and where it ends goes on without preemption. Throws a PersonError when it does not
 * fit the scenario.
 */
export function replay(scenario: Scenario, schedule: string, options: Pick<ExploreOptions, "accesses"> = {}): Clean | Violation {
  return violation(rerun(scenario, parseSchedule(schedule), options.accesses ?? STEPS), 1);
}

function violation({ message, choices, steps }: Rerun, interleavings: number): Clean | Violation {
  if (message === null) return { verdict: "ok", interleavings, exhausted: false };
  return { verdict: "violation", message, schedule: printSchedule(choices), trace: describeSteps(steps), interleavings };
}

/** One execution, shown. */
export interface Rerun {
  /** What broke; null for nothing. */
  readonly message: string | null;
  readonly choices: readonly number[];
  /** Interruptions of a context in the middle of its work. */
  readonly preemptions: number;
  readonly contexts: readonly { readonly name: string; readonly kind: string }[];
  readonly steps: readonly ShownStep[];
}

/** Makes the choices, goes on without preemption where they end, and keeps what happens. A PersonError where they do not fit. */
export function rerun(scenario: Scenario, choices: readonly number[], steps: number, callerOf?: CallerOf): Rerun {
  const showing = new Showing(callerOf);
  const trial = new Trial(scenario, { recorder: showing, rounds: new Rounds(scenario, steps) });
  showing.listen(trial);
  const made: number[] = [];
  let preemptions = 0;
  for (let movable = trial.movable(); trial.violation === null && movable !== 0; movable = trial.movable()) {
    if (choices[made.length] === IN_TURN) made.push(IN_TURN);
    if (made.length >= steps || made.at(-1) === IN_TURN) {
      if (choices.length > steps && choices[steps] !== IN_TURN) throw new PersonError(`the schedule has ${choices.length} steps, and an execution counts as endless after ${steps}: allow more`);
      endless(trial, steps);
      break;
    }
    const last = made.at(-1) ?? -1;
    const goesOn = last >= 0 && (movable & (1 << last)) !== 0 && trial.actors[last].isUnderWay;
    const next = choices[made.length] ?? (goesOn ? last : lowest(movable));
    if ((movable & (1 << next)) === 0) throw new PersonError(misfit(choices, made.length, trial.actors[next]?.context.name));
    if (goesOn && next !== last) preemptions++;
    made.push(next);
    trial.move(next, true);
  }
  if (choices.length > made.length) throw new PersonError(misfit(choices, made.length, undefined));
  trial.finish();
  const contexts = trial.actors.map(({ context: { name, kind } }) => ({ name, kind }));
  const shown = showing.steps();
  const goesRound = trial.violation !== null && isLivelock(trial.violation);
  return { message: trial.violation, choices: made, preemptions, contexts, steps: goesRound ? oneRound(shown) : shown };
}

function misfit(choices: readonly number[], at: number, name: string | undefined): string {
  const why = name === undefined ? "there is nobody of this letter to move" : `${name} cannot move`;
  return `the schedule ${printSchedule(choices)} does not fit this scenario: at step ${at + 1} ${why}; replay it with the version and options that printed it`;
}
