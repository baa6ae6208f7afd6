import { reads, shared, type Waitable, writes } from "../sim/access.js";
import { Context } from "../sim/context.js";
import type { Step } from "../sim/step.js";
import { conflicts, Footprint } from "./footprint.js";
import { DporWalk } from "./strategies/dpor-walk.js";
import { lowest } from "./strategy.js";
import { type Program, type Scenario, Trial } from "./trial.js";

/** A context that does one thing. */
export class Task extends Context {
  constructor(
    name: string,
    private readonly program: () => Step<void>,
  ) {
    super(name, "user", 0);
  }
  override *body(): Step<void> {
    yield* this.program();
  }
}

/** One shared variable; open as soon as it is not 0. */
export class Cell implements Waitable {
  constructor(public value = 0) {}
  get watches(): object {
    return this;
  }
  isOpen(): boolean {
    return this.value !== 0;
  }
  *get(): Step<number> {
    yield reads(this, "value");
    return this.value;
  }
  *set(value: number): Step<void> {
    yield writes(this, "value");
    this.value = value;
  }
  *add(value: number): Step<number> {
    yield writes(this, "value");
    const before = this.value;
    this.value += value;
    return before;
  }
  /** Compares and swaps. */
  *swap(before: number, after: number): Step<boolean> {
    yield writes(this, "value");
    const isSame = this.value === before;
    if (isSame) this.value = after;
    return isSame;
  }
  *silent(): Step<void> {
    this.value++;
  }
}
shared(Cell, "value");

/** What an enumeration reached. */
export interface Reached {
  /** Complete executions. */
  executions: number;
  blocked: number;
  /** How they ended: the program's outcome, or what broke. */
  outcomes: Set<string>;
  /** Classes of executions that differ only in the order of steps that commute. */
  traces: Set<string>;
  /** By the times that contexts were interrupted in the middle of their work. */
  byPreemptions: { executions: number; outcomes: Set<string> }[];
}

const nothingReached = (): Reached => ({ executions: 0, blocked: 0, outcomes: new Set(), traces: new Set(), byPreemptions: [] });

const STEPS = 2_000;

/** Every order of the steps, whoever goes round. Null when there are more than `limit`. */
export function enumerate(scenario: Scenario, limit: number): Reached | null {
  const reached = nothingReached();
  const path: number[] = [];
  const open: number[] = [];
  do {
    if (++reached.executions > limit) return null;
    const trial = new Trial(scenario, { rounds: null });
    const prints: Footprint[] = [];
    const names: string[] = [];
    const counts = new Map<string, number>();
    let preemptions = 0;
    for (let movable = trial.movable(); trial.violation === null && movable !== 0; movable = trial.movable()) {
      const depth = prints.length;
      if (depth === path.length) {
        path.push(lowest(movable));
        open.push(movable & (movable - 1));
      }
      const last = depth === 0 ? path[0] : path[depth - 1];
      if (last !== path[depth] && (movable & (1 << last)) !== 0 && trial.actors[last].isUnderWay) preemptions++;
      const print = new Footprint();
      const { name } = trial.actors[path[depth]].context;
      counts.set(name, (counts.get(name) ?? 0) + 1);
      names.push(`${name}${counts.get(name)}`);
      trial.move(path[depth], true, print);
      prints.push(print);
    }
    const end = ending(trial);
    reached.outcomes.add(end);
    const group = (reached.byPreemptions[preemptions] ??= { executions: 0, outcomes: new Set() });
    group.executions++;
    group.outcomes.add(end);
    reached.traces.add(canonical(names, prints));
  } while (advance(path, open));
  return reached;
}

function advance(path: number[], open: number[]): boolean {
  while (path.length > 0 && open[path.length - 1] === 0) {
    path.pop();
    open.pop();
  }
  if (path.length === 0) return false;
  const last = path.length - 1;
  path[last] = lowest(open[last]);
  open[last] &= open[last] - 1;
  return true;
}

/** The order of every two steps whose order can be told. */
function canonical(names: readonly string[], prints: readonly Footprint[]): string {
  const pairs: string[] = [...names];
  for (let j = 0; j < names.length; j++) for (let i = 0; i < j; i++) if (conflicts(prints[i], prints[j])) pairs.push(`${names[i]}<${names[j]}`);
  return pairs.sort().join(" ");
}

function ending(trial: Trial): string {
  trial.finish();
  return trial.violation ?? trial.program.outcome?.() ?? "ended";
}

/** The same by the reduction, which is not stopped by what breaks. */
export function reduce(scenario: Scenario): Reached {
  const reached = nothingReached();
  const walk = new DporWalk({ path: [], base: 0, before: [], nodes: [] }, { scenario, steps: STEPS });
  do {
    const { trial, isComplete } = walk.execute();
    if (isComplete) {
      reached.executions++;
      reached.outcomes.add(ending(trial));
    } else reached.blocked++;
  } while (walk.advance());
  return reached;
}

/** A program of tasks that share what `world` made. */
export const program = (base: Pick<Program, "sim" | "contexts">, outcome: () => string): Program => ({ ...base, check: () => null, outcome });
