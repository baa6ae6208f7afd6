import { type Access, AccessKind, type Countable, type RestsOn, type Waitable } from "../sim/access.js";
import type { Task } from "../sim/context.js";

/** The clocks, as one step used them. */
export const enum ClockUse {
  NOT = 0,
  READ = 1,
  WRITTEN = 3,
}

/** A place in a mask of 32: what shares one is taken for the same, which costs reduction and nothing else. */
export const bit = (number: number): number => 1 << (number & 31);

/**
 * What one step did that others can see: two steps commute unless these {@link conflicts | conflict}. The access that it
 * announced; and what shows only when it runs: the contexts that it woke, the properties that heard it, the clocks, the memory that
 * it freed or came to.
 */
export class Footprint {
  /** An {@link AccessKind}; -1 for the step that enters a context. */
  kind = -1;
  /** What it accessed; for a wait, what the condition rests on, null for anything. */
  object: object | null = null;
  /** What of it a step counts, and no other kind of step shares with such. */
  field = "";
  /** It counted: what that added, as far as the object tells, and did it use up what there was? */
  added = 0;
  usesUp = 0;
  /** What the accessed object looks at besides itself: read. */
  also: object | null = null;
  /** Contexts by their number, as bits. */
  enters = 0;
  wakes = 0;
  cancels = 0;
  /** Whose state it looked at. */
  asks = 0;
  /** Its own context, when its run ends with it. */
  ends = 0;
  /** Events that properties heard, by property and event, as bits; and those whose order with these a property tells. */
  hears = 0;
  minds = 0;
  clock: ClockUse = ClockUse.NOT;
  /** Lifetimes by their number: of what it came to, and of what it freed or altered (sim/lifetime.ts). */
  readonly looks: number[] = [];
  readonly alters: number[] = [];
  /** Those of which it took a reference, and gave one back. */
  readonly raises: number[] = [];
  readonly lowers: number[] = [];

  private remainedBefore = 0;

  /** What shows when the step has run: what has become of what it counted? */
  ran(): void {
    if (this.kind !== AccessKind.COUNT) return;
    const remains = remainingOf(this.object) ?? 1;
    this.added = remains - this.remainedBefore;
    if (remains <= 0) this.usesUp = 1;
  }

  /** What is known before the step runs. */
  announce(access: Access | null, task: Task): void {
    this.kind = access === null ? -1 : access.kind;
    this.object = access === null ? null : objectOf(access);
    this.field = access === null ? "" : access.field;
    this.added = 0;
    this.usesUp = 0;
    this.remainedBefore = this.kind === AccessKind.COUNT ? (remainingOf(this.object) ?? 1) : 0;
    this.also = access === null ? null : ((access.object as Partial<RestsOn>).restsOn ?? null);
    this.enters = access === null ? bit(task.number) : 0;
    this.wakes = 0;
    this.cancels = 0;
    this.asks = 0;
    this.ends = 0;
    this.hears = 0;
    this.minds = 0;
    this.clock = ClockUse.NOT;
    clear(this.looks);
    clear(this.alters);
    clear(this.raises);
    clear(this.lowers);
  }

  /** Takes over what another run of the same step showed. */
  take(seen: Footprint): void {
    this.wakes = seen.wakes;
    this.cancels = seen.cancels;
    this.asks = seen.asks;
    this.ends = seen.ends;
    this.hears = seen.hears;
    this.minds = seen.minds;
    this.clock = seen.clock;
    this.added = seen.added;
    this.usesUp = seen.usesUp;
    copy(seen.looks, this.looks);
    copy(seen.alters, this.alters);
    copy(seen.raises, this.raises);
    copy(seen.lowers, this.lowers);
  }

  /** May somebody else find something changed by it? */
  get changes(): boolean {
    return !isRead(this.kind) || (this.wakes | this.cancels | this.ends | this.alters.length) !== 0 || this.clock === ClockUse.WRITTEN;
  }

  /** Did it look at what no access announces: who is idle, what time it is? */
  get looksAround(): boolean {
    return this.asks !== 0 || this.clock !== ClockUse.NOT;
  }

  /** Does it wait: for a lock, for a condition, for a wake? */
  get isConditional(): boolean {
    return this.kind === AccessKind.ACQUIRE || this.kind === AccessKind.BLOCK || this.enters !== 0;
  }
}

/** Mostly there is nothing: then nothing is written. */
function clear(lifetimes: number[]): void {
  if (lifetimes.length > 0) lifetimes.length = 0;
}

function copy(from: readonly number[], to: number[]): void {
  for (let i = 0; i < from.length; i++) to.push(from[i]);
}

function objectOf(access: Access): object | null {
  return access.kind === AccessKind.BLOCK ? ((access.object as Waitable).watches ?? null) : access.object;
}

const remainingOf = (object: object | null): number | undefined => (object as Partial<Countable> | null)?.remaining;

const isRead = (kind: number): boolean => kind === AccessKind.READ || kind === AccessKind.BLOCK;

/** Does `a` count what `b` does not look at, or counts the same way? Who raises may come behind the last who lowers, and find nothing. */
function isCounted(a: Footprint, b: Footprint): boolean {
  if (a.kind !== AccessKind.COUNT || (a.usesUp | b.usesUp) !== 0) return false;
  if (b.kind === AccessKind.COUNT) return a.added * b.added >= 0;
  return b.field !== a.field && b.kind !== AccessKind.BLOCK;
}

/** Has a count that `done` made left so little that `next`, made after it, uses it up? */
export function leavesLast(done: Footprint, next: Footprint): boolean {
  return done.kind === AccessKind.COUNT && next.kind === AccessKind.COUNT && done.object === next.object && (remainingOf(next.object) ?? 2) < 2;
}

/** Do the accesses that two steps announced leave another state, or show another value, in the other order? */
export function objectsConflict(a: Footprint, b: Footprint): boolean {
  if (a.object === b.object && a.object !== null) return !((isRead(a.kind) && isRead(b.kind)) || isCounted(a, b) || isCounted(b, a));
  if ((a.also !== null && a.also === b.object && !isRead(b.kind)) || (b.also !== null && b.also === a.object && !isRead(a.kind))) return true;
  return (a.kind === AccessKind.BLOCK && a.object === null) || (b.kind === AccessKind.BLOCK && b.object === null);
}

/** May `other` change whether the conditional step `waiting` can be made? */
export function decides(other: Footprint, waiting: Footprint): boolean {
  if (waiting.enters !== 0) return (waiting.enters & (other.wakes | other.cancels)) !== 0;
  return waiting.isConditional && objectsConflict(other, waiting);
}

/** What the scheduler, the properties and the clocks see of two steps. Two wakes of a context commute; a wake and its entry do not. */
function effectsConflict(a: Footprint, b: Footprint): boolean {
  if ((a.enters & (b.wakes | b.cancels)) !== 0 || (b.enters & (a.wakes | a.cancels)) !== 0) return true;
  if ((a.cancels & b.wakes) !== 0 || (b.cancels & a.wakes) !== 0) return true;
  const changes = (f: Footprint): number => f.enters | f.wakes | f.cancels | f.ends;
  if ((a.asks & changes(b)) !== 0 || (b.asks & changes(a)) !== 0) return true;
  if (((a.hears & b.minds) | (b.hears & a.minds)) !== 0) return true;
  return (a.clock | b.clock) === ClockUse.WRITTEN && a.clock !== ClockUse.NOT && b.clock !== ClockUse.NOT;
}

/**
 * What was freed, or altered, and what came to it; references that are taken against those that are given back, of which the
 * last may come first, whoever holds one: so two takes commute, and two returns where neither is the last.
 */
function lifetimesConflict(a: Footprint, b: Footprint): boolean {
  if (a.alters.length > 0 && (meet(a.alters, b.looks) || meet(a.alters, b.alters))) return true;
  if (b.alters.length > 0 && meet(b.alters, a.looks)) return true;
  return (a.raises.length > 0 && meet(a.raises, b.lowers)) || (b.raises.length > 0 && meet(b.raises, a.lowers));
}

function meet(some: readonly number[], others: readonly number[]): boolean {
  for (let i = 0; i < others.length; i++) if (some.includes(others[i])) return true;
  return false;
}

/** Is the order of two steps of different contexts to be told apart? */
export function conflicts(a: Footprint, b: Footprint): boolean {
  return objectsConflict(a, b) || effectsConflict(a, b) || lifetimesConflict(a, b);
}
