import { z } from "zod";
import { endless } from "../endless.js";
import { Rounds } from "../rounds.js";
import { SameSteps } from "../same-steps.js";
import { type Budget, inTurn, type Job, lowest, newOutcome, type Outcome, type Strategy, type StrategyName } from "../strategy.js";
import { Trial } from "../trial.js";

const treeUnit = z.object({
  /** Interruptions allowed; null for any number. */
  bound: z.number().int().nonnegative().nullable(),
  /** Choices that lead to the next execution. */
  path: z.array(z.number().int().nonnegative()),
  /** How many of these other units share: what branches off there is theirs. */
  base: z.number().int().nonnegative(),
  /** At each further one, the seats that are still to be tried, as bits. */
  open: z.array(z.number().int()),
});
/** A subtree of the tree of choices, half searched. */
export type TreeUnit = z.infer<typeof treeUnit>;

/** Depth-first search through the executions of a subtree, each run from its start. */
class Walk {
  private readonly path: number[];
  /** Seats to be tried at each depth, besides the one on the path. */
  private readonly open: number[];
  private readonly rounds: Rounds;
  private readonly same = new SameSteps();
  /** Interruptions that the last execution had left. */
  private left: number;

  constructor(
    private readonly unit: TreeUnit,
    private readonly job: Job,
    private readonly isPlain: boolean,
  ) {
    this.path = [...unit.path];
    this.open = [...new Array<number>(unit.base).fill(0), ...unit.open];
    this.rounds = new Rounds(job.scenario, job.steps);
    this.left = unit.bound ?? 0;
  }

  /** Runs the execution that the path leads to; beyond it, whoever moved goes on as long as he can. */
  execute(): Trial {
    const { path, job } = this;
    const known = path.length;
    const trial = new Trial(job.scenario, { rounds: this.rounds });
    let last = -1;
    let left = this.unit.bound ?? Infinity;
    for (let depth = 0; trial.violation === null; depth++) {
      const movable = trial.movable();
      if (movable === 0) break;
      if (depth >= job.steps) {
        endless(trial, job.steps);
        break;
      }
      const isUnderWay = last >= 0 && (movable & (1 << last)) !== 0 && trial.actors[last].isUnderWay;
      if (depth >= known) {
        const isLong = this.isPlain && depth >= job.steps >> 1; // a default that lets an execution end
        const choice = isLong ? inTurn(movable, last) : isUnderWay ? last : lowest(movable);
        path.push(choice);
        const options = this.isPlain || !isUnderWay || left > 0 ? movable : 0;
        this.open.push(options & ~(1 << choice));
      }
      const choice = path[depth];
      this.same.check(trial, depth, movable, choice);
      if (isUnderWay && choice !== last) left--;
      trial.move(choice, depth >= known - 1);
      last = choice;
    }
    trial.finish();
    this.left = left;
    return trial;
  }

  /** Was the last execution one that a narrower bound has not? */
  get isNew(): boolean {
    return this.unit.bound === null || this.left === 0;
  }

  /** Turns to the next execution; false when there is none. */
  advance(): boolean {
    for (let depth = this.path.length - 1; depth >= this.unit.base; depth--) {
      const open = this.open[depth];
      if (open !== 0) {
        const next = lowest(open);
        this.path.length = this.open.length = depth + 1;
        this.path[depth] = next;
        this.open[depth] = open & ~(1 << next);
        this.same.cut(depth);
        return true;
      }
    }
    return false;
  }

  choices(): number[] {
    return [...this.path];
  }

  /** What is left, after {@link advance}: this walk without its shallowest branches, and a unit for each of these. */
  split(): TreeUnit[] {
    const { path, open } = this;
    const { bound, base } = this.unit;
    let at = base;
    while (at < path.length && open[at] === 0) at++;
    if (at === path.length) return [{ bound, path: [...path], base, open: open.slice(base) }];
    const units = [{ bound, path: [...path], base: at + 1, open: open.slice(at + 1) }];
    for (let rest = open[at]; rest !== 0; rest &= rest - 1) units.push({ bound, path: [...path.slice(0, at), lowest(rest)], base: at + 1, open: [] });
    return units;
  }
}

abstract class TreeSearch implements Strategy<TreeUnit> {
  abstract readonly name: StrategyName;
  abstract readonly bound: string;
  readonly isExhaustive = true;
  readonly schema = treeUnit;

  protected abstract readonly isPlain: boolean;
  abstract begin(phase: number): TreeUnit[] | null;

  isReady(): boolean {
    return true;
  }

  run(unit: TreeUnit, job: Job, budget: Budget): Outcome<TreeUnit> {
    const walk = new Walk(unit, job, this.isPlain);
    const outcome = newOutcome<TreeUnit>();
    for (let runs = 1; ; runs++) {
      const trial = walk.execute();
      outcome.steps += trial.steps;
      if (trial.violation !== null) {
        outcome.executions++;
        outcome.found = { message: trial.violation, choices: walk.choices() };
        return outcome;
      }
      if (walk.isNew) outcome[trial.isCut ? "cut" : "executions"]++;
      if (!walk.advance()) return outcome;
      if (runs >= budget.executions || outcome.steps >= budget.steps) {
        outcome.open = walk.split();
        return outcome;
      }
    }
  }

  merge(queue: TreeUnit[], at: number, _unit: TreeUnit, outcome: Outcome<TreeUnit>): void {
    queue.splice(at, 0, ...outcome.open);
  }
}

const root = (bound: number | null): TreeUnit[] => [{ bound, path: [], base: 0, open: [] }];

/** Every execution: no reduction, no bound. What reductions are measured against. */
export class DepthFirst extends TreeSearch {
  readonly name = "dfs";
  readonly bound = "every order of the steps";
  protected readonly isPlain = true;

  begin(phase: number): TreeUnit[] | null {
    return phase === 0 ? root(null) : null;
  }
}

/**
 * Every execution in which contexts are interrupted in the middle of their work up to `preemptions` times, fewest first
 * (Musuvathi, Qadeer: Iterative context bounding, PLDI 2007). They may come at every step: what a lock's holder does next
 * commutes with what others do while it is held, but the place shows to whoever only tries that lock, or wakes a context.
 * Each width runs the executions of the narrower ones again, on the way to its own; they are counted once.
 */
export class PreemptionBounded extends TreeSearch {
  readonly name = "preemption";
  protected readonly isPlain = false;

  /** @param preemptions Infinity for any number */
  constructor(private readonly preemptions: number) {
    super();
  }

  get bound(): string {
    if (!Number.isFinite(this.preemptions)) return "every order with any number of preemptions";
    return `every order with up to ${this.preemptions} preemption${this.preemptions === 1 ? "" : "s"}`;
  }

  begin(phase: number): TreeUnit[] | null {
    if (!Number.isFinite(this.preemptions)) return phase === 0 ? root(null) : null;
    return phase <= this.preemptions ? root(phase) : null;
  }
}
