import { z } from "zod";
import { endless } from "../endless.js";
import { type Budget, type Job, lowest, newOutcome, type Outcome, type Strategy, type StrategyName } from "../strategy.js";
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

  constructor(
    private readonly unit: TreeUnit,
    private readonly job: Job,
    private readonly isPlain: boolean,
  ) {
    this.path = [...unit.path];
    this.open = [...new Array<number>(unit.base).fill(0), ...unit.open];
  }

  /** Runs the execution that the path leads to; beyond it, whoever moved goes on as long as he can. */
  execute(): Trial {
    const { path, job } = this;
    const known = path.length;
    const trial = new Trial(job.scenario);
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
        const choice = isUnderWay ? last : lowest(movable);
        path.push(choice);
        this.open.push(this.options(trial, movable, isUnderWay ? last : -1, left) & ~(1 << choice));
      }
      const choice = path[depth];
      if (isUnderWay && choice !== last) left--;
      trial.move(choice, depth >= known - 1);
      last = choice;
    }
    trial.finish();
    return trial;
  }

  private options(trial: Trial, movable: number, mover: number, left: number): number {
    if (this.isPlain || mover < 0) return movable;
    return left > 0 && trial.actors[mover].isSwitchPoint ? movable : 0;
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
    for (;;) {
      const trial = walk.execute();
      outcome.executions++;
      outcome.steps += trial.steps;
      if (trial.violation !== null) {
        outcome.found = { message: trial.violation, choices: walk.choices() };
        return outcome;
      }
      if (!walk.advance()) return outcome;
      if (outcome.executions >= budget.executions || outcome.steps >= budget.steps) {
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
 * (Musuvathi, Qadeer: Iterative context bounding, PLDI 2007). Interruptions right behind an entry or a taken lock, and
 * before a lock is given back, are left out: what others do there commutes with these steps.
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
