import { PersonError } from "../sim/person-error.js";
import { parseSchedule, printSchedule } from "./schedule.js";
import { type Scenario, Trial } from "./trial.js";

/** How far a search goes. */
export interface ExploreOptions {
  /**
   * How often a context may be interrupted in the middle of its work, in one interleaving; default 2. Infinity for all.
   * Interruptions between taking a lock and the access behind it, and before giving it back, are made one access
   * earlier or later instead, where the others' accesses commute with them.
   */
  preemptions?: number;
  /** Interleavings after which the search gives up; default 100,000. */
  limit?: number;
  /** Accesses after which one interleaving counts as endless; default 5,000. */
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

/** A place where more than one context could move. */
interface Choice {
  /** The context that moved before comes first, where it can go on. */
  readonly options: readonly number[];
  /** Do the options after the first interrupt it? */
  readonly isPreemption: boolean;
  readonly preemptions: number;
  at: number;
}

const ACCESSES = 5_000;

/** Depth-first search through the interleavings of one scenario, each run from its start. */
class Search {
  private readonly choices: Choice[] = [];

  constructor(
    private readonly scenario: Scenario,
    private readonly bound: number,
    private readonly accesses: number,
  ) {}

  /** Runs the interleaving that the choices stand for; what they do not settle goes on without preemption. */
  run(): Trial {
    const trial = new Trial(this.scenario);
    for (let depth = 0; trial.violation === null; depth++) {
      if (depth === this.choices.length && !this.extend(trial)) break;
      const choice = this.choices[depth];
      trial.move(choice.options[choice.at], depth >= this.choices.length - 1);
      if (depth >= this.accesses) trial.violation ??= endless(this.accesses);
    }
    trial.finish();
    return trial;
  }

  /** Turns to the next interleaving; false when there is none. */
  advance(): boolean {
    for (let last = this.choices.at(-1); last !== undefined; last = this.choices.at(-1)) {
      if (++last.at < last.options.length) return true;
      this.choices.pop();
    }
    return false;
  }

  schedule(): number[] {
    return this.choices.map((choice) => choice.options[choice.at]);
  }

  private extend(trial: Trial): boolean {
    const movable = trial.movable();
    if (movable.length === 0) return false;
    const before = this.choices.at(-1);
    let preemptions = 0;
    if (before !== undefined) {
      preemptions = before.preemptions + (before.isPreemption && before.at > 0 ? 1 : 0);
      const mover = before.options[before.at];
      if (movable.includes(mover) && trial.isUnderWay(mover)) {
        const mayLeave = preemptions < this.bound && trial.actors[mover].isSwitchPoint;
        const options = mayLeave ? [mover, ...movable.filter((other) => other !== mover)] : [mover];
        this.choices.push({ options, isPreemption: true, preemptions, at: 0 });
        return true;
      }
    }
    this.choices.push({ options: movable, isPreemption: false, preemptions, at: 0 });
    return true;
  }
}

/**
 * Runs the interleavings of a scenario with up to `preemptions` interruptions, fewest first, until one breaks a rule:
 * a check of its own, a use after free, a silent access, a lock misused, a deadlock, no end. Works in the stepped
 * build only.
 */
export function explore(scenario: Scenario, options: ExploreOptions = {}): Clean | Violation {
  const { preemptions = 2, limit = 100_000, accesses = ACCESSES } = options;
  let total = 0;
  for (let bound = Number.isFinite(preemptions) ? 0 : preemptions; ; bound++) {
    const search = new Search(scenario, bound, accesses);
    let isLast = false;
    let interleavings = 0;
    while (!isLast) {
      interleavings++;
      total++;
      const trial = search.run();
      if (trial.violation !== null) return report(scenario, search.schedule(), accesses, total);
      isLast = !search.advance();
      if (!isLast && total >= limit) return { verdict: "ok", interleavings, exhausted: false };
    }
    if (bound >= preemptions) return { verdict: "ok", interleavings, exhausted: true };
  }
}

/**
 * Runs one printed schedule again, and where it ends goes on without preemption. Throws a PersonError when it does not
 * fit the scenario.
 */
export function replay(scenario: Scenario, schedule: string, options: Pick<ExploreOptions, "accesses"> = {}): Clean | Violation {
  return report(scenario, parseSchedule(schedule), options.accesses ?? ACCESSES, 1);
}

const endless = (accesses: number): string => `no end after ${accesses} accesses`;

function report(scenario: Scenario, choices: readonly number[], accesses: number, interleavings: number): Clean | Violation {
  const trial = new Trial(scenario, true);
  const made: number[] = [];
  for (let movable = trial.movable(); trial.violation === null && movable.length > 0; movable = trial.movable()) {
    const last = made.at(-1) ?? movable[0];
    const next = choices[made.length] ?? (movable.includes(last) && trial.isUnderWay(last) ? last : movable[0]);
    if (!movable.includes(next)) throw new PersonError(misfit(choices, made.length, trial.actors[next]?.context.name));
    made.push(next);
    trial.move(next, true);
    if (made.length > accesses) trial.violation ??= endless(accesses);
  }
  if (choices.length > made.length) throw new PersonError(misfit(choices, made.length, undefined));
  trial.finish();
  if (trial.violation === null) return { verdict: "ok", interleavings, exhausted: false };
  return { verdict: "violation", message: trial.violation, schedule: printSchedule(made), trace: trial.lines, interleavings };
}

function misfit(choices: readonly number[], at: number, name: string | undefined): string {
  const why = name === undefined ? "there is nobody of this letter to move" : `${name} cannot move`;
  return `the schedule ${printSchedule(choices)} does not fit this scenario: at access ${at + 1} ${why}; replay it with the version and options that printed it`;
}
