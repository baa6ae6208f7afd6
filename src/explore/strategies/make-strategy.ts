import { PersonError } from "../../sim/person-error.js";
import { STRATEGIES, type Strategy, type StrategyName } from "../strategy.js";
import { DepthFirst, PreemptionBounded } from "./depth-first.js";
import { Dpor } from "./dpor.js";
import { Pct } from "./pct.js";
import { RandomWalk } from "./random-walk.js";

export interface StrategyOptions {
  readonly strategy: StrategyName;
  /** "preemption": interruptions; Infinity for any number. */
  readonly preemptions: number;
  /** "pct", "random": executions, seed. */
  readonly executions: number;
  readonly seed: number;
  /** "pct": ordering constraints that a bug may need. */
  readonly depth: number;
}

/** What a search does not need to know of its strategy. */
export type AnyStrategy = Strategy<unknown>;

const MAKERS: { readonly [name in StrategyName]: (options: StrategyOptions) => unknown } = {
  preemption: ({ preemptions }) => new PreemptionBounded(preemptions),
  dfs: () => new DepthFirst(),
  dpor: () => new Dpor(),
  pct: ({ seed, executions, depth }) => new Pct(seed, executions, depth),
  random: ({ seed, executions }) => new RandomWalk(seed, executions),
};

/** The strategy of that name. Throws a PersonError where there is none, or an option makes no sense. */
export function makeStrategy(options: StrategyOptions): AnyStrategy {
  if (!Object.hasOwn(MAKERS, options.strategy))
    throw new PersonError(`there is no strategy "${options.strategy}": it is one of ${STRATEGIES.map(({ name }) => name).join(", ")}`);
  const whole = { preemptions: 0, executions: 1, seed: -0x80000000, depth: 1 };
  for (const [name, least] of Object.entries(whole)) {
    const value = options[name as keyof typeof whole];
    const isAny = name === "preemptions" && value === Infinity;
    if (!isAny && (!Number.isSafeInteger(value) || value < least)) throw new PersonError(`${name} is ${value}: it is a whole number from ${least}`);
  }
  return MAKERS[options.strategy](options) as AnyStrategy;
}
