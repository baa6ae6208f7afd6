import { reads, shared, writes } from "./access.js";
import type { Step } from "./step.js";

/** A freed object was reached: what a use after free is here. */
export class UseAfterFree extends Error {}

/**
 * An element of a kernel list. A reader that stands on a removed element still finds its way on; once reclaimed, the
 * element is poisoned and any step from it is reported.
 */
export class ListLink<T> {
  next: ListLink<T> | null = null;
  previous: ListLink<T> | null = null;
  list: KernelList<T> | null = null;
  poisoned = false;

  constructor(readonly owner: T) {}

  /** Marks the element as reclaimed. */
  poison(): void {
    this.poisoned = true;
  }
}

/**
 * A doubly linked list read under RCU, SRCU or a lock. Removal keeps the removed element's `next`, as the kernel's RCU
 * deletion does. Writers exclude each other by a lock of their own.
 */
export class KernelList<T> {
  private head: ListLink<T> | null = null;
  private tail: ListLink<T> | null = null;

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
    yield writes(link, "next");
    link.next = head;
    link.previous = null;
    link.list = this;
    if (head === null) this.tail = link;
    else head.previous = link;
    yield writes(this, "head");
    this.head = link;
  }

  *addTail(link: ListLink<T>): Step<void> {
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
  }

  *remove(link: ListLink<T>): Step<void> {
    yield reads(link, "next");
    const { next, previous } = link;
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
  }

  /** Is `link` on this list? Callers hold the writers' lock, or are allowed to be late. */
  has(link: ListLink<T>): boolean {
    return link.list === this;
  }

  isEmpty(): boolean {
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
  if (link.poisoned) throw new UseAfterFree(`a freed ${Object(link.owner).constructor.name} is reached through its list`);
  return link.owner;
}
