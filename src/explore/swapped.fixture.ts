import { Random } from "../sim/random.js";
import { conflicts, Footprint } from "./footprint.js";
import { type Scenario, Trial } from "./trial.js";

/** One execution: what each step did. */
interface Run {
  readonly trial: Trial;
  readonly prints: readonly Footprint[];
  readonly names: readonly string[];
}

/** Null where somebody cannot move when he should. */
function runOf(scenario: Scenario, choices: readonly number[]): Run | null {
  const trial = new Trial(scenario, { rounds: null });
  const [prints, names]: [Footprint[], string[]] = [[], []];
  for (const choice of choices) {
    if (trial.violation !== null) break;
    if ((trial.movable() & (1 << choice)) === 0) return null;
    const { context, pending, isUnderWay } = trial.actors[choice];
    names.push(`${context.name} ${isUnderWay && pending !== null ? `${pending.object.constructor.name}.${pending.field}` : "enters"}`);
    const print = new Footprint();
    trial.move(choice, true, print);
    prints.push(print);
  }
  trial.finish();
  return { trial, prints, names };
}

/**
 * Of a schedule that breaks a rule, neighbours that do not conflict change places, one pair after another: each time the same
 * must come of it. Null when it does; else the pair that is not told to be dependent, and is.
 */
export function dependentUntold(scenario: Scenario, schedule: readonly number[], swaps: number): string | null {
  const random = new Random(4);
  const first = runOf(scenario, schedule);
  if (first === null || first.trial.violation === null) return "the schedule breaks no rule";
  let run: Run = first;
  let choices: readonly number[] = schedule.slice(0, first.prints.length);
  for (let n = 0; n < swaps; n++) {
    const free = independent(run.prints, choices);
    if (free.length === 0) return null;
    const at = free[random.below(free.length)];
    choices = choices.with(at, choices[at + 1]).with(at + 1, choices[at]);
    const other = runOf(scenario, choices);
    if (other === null || other.trial.violation !== first.trial.violation || other.prints.length !== choices.length) return `${run.names[at]}; ${run.names[at + 1]}`;
    run = other;
  }
  return null;
}

/** Places of steps that do not conflict with the next one. The last step, which breaks the rule, stays where it is. */
function independent(prints: readonly Footprint[], choices: readonly number[]): number[] {
  const free: number[] = [];
  for (let i = 0; i + 2 < choices.length; i++) if (choices[i] !== choices[i + 1] && !conflicts(prints[i], prints[i + 1])) free.push(i);
  return free;
}
