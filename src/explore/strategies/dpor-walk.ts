import { endless } from "../endless.js";
import { conflicts, Footprint, leavesLast } from "../footprint.js";
import { Rounds } from "../rounds.js";
import { SameSteps } from "../same-steps.js";
import { inTurn, type Job, lowest } from "../strategy.js";
import { ACTORS, Trial } from "../trial.js";
import { type DporUnit, effectsOf, footprintOf, type SharedNode, type Sibling } from "./dpor-unit.js";
import { HappensBefore, type Reversal } from "./happens-before.js";

type Effects = (Footprint | undefined)[];

/**
 * Source sets with sleep sets (Abdulla, Aronis, Jonsson, Sagonas: Optimal dynamic partial order reduction, POPL 2014,
 * algorithm 1) over one subtree. Another choice is opened at a node only where a race shows that it leads to an order that
 * is not equivalent to one that is tried there; who is asleep at a node would lead to what has been seen.
 */
export class DporWalk {
  readonly path: number[];
  /** Reversals into the nodes that other units share. */
  readonly reversals: Reversal[] = [];
  private readonly base: number;
  /** By depth: seats to be tried, tried and asleep, as bits. */
  private readonly open: number[] = [];
  private readonly tried: number[] = [];
  private readonly asleep: number[] = [];
  /** By depth and seat: what the step of one that is tried or asleep does when it runs. */
  private readonly effects: Effects[] = [];
  private readonly order = new HappensBefore();
  private readonly print = new Footprint();
  private readonly rounds: Rounds;
  private readonly same = new SameSteps();
  /** The depth from which on the path is new. */
  private changed = 0;
  private readonly races = (reversal: Reversal): void => this.reverse(reversal);

  constructor(
    unit: DporUnit,
    private readonly job: Job,
  ) {
    this.path = [...unit.path];
    this.rounds = new Rounds(job.scenario, job.steps);
    this.base = unit.base;
    const nodes = [...unit.before.map((tried) => ({ tried, open: 0 })), ...unit.nodes];
    for (const { tried, open } of nodes) {
      const effects: Effects = [];
      for (const { seat, effects: known } of tried) effects[seat] = known === null ? undefined : footprintOf(known);
      this.effects.push(effects);
      this.tried.push(tried.reduce((mask, { seat }) => mask | (1 << seat), 0));
      this.open.push(open);
      this.asleep.push(0);
    }
  }

  /** Runs the execution that the path leads to. True when it came to an end: not all that could move was asleep. */
  execute(): { trial: Trial; isComplete: boolean } {
    const trial = new Trial(this.job.scenario, { rounds: this.rounds });
    this.order.cut(this.changed);
    let isComplete = true;
    for (let depth = 0; trial.violation === null; depth++) {
      const enabled = trial.movable();
      if (enabled === 0) break;
      if (depth >= this.job.steps) {
        endless(trial, this.job.steps);
        break;
      }
      if (depth === this.path.length && !this.extend(enabled)) {
        isComplete = false;
        break;
      }
      this.step(trial, depth, enabled);
    }
    this.look(trial);
    if (isComplete) trial.finish();
    return { trial, isComplete };
  }

  /** A new node: whoever moved goes on if he may, and where an execution grows long, all in turn. False when all that can move is asleep. */
  private extend(enabled: number): boolean {
    const depth = this.path.length;
    const asleep = this.asleep[depth] ?? 0;
    const awake = enabled & ~asleep;
    if (awake === 0) return false;
    const last = depth === 0 ? -1 : this.path[depth - 1];
    const goesOn = last >= 0 && (awake & (1 << last)) !== 0 && depth < this.job.steps >> 1;
    this.path.push(goesOn ? last : inTurn(awake, last));
    this.open[depth] = 0;
    this.tried[depth] = 0;
    this.asleep[depth] = asleep;
    this.effects[depth] ??= [];
    return true;
  }

  private step(trial: Trial, depth: number, enabled: number): void {
    const choice = this.path[depth];
    const print = this.order.printFor(depth);
    const { ready } = trial;
    this.same.check(trial, depth, enabled, choice);
    trial.move(choice, depth >= this.changed, print);
    if (depth < this.changed || trial.violation !== null) return;
    this.order.add(choice, enabled, ready, this.races);
    this.sleep(trial, depth, choice, print);
  }

  /** Who sleeps at the next node: those tried or asleep here whose step commutes with the one that was made. */
  private sleep(trial: Trial, depth: number, choice: number, done: Footprint): void {
    let next = 0;
    const here = this.effects[depth];
    const there = (this.effects[depth + 1] ??= []);
    for (let rest = (this.asleep[depth] | this.tried[depth]) & ~(1 << choice); rest !== 0; rest &= rest - 1) {
      const seat = lowest(rest);
      const effects = here[seat];
      if (effects === undefined) throw new Error("a sleeper whose step has never run");
      const { pending, isUnderWay, task } = trial.actors[seat];
      this.print.announce(isUnderWay ? pending : null, task);
      this.print.take(effects);
      if (conflicts(this.print, done) || leavesLast(done, this.print)) continue;
      next |= 1 << seat;
      there[seat] = effects;
    }
    this.asleep[depth + 1] = next;
  }

  /** What waits in vain at the end, also at one cut short, may have been shut out by a race. */
  private look(trial: Trial): void {
    if (trial.violation !== null || trial.isCut) return;
    for (let seat = 0; seat < trial.actors.length; seat++) {
      const { pending, isUnderWay, task } = trial.actors[seat];
      this.print.announce(isUnderWay ? pending : null, task);
      this.order.stuck(seat, this.print, this.races);
    }
  }

  /** One of the initials is to be tried at the node, unless one is, or sleeps there. */
  private reverse({ depth, initials }: Reversal): void {
    const here = this.tried[depth] | this.open[depth] | this.asleep[depth] | (1 << this.path[depth]);
    if ((here & initials) !== 0) return;
    if (depth >= this.base) this.open[depth] |= initials & -initials;
    else if (!this.reversals.some((known) => known.depth === depth && (known.initials & ~initials) === 0)) this.reversals.push({ depth, initials });
  }

  /** Turns to the next execution; false when there is none. */
  advance(): boolean {
    for (let depth = this.path.length - 1; depth >= this.base; depth--) {
      const open = this.open[depth];
      if (open === 0) continue;
      const done = this.path[depth];
      const next = lowest(open);
      this.effects[depth][done] = footprintOf(effectsOf(this.order.prints[depth]));
      this.tried[depth] |= 1 << done;
      this.open[depth] = open & ~(1 << next);
      this.path.length = depth + 1;
      this.path[depth] = next;
      this.changed = depth;
      this.same.cut(depth);
      return true;
    }
    return false;
  }

  /** What the last shared choice was seen to do. */
  effectsAtBase(): Sibling["effects"] {
    return this.base === 0 ? null : effectsOf(this.order.prints[this.base - 1]);
  }

  /** What is left, after {@link advance}: this walk without its shallowest branches, and a unit for each of these. */
  split(): { open: DporUnit[]; shared: SharedNode[] } {
    const { path, base } = this;
    let at = base;
    while (at < path.length && this.open[at] === 0) at++;
    if (at === path.length) return { open: [this.unit(base)], shared: [] };
    const shared: SharedNode[] = [];
    for (let depth = base; depth <= at; depth++) shared.push({ path: path.slice(0, depth), tried: [...this.triedAt(depth), this.sibling(depth)] });
    const open = [this.unit(at + 1)];
    for (let rest = this.open[at]; rest !== 0; rest &= rest - 1) {
      const seat = lowest(rest);
      shared[at - base].tried.push({ seat, effects: null });
      open.push({ path: [...path.slice(0, at), seat], base: at + 1, before: [], nodes: [] });
    }
    return { open, shared };
  }

  private unit(base: number): DporUnit {
    const nodes = this.path.slice(base).map((_, i) => ({ tried: this.triedAt(base + i), open: this.open[base + i] }));
    return { path: [...this.path], base, before: [], nodes };
  }

  private triedAt(depth: number): Sibling[] {
    const all: Sibling[] = [];
    for (let seat = 0; seat < ACTORS; seat++) {
      const effects = this.effects[depth][seat];
      if ((this.tried[depth] & (1 << seat)) !== 0 && effects !== undefined) all.push({ seat, effects: effectsOf(effects) });
    }
    return all;
  }

  /** The choice on the path: what it does is known, except of the one that {@link advance} has just turned to. */
  private sibling(depth: number): Sibling {
    const isNew = depth === this.path.length - 1;
    return { seat: this.path[depth], effects: isNew ? null : effectsOf(this.order.prints[depth]) };
  }
}
