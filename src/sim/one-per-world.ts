import type { Sim } from "./sim.js";

let kinds = 0;

/**
 * What a world has one of, made when it is first asked for. The world itself keeps it: a WeakMap by world would keep what it
 * has of a dead one until the collector's next full round, and an explorer makes thousands of worlds a second.
 */
export class OnePerWorld<T> {
  private readonly place = kinds++;

  constructor(private readonly make: (sim: Sim) => T) {}

  of(sim: Sim): T {
    return (sim.ones[this.place] ??= this.make(sim)) as T;
  }
}
