import { current } from "./context.js";
import { STRAIGHT } from "./step.js";

/** A freed object was reached: what a use after free is here. */
export class UseAfterFree extends Error {}

/** Hears what a step does to memory besides the access that it announced: what a reduction needs to tell which steps commute. */
export interface LifetimeWatch {
  /** Is it told of announced accesses to what is alive? */
  readonly wantsLooks: boolean;
  /** The step would have found another state, had the memory been freed, or altered, before. */
  looked(lifetime: number): void;
  /** It freed the memory, or changed in it what no access announces. */
  altered(lifetime: number): void;
  /** It took a reference. */
  raised(lifetime: number): void;
  /** It gave one back. */
  lowered(lifetime: number): void;
}

let watch: LifetimeWatch | null = null;
let hearsLooks = false;
/** Of this world, with parts; or more. */
let ended = 0;

/** From now on `next` hears of each step; null: nobody. Returns who did before. */
export function watchLifetimes(next: LifetimeWatch | null): LifetimeWatch | null {
  const before = watch;
  watch = next;
  hearsLooks = next !== null && next.wantsLooks;
  if (hearsLooks) markParts();
  return before;
}

let created = 0;

/** Numbers the lifetimes that begin from now on from `first`, as {@link numberContexts} does contexts. Returns the next one's number before. */
export function numberLifetimes(first = 0): number {
  const before = created;
  created = first;
  ended = first;
  if (first === 0) unmarked.length = 0;
  else markParts();
  return before;
}

const WITHIN = Symbol("lifetime");

interface Part {
  [WITHIN]?: Lifetime;
}
const NONE_LEFT: readonly Part[] = [];

/**
 * Those with parts that do not know of them yet: nobody asks before something ends, or a reduction wants to know, and an explorer
 * makes thousands of worlds a second in which neither happens.
 */
const unmarked: Lifetime[] = [];
const MANY = 4_096;

/** From now on each part knows its lifetime. Who builds another world in the middle of one calls it before. */
export function markParts(): void {
  for (const lifetime of unmarked) lifetime.mark();
  unmarked.length = 0;
}

/**
 * The time between the allocation of an object of the kernel's and its end, with all that lies in the same memory. The stepped
 * build refuses every announced access to a part of what is freed; code that comes to the object by a pointer alone says so by
 * {@link touch}. Freeing is no access point: the step that frees is in an order with all that touch.
 */
export class Lifetime {
  /** The same in every run of one exploration: a lifetime begins in the step that makes its object. */
  private readonly number = created++;
  private isOver = false;
  /** Null: none; none that is left: all know. */
  private parts: readonly Part[] | null = null;

  /** @param what with `name`, the object in a sentence: "eventfd", 3 */
  constructor(
    private readonly what: string,
    private readonly name: string | number = "",
  ) {}

  /** These lie in the same memory: objects that accesses are announced on, locks, work items. */
  spans(...parts: readonly object[]): void {
    if (STRAIGHT) return;
    unmarked.push(this);
    this.parts = this.parts === null ? parts : this.parts.concat(parts);
    if (this.isOver) this.end();
    else if (hearsLooks || ended > 0) this.mark();
    if (unmarked.length >= MANY) markParts();
  }

  /** From now on each part knows. */
  mark(): void {
    if (this.parts === null) return;
    for (const part of this.parts) part[WITHIN] = this;
    this.parts = NONE_LEFT;
  }

  /** Who comes to one of its parts asks from now on. */
  private end(): void {
    if (this.parts === null) return;
    ended++;
    this.mark();
  }

  /** Is it still there? Who asks may come too late. */
  isAlive(): boolean {
    if (!STRAIGHT) watch?.looked(this.number);
    return !this.isOver;
  }

  /** @throws UseAfterFree */
  touch(): void {
    if (!STRAIGHT) watch?.looked(this.number);
    if (this.isOver) this.refuse("used");
  }

  /** The memory is given back. @throws UseAfterFree for a second time */
  free(): void {
    this.alter();
    if (this.isOver) this.refuse("freed once more");
    this.isOver = true;
    this.end();
  }

  /** Something in it changes that no access announces. */
  alter(): void {
    if (!STRAIGHT) watch?.altered(this.number);
  }

  /** A reference is taken, of `held` that there are. @throws UseAfterFree where the last one was given back */
  raise(held: number): void {
    if (!STRAIGHT) watch?.raised(this.number);
    this.touch();
    if (held === 0) this.refuse("used");
  }

  /** A reference is given back, and `left` remain. With the last one the object is nobody's; its end frees it. @throws UseAfterFree for one too many */
  lower(left: number): void {
    if (!STRAIGHT) watch?.lowered(this.number);
    this.touch();
    if (left < 0) this.refuse("given back once more");
    if (left === 0) this.alter();
  }

  private refuse(how: string): never {
    throw new UseAfterFree(`the freed ${`${this.what} ${this.name}`.trim()} is ${how} by ${current().name}`);
  }
}

/** Somebody comes to `part`: does it lie in something freed? */
export function touchWhole(part: object): void {
  if (STRAIGHT || (ended === 0 && !hearsLooks)) return;
  (part as Part)[WITHIN]?.touch();
}

/** Frees what `part` lies in. */
export function freeWhole(part: object): void {
  if (STRAIGHT) return;
  markParts();
  (part as Part)[WITHIN]?.free();
}
