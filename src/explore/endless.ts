import { IN_TURN } from "./schedule.js";
import { type Found, inTurn, type Job } from "./strategy.js";
import { Trial } from "./trial.js";

/** Steps that a fair schedule has to come to an end, however few an execution may make. */
const PATIENCE = 5_000;

const LIVELOCK = "livelock: ";

/** Is it what {@link endless} says of a livelock? */
export const isLivelock = (message: string): boolean => message.startsWith(LIVELOCK);

/**
 * An execution has made all the steps that one may make, or goes on in turn from here by its schedule. From here on every context has its turn, step by step, for as many
 * again: what still does not end is a livelock, a violation. What ends was only given no chance to: it is cut, and no
 * violation where it ended well.
 *
 * @param steps that an execution may make
 */
export function endless(trial: Trial, steps: number): void {
  if (trial.violation !== null) return;
  trial.endSuspensions();
  const movers = new Set<string>();
  const [before, patience] = [trial.steps, Math.max(steps, PATIENCE)];
  let seat = -1;
  for (let more = 0; more < patience; more++) {
    const movable = trial.movable();
    if (movable === 0) {
      trial.finish();
      trial.isCut = true;
      return;
    }
    seat = inTurn(movable, seat);
    if (more === patience >> 1) movers.clear(); // who moved only at first does not go round
    movers.add(trial.actors[seat].context.name);
    trial.move(seat, false);
    if (trial.violation !== null) return;
  }
  const [all, verb] = [[...movers].sort().join(" and "), movers.size === 1 ? "goes" : "go"];
  trial.violation = `${LIVELOCK}after ${before} steps no end within ${patience} more in which every context has its turn: ${all} ${verb} round`;
}

/** The execution in which every context has its turn from the first step on: null where it ends, or breaks another rule. */
export function livelockInTurn({ scenario, steps }: Job): Found | null {
  const trial = new Trial(scenario, { rounds: null });
  let seat = -1;
  for (let movable = trial.movable(); movable !== 0 && trial.violation === null && trial.steps < steps; movable = trial.movable()) {
    seat = inTurn(movable, seat);
    trial.move(seat, false);
  }
  if (trial.steps >= steps) endless(trial, steps);
  const { violation } = trial;
  return violation !== null && isLivelock(violation) ? { message: violation, choices: [IN_TURN] } : null;
}
