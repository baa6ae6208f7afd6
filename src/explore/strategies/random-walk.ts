import { z } from "zod";
import { PersonError } from "../../sim/person-error.js";
import { Random } from "../../sim/random.js";
import { endless } from "../endless.js";
import { Rounds } from "../rounds.js";
import { type Budget, type Job, lowest, newOutcome, type Outcome, type Strategy, type StrategyName } from "../strategy.js";
import { Trial } from "../trial.js";

const range = z.object({
  /** Executions from the first, which is 0, to the one before the last. */
  from: z.number().int().nonnegative(),
  to: z.number().int().nonnegative(),
  /** The most steps that an execution is known to have when the unit begins. */
  steps: z.number().int().positive(),
});
/** Executions by their numbers: each has random numbers of its own. */
export type Range = z.infer<typeof range>;

const extent = z.object({
  /** The most steps and contexts that an execution had. */
  steps: z.number().int().positive(),
  contexts: z.number().int().nonnegative(),
  /** Executions that were drawn when that many steps were known. */
  drawn: z.number().int().nonnegative(),
});
type Extent = z.infer<typeof extent>;

/** What a unit brought, and how long its executions were. */
interface SamplingOutcome extends Outcome<Range> {
  extent: Extent;
}

/** Executions that one unit has. */
const UNIT = 500;
/**
 * Units that wait, and behind them all the rest in one: more than a round takes, so that the rest is never under way; and few,
 * so that most begin with what others have learnt.
 */
const AHEAD = 18;

/** Chooses who moves. */
export interface Chooser {
  /** @param movable seats as bits, not empty */
  next(trial: Trial, movable: number): number;
}

/** Executions that random choices make. The same seed makes the same ones. */
export abstract class Sampling implements Strategy<Range, SamplingOutcome> {
  abstract readonly name: StrategyName;
  abstract readonly bound: string;
  readonly isExhaustive = false;
  readonly schema = range;
  /** Of all executions so far. */
  protected extent: Extent = { steps: 1, contexts: 0, drawn: 0 };

  /** @param executions how many */
  constructor(
    protected readonly seed: number,
    protected readonly executions: number,
  ) {}

  /** @param steps the most that an execution is known to have */
  protected abstract chooser(random: Random, steps: number): Chooser;

  begin(phase: number, job: Job): Range[] | null {
    if (phase > 0) return null;
    this.extent = measure(job);
    const units = [{ from: 0, to: this.executions, steps: this.extent.steps }];
    this.divideRest(units);
    return units;
  }

  isReady(): boolean {
    return true;
  }

  run(unit: Range, job: Job, budget: Budget): SamplingOutcome {
    const known: Extent = { steps: unit.steps, contexts: 0, drawn: 0 };
    const outcome: SamplingOutcome = { ...newOutcome<Range>(), extent: known };
    const rounds = new Rounds(job.scenario, job.steps);
    for (let at = unit.from; at < unit.to; at++) {
      if (outcome.executions + outcome.cut >= budget.executions || outcome.steps >= budget.steps) {
        outcome.open = [{ from: at, to: unit.to, steps: known.steps }];
        break;
      }
      // Neighbours in a generator's seed must not be neighbours in what it gives.
      const random = new Random(Math.imul(this.seed, 0x9e3779b1) ^ Math.imul(at + 1, 0x85ebca6b));
      const { trial, choices } = sample(job, rounds, this.chooser(random, known.steps));
      outcome[trial.isCut ? "cut" : "executions"]++;
      outcome.steps += trial.steps;
      known.drawn++;
      widen(known, { steps: choices.length, contexts: trial.actors.length, drawn: 0 });
      if (trial.violation === null) continue;
      outcome.found = { message: trial.violation, choices };
      break;
    }
    return outcome;
  }

  merge(queue: Range[], at: number, _unit: Range, outcome: SamplingOutcome): void {
    widen(this.extent, outcome.extent);
    queue.splice(at, 0, ...outcome.open);
    this.divideRest(queue);
  }

  save(): Extent {
    return { ...this.extent };
  }

  load(saved: unknown): void {
    const parsed = extent.safeParse(saved);
    if (!parsed.success) throw new PersonError("what the open search has learnt of its executions is damaged: begin anew");
    this.extent = parsed.data;
  }

  private divideRest(queue: Range[]): void {
    const { steps } = this.extent;
    for (let rest = queue.at(-1); rest !== undefined && rest.to - rest.from > UNIT && queue.length < AHEAD; rest = queue.at(-1)) {
      const from = rest.from + UNIT;
      queue.splice(-1, 1, { ...rest, to: from, steps }, { ...rest, from, steps });
    }
  }
}

/** Takes in what others have seen: where that is a longer execution, only what was drawn since counts. */
function widen(known: Extent, { steps, contexts, drawn }: Extent): void {
  known.contexts = Math.max(known.contexts, contexts);
  if (steps > known.steps) Object.assign(known, { steps, drawn });
  else if (steps === known.steps) known.drawn += drawn;
}

function sample(job: Job, rounds: Rounds, chooser: Chooser): { trial: Trial; choices: number[] } {
  const trial = new Trial(job.scenario, { rounds });
  const choices: number[] = [];
  for (let movable = trial.movable(); trial.violation === null && movable !== 0; movable = trial.movable()) {
    if (choices.length >= job.steps) {
      endless(trial, job.steps);
      break;
    }
    const choice = chooser.next(trial, movable);
    choices.push(choice);
    trial.move(choice, true);
  }
  trial.finish();
  return { trial, choices };
}

/** Steps and contexts of the execution in which nobody is interrupted. */
function measure(job: Job): Extent {
  let last = 0;
  const { trial, choices } = sample(job, new Rounds(job.scenario, job.steps), {
    next(_trial, movable) {
      if ((movable & (1 << last)) === 0) last = lowest(movable);
      return last;
    },
  });
  return { steps: Math.max(1, choices.length), contexts: trial.actors.length, drawn: 0 };
}

/** At each step everybody who can move is as likely to. */
export class RandomWalk extends Sampling {
  readonly name = "random";
  readonly bound = "random orders: at each step everybody who can move is as likely to";

  protected chooser(random: Random): Chooser {
    return { next: (_trial, movable) => nth(movable, random.below(count(movable))) };
  }
}

function count(seats: number): number {
  let n = 0;
  for (let rest = seats; rest !== 0; rest &= rest - 1) n++;
  return n;
}

function nth(seats: number, n: number): number {
  let rest = seats;
  for (let i = 0; i < n; i++) rest &= rest - 1;
  return lowest(rest);
}
