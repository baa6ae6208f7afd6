import { HAZARD_NAMES, type HazardName, type Hazards } from "../sim/hazards.js";
import { PersonError } from "../sim/person-error.js";
import { Coordinator, type Progress } from "./coordinator.js";
import { type Rerun, rerun, STEPS } from "./explorer.js";
import { type OpenSearch, readOpen, writeOpen } from "./open-search.js";
import type { Protocol } from "./protocol.js";
import { movesOf, printString } from "./schedule.js";
import { FirstExecution } from "./same-steps.js";
import { shrink } from "./shrink.js";
import type { CallerOf, ShownStep } from "./show.js";
import { type AnyStrategy, makeStrategy, type StrategyOptions } from "./strategies/make-strategy.js";
import type { Found, Job, Outcome, StrategyName } from "./strategy.js";

export interface SearchOptions extends Partial<StrategyOptions> {
  /** Default "preemption". */
  readonly strategy?: StrategyName;
  /** Rules to disable. */
  readonly off?: readonly HazardName[];
  /** "preemption": interruptions in one execution; default 2, Infinity for any number. */
  readonly preemptions?: number;
  /** Executions after which the search stops; default 100,000. "pct", "random": how many it makes. */
  readonly executions?: number;
  /** Steps after which one execution counts as endless; default 5,000. */
  readonly steps?: number;
  /** "pct", "random": default 1. */
  readonly seed?: number;
  /** "pct": ordering constraints that a bug may need; default 3. */
  readonly depth?: number;
  /** What an earlier search left open: it goes on from there. */
  readonly resume?: OpenSearch | undefined;
  /** Look for the smallest schedule that breaks the same rule; default true. */
  readonly shrink?: boolean;
}

/** A schedule that breaks a rule, step by step. */
export interface Counterexample {
  readonly message: string;
  /** Gives the same again in {@link replaySchedule}. */
  readonly schedule: string;
  /** Interruptions of a context in the middle of its work. */
  readonly preemptions: number;
  readonly contexts: Rerun["contexts"];
  readonly steps: readonly ShownStep[];
}

export interface Report {
  readonly verdict: "ok" | "violation";
  readonly strategy: StrategyName;
  /** What was searched, a sentence without its end. */
  readonly bound: string;
  /** The promise of a strategy that draws lots. */
  readonly guarantee?: string;
  /** Executions run to their ends, each of another order. */
  readonly executions: number;
  /** Executions that the reduction cut short. */
  readonly blocked: number;
  /** Executions cut short because they had made all their steps, where giving every context its turn would have ended them. */
  readonly cut: number;
  readonly steps: number;
  /** Was everything within the bound run? */
  readonly exhausted: boolean;
  readonly violation?: Counterexample;
  /** What is left to do: where the search stopped before its end. */
  readonly open?: OpenSearch;
}

/** A search that is set up; `src/node` runs its units on workers. */
export interface Setup {
  readonly strategy: AnyStrategy;
  readonly settings: StrategyOptions & { readonly steps: number };
  readonly job: Job;
  readonly first: FirstExecution;
  readonly coordinator: Coordinator<unknown, Outcome<unknown>>;
}

export function setUp(protocol: Protocol, options: SearchOptions = {}): Setup {
  const { resume } = options;
  const { strategy = "preemption", preemptions = 2, executions = 100_000, steps = STEPS, seed = 1, depth = 3, off = [] } = options;
  const settings = { strategy, preemptions, executions, seed, depth, steps };
  if (!Number.isSafeInteger(steps) || steps < 1) throw new PersonError(`steps is ${steps}: it is a whole number from 1`);
  const job = jobOf(protocol, off, steps);
  const made = makeStrategy(settings);
  const coordinator = new Coordinator(made, job, executions);
  const first = new FirstExecution(job);
  if (resume === undefined) coordinator.begin();
  else readOpen(resume, protocol, off, settings, coordinator);
  return { strategy: made, settings, job, first, coordinator };
}

export function jobOf(protocol: Protocol, off: readonly HazardName[], steps: number): Job {
  const unknown = off.find((name) => !HAZARD_NAMES.includes(name));
  if (unknown !== undefined) throw new PersonError(`there is no rule "${unknown}" to switch off`);
  const hazards: Partial<Hazards> = Object.fromEntries(off.map((name) => [name, true]));
  return { scenario: () => protocol.program(hazards), steps };
}

/**
 * Searches the executions of a protocol for one that breaks a rule. `goesOn` hears of each unit that is done, a fraction of
 * a second's work; when it says no, the report carries what is left open. PersonErrors for what the options ask wrongly.
 */
export function search(protocol: Protocol, options: SearchOptions = {}, goesOn: (progress: Progress) => boolean = () => true): Report {
  const setup = setUp(protocol, options);
  setup.coordinator.runAll(goesOn);
  return report(protocol, options, setup);
}

export function report(protocol: Protocol, options: SearchOptions, { strategy, settings, job, first, coordinator }: Setup): Report {
  const { totals, found, isDone, queue } = coordinator;
  const { executions, blocked, cut, steps } = totals;
  const bound = cut === 0 ? strategy.bound : `${strategy.bound}; ${cut} cut short after ${settings.steps} steps, in which somebody went round and others waited`;
  const guarantee = strategy.guarantee?.();
  const base = { strategy: settings.strategy, bound, ...(guarantee === undefined ? {} : { guarantee }), executions, blocked, cut, steps };
  const off = options.off ?? [];
  if (found !== null) return { ...base, verdict: "violation", exhausted: false, violation: counterexample(protocol, off, job, found, options.shrink ?? true) };
  first.again();
  const isAll = isDone || cut >= settings.executions;
  if (isAll && cut > 0 && executions === 0) throw new PersonError(`no execution of ${protocol.name} ended: ${cut} were cut short after ${settings.steps} steps; allow more of them`);
  const exhausted = isDone && strategy.isExhaustive && cut === 0;
  if (queue.length === 0) return { ...base, verdict: "ok", exhausted };
  return { ...base, verdict: "ok", exhausted, open: writeOpen(protocol, off, settings, coordinator) };
}

function counterexample(protocol: Protocol, off: readonly HazardName[], job: Job, found: Found, isShrunk: boolean): Counterexample {
  const { choices } = isShrunk ? shrink(job.scenario, found, job.steps) : found;
  const again = rerun(job.scenario, choices, job.steps);
  if (again.message === null) throw new PersonError(`the program is not the same each time it is built: a schedule that broke a rule (${found.message}) does not break it again; let nothing outlive one execution`);
  const { message, contexts, steps, preemptions } = again;
  return { message, schedule: printString(protocol, off, again.choices), preemptions, contexts, steps };
}

/** One schedule again. */
export interface Replay extends Omit<Counterexample, "message"> {
  /** What broke; null for nothing. */
  readonly message: string | null;
}

/**
 * Runs one printed schedule again. Throws a PersonError when the string is cut short, or printed by another version or for
 * another program.
 *
 * @param callerOf fills `caller` of the steps
 */
export function replaySchedule(protocol: Protocol, off: readonly HazardName[], schedule: string, steps: number = STEPS, callerOf?: CallerOf): Replay {
  const { scenario } = jobOf(protocol, off, steps);
  const again = rerun(scenario, movesOf(schedule, protocol, off), steps, callerOf);
  const { message, contexts, preemptions } = again;
  return { message, schedule: printString(protocol, off, again.choices), preemptions, contexts, steps: again.steps };
}
