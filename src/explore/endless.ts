import { inTurn } from "./strategy.js";
import type { Trial } from "./trial.js";

/** Steps that a fair schedule has to come to an end, however few an execution may make. */
const PATIENCE = 5_000;

/**
 * An execution has made all the steps that one may make. From here on every context has its turn, step by step, for as many
 * again: what still does not end is a livelock, a violation. What ends was only given no chance to: it is cut, and no
 * violation where it ended well.
 */
export function endless(trial: Trial, steps: number): void {
  if (trial.violation !== null) return;
  trial.endSuspensions();
  const movers = new Set<string>();
  const patience = Math.max(steps, PATIENCE);
  let seat = -1;
  for (let more = 0; more < patience; more++) {
    const movable = trial.movable();
    if (movable === 0) {
      trial.finish();
      trial.isCut = true;
      return;
    }
    seat = inTurn(movable, seat);
    movers.add(trial.actors[seat].context.name);
    trial.move(seat, false);
    if (trial.violation !== null) return;
  }
  const [all, verb] = [[...movers].sort().join(" and "), movers.size === 1 ? "goes" : "go"];
  trial.violation = `livelock: no end after ${steps} steps, nor after ${patience} more in which every context had its turn: ${all} ${verb} round`;
}
