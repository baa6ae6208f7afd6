import type { Random } from "../../sim/random.js";
import { lowest } from "../strategy.js";
import type { Trial } from "../trial.js";
import { type Chooser, Sampling } from "./random-walk.js";

/**
 * Probabilistic concurrency testing (Burckhardt, Kothari, Musuvathi, Nagarakatte: A randomized scheduler with
 * probabilistic guarantees of finding bugs, ASPLOS 2010): contexts have random priorities, the highest that can moves, and
 * at `depth`-1 random steps whoever moves falls behind all others.
 */
export class Pct extends Sampling {
  readonly name = "pct";

  /** @param depth ordering constraints that a bug may need, at least 1 */
  constructor(
    seed: number,
    executions: number,
    private readonly depth: number,
  ) {
    super(seed, executions);
  }

  get bound(): string {
    return `random priorities with ${this.depth - 1} random change${this.depth === 2 ? "" : "s"} of priority`;
  }

  /** After the paper's theorem, whose k no execution exceeds: it grows with the longest that was seen. */
  guarantee(): string {
    const { steps, contexts, drawn } = this.extent;
    let orders = contexts;
    for (let i = 1; i < this.depth; i++) orders *= steps;
    return `a bug that ${this.depth} ordering constraints expose shows in each execution drawn for k steps with a probability of at least 1/${orders}: 1/(n*k^(d-1)) with n = ${contexts} contexts, k = ${steps} steps, d = ${this.depth}; no execution so far had more of either, and ${drawn} ${drawn === 1 ? "was" : "were"} drawn for this k`;
  }

  protected chooser(random: Random, steps: number): Chooser {
    return new Priorities(random, steps, this.depth);
  }
}

class Priorities implements Chooser {
  /** By seat; a fraction above {@link depth}, or below it what a change left. */
  private readonly priority: number[] = [];
  private readonly changes: number[] = [];
  private step = 0;

  constructor(
    private readonly random: Random,
    steps: number,
    private readonly depth: number,
  ) {
    for (let i = 1; i < depth; i++) this.changes.push(1 + random.below(steps));
  }

  next(trial: Trial, movable: number): number {
    while (this.priority.length < trial.actors.length) this.priority.push(this.depth + this.random.next32());
    this.step++;
    for (let i = 0; i < this.changes.length; i++) if (this.changes[i] === this.step) this.priority[this.highest(movable)] = i;
    return this.highest(movable);
  }

  private highest(movable: number): number {
    let best = lowest(movable);
    for (let rest = movable; rest !== 0; rest &= rest - 1) if (this.priority[lowest(rest)] > this.priority[best]) best = lowest(rest);
    return best;
  }
}
