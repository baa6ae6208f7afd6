import { z } from "zod";
import { PersonError } from "../../sim/person-error.js";
import { type Budget, type Job, lowest, newOutcome, type Strategy } from "../strategy.js";
import { type DporOutcome, type DporUnit, dporUnit, type SharedNode, sharedNode, type Sibling } from "./dpor-unit.js";
import { DporWalk } from "./dpor-walk.js";

const keyOf = (path: readonly number[], length: number): string => path.slice(0, length).join();

/** How many merges leave nodes behind before those that no unit needs are dropped. */
const TIDY = 256;

/**
 * One execution of each class of executions that differ only in the order of steps that commute: each class once
 * ({@link DporWalk}). A unit owns the nodes below its base; those above are kept here, where the reversals that units find
 * for them meet. A node's choices are taken in the order in which they were opened, and each sleeps in those after it.
 */
export class Dpor implements Strategy<DporUnit, DporOutcome> {
  readonly name = "dpor";
  readonly bound = "one order of each class that differs only in steps that commute (a check() after each step is asked along that one)";
  readonly isExhaustive = true;
  readonly looksAround = true;
  readonly schema = dporUnit;
  private readonly shared = new Map<string, Sibling[]>();
  private merges = 0;

  begin(phase: number): DporUnit[] | null {
    return phase === 0 ? [{ path: [], base: 0, before: [], nodes: [] }] : null;
  }

  /** Units are sent out with what is tried before them at the shared nodes: all of that must have run once. */
  isReady(unit: DporUnit): boolean {
    unit.before = [];
    for (let depth = 0; depth < unit.base; depth++) {
      const tried = this.triedAt(unit.path, depth);
      const before = tried.slice(0, tried.findIndex(({ seat }) => seat === unit.path[depth]));
      if (before.some(({ effects }) => effects === null)) return false;
      unit.before.push(before);
    }
    return true;
  }

  private triedAt(path: readonly number[], depth: number): Sibling[] {
    const tried = this.shared.get(keyOf(path, depth));
    if (tried === undefined) throw new Error("a shared node is unknown");
    return tried;
  }

  run(unit: DporUnit, job: Job, budget: Budget): DporOutcome {
    const walk = new DporWalk(unit, job);
    const outcome: DporOutcome = { ...newOutcome<DporUnit>(), effects: null, reversals: walk.reversals, shared: [] };
    for (;;) {
      const { trial, isComplete } = walk.execute();
      outcome[trial.isCut ? "cut" : isComplete ? "executions" : "blocked"]++;
      outcome.steps += trial.steps;
      outcome.effects ??= walk.effectsAtBase();
      if (trial.violation !== null) {
        outcome.found = { message: trial.violation, choices: [...walk.path] };
        return outcome;
      }
      if (!walk.advance()) return outcome;
      if (outcome.executions + outcome.blocked + outcome.cut < budget.executions && outcome.steps < budget.steps) continue;
      return Object.assign(outcome, walk.split());
    }
  }

  merge(queue: DporUnit[], at: number, unit: DporUnit, outcome: DporOutcome): void {
    const { base, path } = unit;
    if (base > 0) {
      const own = this.triedAt(path, base - 1).find(({ seat }) => seat === path[base - 1]);
      if (own !== undefined) own.effects ??= outcome.effects;
    }
    for (const node of outcome.shared) this.shared.set(node.path.join(), node.tried);
    queue.splice(at, 0, ...outcome.open);
    for (const { depth, initials } of outcome.reversals) this.reverse(queue, at, path, depth, initials);
    if (++this.merges % TIDY === 0) this.tidy(queue);
  }

  private reverse(queue: DporUnit[], at: number, path: readonly number[], depth: number, initials: number): void {
    const tried = this.triedAt(path, depth);
    if (tried.some(({ seat }) => (initials & (1 << seat)) !== 0)) return;
    const seat = lowest(initials);
    tried.push({ seat, effects: null });
    const key = keyOf(path, depth);
    const last = queue.findLastIndex((unit) => unit.path.length >= depth && keyOf(unit.path, depth) === key);
    queue.splice(last < 0 ? at : last + 1, 0, { path: [...path.slice(0, depth), seat], base: depth + 1, before: [], nodes: [] });
  }

  private tidy(queue: readonly DporUnit[]): void {
    const needed = new Set<string>();
    for (const { path, base } of queue) for (let depth = 0; depth < base; depth++) needed.add(keyOf(path, depth));
    for (const key of this.shared.keys()) if (!needed.has(key)) this.shared.delete(key);
  }

  /** The nodes that open units share, for {@link load}. */
  save(queue: readonly DporUnit[]): SharedNode[] {
    this.tidy(queue);
    return [...this.shared].map(([key, tried]) => ({ path: key === "" ? [] : key.split(",").map(Number), tried }));
  }

  load(saved: unknown): void {
    const nodes = z.array(sharedNode).safeParse(saved);
    if (!nodes.success) throw new PersonError("the nodes of the open search are damaged: begin anew");
    for (const { path, tried } of nodes.data) this.shared.set(path.join(), tried);
  }
}
