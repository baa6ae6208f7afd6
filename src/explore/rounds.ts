import { numberContexts } from "../sim/context.js";
import { markParts, numberLifetimes } from "../sim/lifetime.js";
import { printSchedule } from "./schedule.js";
import { type Scenario, Trial } from "./trial.js";

/** Answers that are kept. */
const KNOWN = 4_096;

/**
 * Tells a context that goes round, and waits for others by that, from one that only does the same many times: it is left
 * alone, in an execution of its own that begins with the same steps, until it does something else or the steps that an
 * execution may make are used up. What it reads then is what it would read however the others' steps that it does not see are
 * put in between.
 */
export class Rounds {
  private readonly known = new Map<string, number>();

  /** @param steps that an execution may make */
  constructor(
    private readonly scenario: Scenario,
    private readonly steps: number,
  ) {}

  /** How many more steps `seat` makes by itself, after the moves made, before one that is not of the round; Infinity: all that there may be. */
  leftAlone(made: readonly number[], seat: number, period: number): number {
    const key = `${seat} ${printSchedule(made)}`;
    const known = this.known.get(key);
    if (known !== undefined) return known;
    if (this.known.size === KNOWN) this.known.clear();
    const answer = this.tryOut(made, seat, period);
    this.known.set(key, answer);
    return answer;
  }

  private tryOut(made: readonly number[], seat: number, period: number): number {
    markParts();
    const numbers = [numberContexts(), numberLifetimes()] as const;
    // Lock orders of the execution that asks need no keeping: this one sees the same, from the same steps.
    const trial = new Trial(this.scenario, { rounds: null });
    for (const choice of made) trial.move(choice, false);
    const actor = trial.actors[seat];
    let more = 0;
    while (made.length + more < this.steps) {
      if (!actor.canMove) return this.after(more, numbers);
      trial.move(seat, false);
      if (trial.violation !== null || !actor.trail.repeats(period, 1)) return this.after(more, numbers);
      more++;
    }
    return this.after(Infinity, numbers);
  }

  private after(answer: number, [contexts, lifetimes]: readonly [number, number]): number {
    numberContexts(contexts);
    numberLifetimes(lifetimes);
    return answer;
  }
}
