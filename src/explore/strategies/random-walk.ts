import { z } from "zod";
import { Random } from "../../sim/random.js";
import { endless } from "../endless.js";
import { Rounds } from "../rounds.js";
import { type Budget, type Job, lowest, newOutcome, type Outcome, type Strategy, type StrategyName } from "../strategy.js";
import { Trial } from "../trial.js";

const range = z.object({
  /** Executions from the first, which is 0, to the one before the last. */
  from: z.number().int().nonnegative(),
  to: z.number().int().nonnegative(),
  /** Steps and contexts of an execution, as far as known before. */
  steps: z.number().int().positive(),
  contexts: z.number().int().positive(),
});
/** Executions by their numbers: each has random numbers of its own. */
export type Range = z.infer<typeof range>;

/** Executions that one unit has. */
const UNIT = 500;
/** Units that wait, and behind them all the rest in one: more than a round takes, so that the rest is never under way. */
const AHEAD = 48;

/** Chooses who moves. */
export interface Chooser {
  /** @param movable seats as bits, not empty */
  next(trial: Trial, movable: number): number;
}

/** Executions that random choices make. The same seed makes the same ones. */
export abstract class Sampling implements Strategy<Range> {
  abstract readonly name: StrategyName;
  abstract readonly bound: string;
  readonly isExhaustive = false;
  readonly schema = range;

  /** @param executions how many */
  constructor(
    protected readonly seed: number,
    protected readonly executions: number,
  ) {}

  protected abstract chooser(random: Random, unit: Range): Chooser;

  begin(phase: number, job: Job): Range[] | null {
    if (phase > 0) return null;
    const { steps, contexts } = measure(job);
    const units = [{ from: 0, to: this.executions, steps, contexts }];
    divideRest(units);
    return units;
  }

  isReady(): boolean {
    return true;
  }

  run(unit: Range, job: Job, budget: Budget): Outcome<Range> {
    const outcome = newOutcome<Range>();
    for (let at = unit.from; at < unit.to; at++) {
      if (outcome.executions + outcome.cut >= budget.executions || outcome.steps >= budget.steps) {
        outcome.open = [{ ...unit, from: at }];
        break;
      }
      // Neighbours in a generator's seed must not be neighbours in what it gives.
      const random = new Random(Math.imul(this.seed, 0x9e3779b1) ^ Math.imul(at + 1, 0x85ebca6b));
      const { trial, choices } = sample(job, this.chooser(random, unit));
      outcome[trial.isCut ? "cut" : "executions"]++;
      outcome.steps += trial.steps;
      if (trial.violation === null) continue;
      outcome.found = { message: trial.violation, choices };
      break;
    }
    return outcome;
  }

  merge(queue: Range[], at: number, _unit: Range, outcome: Outcome<Range>): void {
    queue.splice(at, 0, ...outcome.open);
    divideRest(queue);
  }
}

function divideRest(queue: Range[]): void {
  for (let rest = queue.at(-1); rest !== undefined && rest.to - rest.from > UNIT && queue.length < AHEAD; rest = queue.at(-1)) {
    const from = rest.from + UNIT;
    queue.splice(-1, 1, { ...rest, to: from }, { ...rest, from });
  }
}

function sample(job: Job, chooser: Chooser): { trial: Trial; choices: number[] } {
  const trial = new Trial(job.scenario, { rounds: new Rounds(job.scenario, job.steps) });
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
function measure(job: Job): { steps: number; contexts: number } {
  let last = 0;
  const { trial } = sample(job, {
    next(_trial, movable) {
      if ((movable & (1 << last)) === 0) last = lowest(movable);
      return last;
    },
  });
  return { steps: Math.max(1, trial.steps), contexts: trial.actors.length };
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
