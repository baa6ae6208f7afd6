import type { z } from "zod";
import type { Scenario } from "./trial.js";

/** What a search runs: how its executions are made, and what of them is enough. */
export interface Job {
  readonly scenario: Scenario;
  /** Steps after which one execution counts as endless. */
  readonly steps: number;
}

/** When a unit hands over what it has not done: the same for the same unit, whoever runs it. */
export interface Budget {
  readonly executions: number;
  readonly steps: number;
}

/** A schedule that breaks a rule. */
export interface Found {
  readonly message: string;
  /** The seat of who moved, step by step. */
  readonly choices: readonly number[];
}

/** What running a unit brought. */
export interface Outcome<U> {
  /** Complete executions, each of another order. */
  executions: number;
  /** Executions cut short, because all that could follow was reached elsewhere. */
  blocked: number;
  /** Executions that used up their steps, and would have ended if every context had had its turn. */
  cut: number;
  steps: number;
  /** Ends the unit. */
  found: Found | null;
  /** What is left of the unit, in the order in which it would have gone on. */
  open: U[];
}

/**
 * A way through the executions of a program. Its search is a queue of units; each is plain data, is run by itself, with
 * the same outcome anywhere, and hands over what its budget did not reach.
 */
export interface Strategy<U, O extends Outcome<U> = Outcome<U>> {
  readonly name: StrategyName;
  /** A sentence: which executions it runs. */
  readonly bound: string;
  /** What it promises of the executions so far, where that is not everything within its bound: PCT's probability. */
  guarantee?(): string;
  /** Does it end because everything within its bound has been run? */
  readonly isExhaustive: boolean;
  /**
   * Does it begin with orders that differ early as well as with those that differ late? Depth first the latter come first, and of a
   * long program all that a person waits for.
   */
  readonly looksAround?: boolean;
  /** Units, as read from a file. */
  readonly schema: z.ZodType<U>;
  /** Where a phase begins: phase 0, and when all of that is done a wider one; null where there is none. */
  begin(phase: number, job: Job): U[] | null;
  run(unit: U, job: Job, budget: Budget): O;
  /** May the unit run beside the others of its round? */
  isReady(unit: U): boolean;
  /** What it keeps of its units besides them: plain data, for {@link load}. */
  save?(queue: readonly U[]): unknown;
  /** Throws a PersonError where that is damaged. */
  load?(saved: unknown): void;
  /** Puts the outcome of a unit, which has been taken off, into the queue. */
  merge(queue: U[], at: number, unit: U, outcome: O): void;
}

/** The strategies by name, each with a sentence for people. */
export const STRATEGIES = [
  { name: "preemption", sentence: "every order with up to a number of preemptions, fewest first" },
  { name: "dfs", sentence: "every order of the steps, depth first" },
  { name: "dpor", sentence: "one order of each class that differs only in steps that commute: dynamic partial-order reduction" },
  { name: "pct", sentence: "random priorities with a few random changes, which find a bug of a given depth with a known probability" },
  { name: "random", sentence: "random orders: at each step everybody who can move is as likely to" },
] as const;
export type StrategyName = (typeof STRATEGIES)[number]["name"];

export const newOutcome = <U>(): Outcome<U> => ({ executions: 0, blocked: 0, cut: 0, steps: 0, found: null, open: [] });

/** The seat that comes after `last`, and behind the highest the lowest. */
export function inTurn(seats: number, last: number): number {
  const later = seats & ~((2 << last) - 1);
  return lowest(later === 0 ? seats : later);
}

/** The lowest seat of a set; -1 of the empty one. */
export const lowest = (seats: number): number => 31 - Math.clz32(seats & -seats);
