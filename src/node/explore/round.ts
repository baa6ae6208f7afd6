import type { AnyStrategy } from "../../explore/strategies/make-strategy.js";
import type { Budget, Job, Outcome } from "../../explore/strategy.js";

/**
 * Units of the search that are run beside each other. Whoever is free takes the next: one counter, which all threads share,
 * tells which, so that nobody waits for another to hand it out.
 */
export interface Round {
  readonly units: readonly unknown[];
  readonly budget: Budget;
  /** Shared: how many units were taken; how many may be. Each round has counters of its own: who comes late takes nothing of the next. */
  readonly counters: Int32Array;
}

const TAKEN = 0;
const END = 1;
/** More than a round has units. */
const STOPPED = 1 << 20;

export function newRound(units: readonly unknown[], budget: Budget): Round {
  const counters = new Int32Array(new SharedArrayBuffer(8));
  counters[END] = units.length;
  return { units, budget, counters };
}

/** The place of a unit that nobody has taken; -1 when there is none. */
export function takeUnit({ counters }: Round): number {
  const at = Atomics.add(counters, TAKEN, 1);
  return at < Atomics.load(counters, END) ? at : -1;
}

/** How many units, from the first on, will have an outcome when nobody takes one any more: they are taken in their order. */
export function unitsToCome({ counters }: Round, taken: number): number {
  return Math.min(taken, Atomics.load(counters, END));
}

/** Nobody takes a unit any more. How many are taken. */
export function stopRound({ counters }: Round): number {
  return Atomics.exchange(counters, TAKEN, STOPPED);
}

/** Runs the unit; when it finds something, the ones behind it are let go. */
export function runUnit(round: Round, at: number, strategy: AnyStrategy, job: Job): Outcome<unknown> {
  const outcome = strategy.run(round.units[at], job, round.budget);
  if (outcome.found !== null) endBehind(round, at);
  return outcome;
}

function endBehind({ counters }: Round, at: number): void {
  for (let end = Atomics.load(counters, END); at + 1 < end; end = Atomics.load(counters, END)) Atomics.compareExchange(counters, END, end, at + 1);
}
