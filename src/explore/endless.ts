import { lowest } from "./strategy.js";
import type { Trial } from "./trial.js";

/**
 * An execution has made all the steps that one may make. Gives every context its turn from here on, as many steps again:
 * what still does not end is a livelock, what ends was only given no chance to. Sets the violation.
 */
export function endless(trial: Trial, steps: number): void {
  if (trial.violation !== null) return;
  const movers = new Set<string>();
  let seat = -1;
  for (let more = 0; more < steps; more++) {
    const movable = trial.movable();
    if (movable === 0) {
      trial.violation = `no end after ${steps} steps: ended after ${more} more in which every context had its turn; allow more steps, or look for who waits without sleeping`;
      return;
    }
    const later = movable & ~((2 << seat) - 1);
    seat = lowest(later === 0 ? movable : later);
    movers.add(trial.actors[seat].context.name);
    trial.move(seat, false);
    if (trial.violation !== null) return;
  }
  trial.violation = `livelock: no end after ${steps} steps, nor after as many in which every context had its turn: ${[...movers].sort().join(" and ")} ${movers.size === 1 ? "goes" : "go"} round`;
}
