import { reads, shared, writes } from "./access.js";
import { current, type Task } from "./context.js";
import { Lifetime, UseAfterFree } from "./lifetime.js";
import { LockError } from "./lock.js";
import { STRAIGHT, type Step } from "./step.js";

export { UseAfterFree };

/**
 * An element of a kernel list. A reader that stands on a removed element still finds its way on; once reclaimed, any step from
 * it, or onto it, is reported.
 */
export class ListLink<T> {
  next: ListLink<T> | null = null;
  previous: ListLink<T> | null = null;
  list: KernelList<T> | null = null;

  /** @param lifetime its owner's, which it lies in; without one it has its own */
  constructor(
    readonly owner: T,
    readonly lifetime: Lifetime = new Lifetime(Object(owner).constructor.name),
  ) {
    lifetime.spans(this);
  }

  /** Marks an element that has a lifetime of its own as reclaimed. */
  poison(): void {
    this.lifetime.free();
  }
}

/**
 * A doubly linked list read under RCU, SRCU or a lock. Removal keeps the removed element's `next`, as the kernel's RCU
 * deletion does. Writers exclude each other by a lock of their own: two at once are reported.
 */
export class KernelList<T> {
  private head: ListLink<T> | null = null;
  /** With the links' `previous` and `list` the writers' own, under their lock. */
  private tail: ListLink<T> | null = null;
  private readonly lifetime = new Lifetime("list");
  /** Who is in the middle of a change; the stepped build alone knows. */
  private writer: Task | null = null;

  *first(): Step<T | null> {
    yield reads(this, "head");
    return this.head === null ? null : alive(this.head);
  }

  /** The element after `link`, removed or not. */
  *next(link: ListLink<T>): Step<T | null> {
    yield reads(link, "next");
    alive(link);
    return link.next === null ? null : alive(link.next);
  }

  *addHead(link: ListLink<T>): Step<void> {
    yield reads(this, "head");
    const { head } = this;
    this.begin(head);
    yield writes(link, "next");
    link.next = head;
    link.previous = null;
    link.list = this;
    if (head === null) this.tail = link;
    else head.previous = link;
    yield writes(this, "head");
    this.head = link;
    this.end();
  }

  *addTail(link: ListLink<T>): Step<void> {
    this.begin(this.tail);
    const { tail } = this;
    if (tail === null) {
      yield* this.addHead(link);
      return;
    }
    yield writes(link, "next");
    link.next = null;
    link.previous = tail;
    link.list = this;
    this.tail = link;
    yield writes(tail, "next");
    tail.next = link;
    this.end();
  }

  *remove(link: ListLink<T>): Step<void> {
    yield reads(link, "next");
    const { next, previous } = link;
    this.begin(next);
    if (next === null) this.tail = previous;
    else next.previous = previous;
    link.list = null;
    link.previous = null;
    if (previous === null) {
      yield writes(this, "head");
      this.head = next;
    } else {
      yield writes(previous, "next");
      previous.next = next;
    }
    this.end();
  }

  /** A change begins, under the writers' lock; `neighbour` is alive. @throws LockError where another is half done */
  private begin(neighbour: ListLink<T> | null): void {
    if (STRAIGHT) return;
    const task = current();
    this.lifetime.alter();
    if (this.writer !== null && this.writer !== task) throw new LockError(`${task.name} changes a list in the middle of a change by ${this.writer.name}`);
    this.writer = task;
    if (neighbour !== null) alive(neighbour);
  }

  private end(): void {
    if (STRAIGHT) return;
    this.lifetime.alter();
    this.writer = null;
  }

  /** Is `link` on this list? Callers hold the writers' lock, or are allowed to be late. */
  has(link: ListLink<T>): boolean {
    this.lifetime.touch();
    return link.list === this;
  }

  isEmpty(): boolean {
    this.lifetime.touch();
    return this.tail === null;
  }

  /** All owners, for tests and dumps. */
  toArray(): T[] {
    const all: T[] = [];
    for (let link = this.tail; link !== null; link = link.previous) all.unshift(link.owner);
    return all;
  }
}
shared(KernelList, "head");
shared(ListLink, "next");

function alive<T>(link: ListLink<T>): T {
  if (!link.lifetime.isAlive()) throw new UseAfterFree(`a freed ${Object(link.owner).constructor.name} is reached through its list`);
  return link.owner;
}
