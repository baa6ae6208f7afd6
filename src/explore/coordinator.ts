import { livelockInTurn } from "./endless.js";
import type { Budget, Found, Job, Outcome, Strategy } from "./strategy.js";

/** Units that a round has at most. It is the same whoever runs them, so that what is found is too. */
const ROUND = 16;
/** What a unit may do before it hands over the rest: little while there are few units, so that there are soon more. */
const SMALL: Budget = { executions: 200, steps: 6_000 };
const LARGE: Budget = { executions: 4_000, steps: 60_000 };
/** Executions with which a search begins that looks around first: {@link Strategy.looksAround}. */
const AROUND = 5_000;

/** How far a search is. */
export interface Progress {
  readonly executions: number;
  readonly steps: number;
  /** Units that wait. */
  readonly open: number;
}

/** What was counted so far. */
export interface Totals {
  executions: number;
  blocked: number;
  cut: number;
  steps: number;
  /** Executions of the phase that is under way, of those that no phase before it had. */
  inPhase: number;
  phase: number;
}

/**
 * The queue of a search's units, run round by round and merged in their order: verdict, counterexample and counts are the
 * same whoever runs the units. A violation in the unit that comes first is the one that counts.
 */
export class Coordinator<U, O extends Outcome<U>> {
  readonly queue: U[] = [];
  readonly totals: Totals = { executions: 0, blocked: 0, cut: 0, steps: 0, inPhase: 0, phase: 0 };
  found: Found | null = null;
  /** Everything within the bound has been run. */
  isDone = false;

  constructor(
    readonly strategy: Strategy<U, O>,
    private readonly job: Job,
    private readonly limit: number,
  ) {}

  /**
   * Starts from the beginning. What is to search everything looks first at the one order in which contexts that make way for
   * each other for ever would do so: it lies far from those that are interrupted seldom.
   */
  begin(): void {
    if (this.strategy.isExhaustive) this.found = livelockInTurn(this.job);
    if (this.found !== null) this.totals.executions++;
    this.queue.push(...(this.strategy.begin(0, this.job) ?? []));
  }

  /** The units to run next, and what each may do; none when the search is over. */
  round(): { units: U[]; budget: Budget } {
    const left = this.limit - this.totals.executions - this.totals.blocked - this.totals.cut;
    if (this.found !== null || this.isDone || left <= 0) return { units: [], budget: SMALL };
    const isAround = this.strategy.looksAround === true && this.limit - left < AROUND;
    const units = this.choose(Math.min(ROUND, left), isAround);
    const { executions, steps } = isAround || this.queue.length < ROUND ? SMALL : LARGE;
    return { units, budget: { executions: Math.min(executions, Math.max(1, Math.floor(left / units.length))), steps } };
  }

  /** Units that may be run, in their order: the first, or half of them from the end. */
  private choose(most: number, fromBothEnds: boolean): U[] {
    const { queue, strategy } = this;
    const places: number[] = [];
    for (let i = 0; i < queue.length && places.length < most; i++) {
      const at = !fromBothEnds ? i : i % 2 === 0 ? i / 2 : queue.length - (i + 1) / 2;
      if (strategy.isReady(queue[at])) places.push(at);
    }
    return places.toSorted((a, b) => a - b).map((at) => queue[at]);
  }

  /** Takes in the outcome of a unit of the round; in their order. False when the search is over. */
  merge(unit: U, outcome: O): boolean {
    const { totals, queue } = this;
    totals.executions += outcome.executions;
    totals.blocked += outcome.blocked;
    totals.cut += outcome.cut;
    totals.inPhase += outcome.executions + outcome.cut;
    totals.steps += outcome.steps;
    this.found = outcome.found;
    if (this.found !== null) return false;
    const at = queue.indexOf(unit);
    queue.splice(at, 1);
    this.strategy.merge(queue, at, unit, outcome);
    if (queue.length === 0) this.widen();
    return !this.isDone;
  }

  private widen(): void {
    // No order of this width: none of a wider one either.
    const wider = this.totals.inPhase === 0 ? null : this.strategy.begin(this.totals.phase + 1, this.job);
    if (wider === null) {
      this.isDone = true;
      return;
    }
    this.totals.phase++;
    this.totals.inPhase = 0;
    this.queue.push(...wider);
  }

  get progress(): Progress {
    return { executions: this.totals.executions, steps: this.totals.steps, open: this.queue.length };
  }

  /** Runs all of it here, until it is over or `goesOn` says no. */
  runAll(goesOn: (progress: Progress) => boolean): void {
    for (let { units, budget } = this.round(); units.length > 0; { units, budget } = this.round())
      for (const unit of units) {
        if (!this.merge(unit, this.strategy.run(unit, this.job, budget))) return;
        if (!goesOn(this.progress)) return;
      }
  }
}
