import { PersonError } from "../sim/person-error.js";
import { type Job, lowest } from "./strategy.js";
import { Trial } from "./trial.js";

/**
 * The steps on a path that is run again and again: who could move, and what who moved announced. A program must be the same
 * each time it is built, or a search sees neither all of its orders nor each once.
 */
export class SameSteps {
  private readonly movable: number[] = [];
  private readonly steps: number[] = [];

  /** Compares step `depth` with the one that was made there before, if it was. @throws PersonError when it is another */
  check(trial: Trial, depth: number, movable: number, choice: number): void {
    if ((movable & (1 << choice)) === 0) this.refuse(depth);
    const { pending, isUnderWay } = trial.actors[choice];
    const step = pending === null || !isUnderWay ? -1 : pending.site * 512 + pending.field.length * 8 + pending.kind;
    if (depth < this.movable.length && this.movable[depth] !== movable) this.refuse(depth);
    if (depth < this.steps.length && this.steps[depth] !== step) this.refuse(depth);
    this.movable[depth] = movable;
    this.steps[depth] = step;
  }

  /** Somebody else moves at `depth`. */
  cut(depth: number): void {
    this.steps.length = Math.min(this.steps.length, depth);
    this.movable.length = Math.min(this.movable.length, depth + 1);
  }

  refuse(depth: number): never {
    throw new PersonError(`the program is not the same each time it is built: step ${depth + 1} of one schedule was another the second time; let nothing outlive one execution`);
  }
}

/** The execution in which nobody is interrupted: run when a search begins, and again, to be the same. */
export class FirstExecution {
  private readonly same = new SameSteps();
  private readonly length: number;

  constructor(private readonly job: Job) {
    this.length = this.run();
    this.again();
  }

  /** @throws PersonError when it is another now */
  again(): void {
    const length = this.run();
    if (length !== this.length) this.same.refuse(Math.min(length, this.length));
  }

  /** How many steps it has. */
  private run(): number {
    const { scenario, steps } = this.job;
    const trial = new Trial(scenario, { rounds: null });
    let last = -1;
    for (let movable = trial.movable(); movable !== 0 && trial.violation === null && trial.steps < steps; movable = trial.movable()) {
      if (last < 0 || (movable & (1 << last)) === 0) last = lowest(movable);
      this.same.check(trial, trial.steps, movable, last);
      trial.move(last, false);
    }
    return trial.steps;
  }
}
