import { guarded } from "../sim/access.js";
import { Spinlock } from "../sim/lock.js";
import type { Sim } from "../sim/sim.js";
import type { Step } from "../sim/step.js";
import type { WaitEntry, WaitQueue } from "./poll.js";

/**
 * A wait queue with its lock (kvm-irq-core.md 1.4). From the head: priority entries, then ordinary ones, newest first,
 * then sleepers in the order in which they went to sleep.
 */
export class WaitQueueHead implements WaitQueue {
  readonly lock: Spinlock;
  private head: WaitEntry | null = null;

  constructor(sim: Sim, lockClass: string) {
    this.lock = new Spinlock(sim, lockClass);
  }

  /** In front of the other ordinary entries, behind any priority entry. */
  *addEntry(entry: WaitEntry): Step<void> {
    yield* this.lock.lock();
    let before: WaitEntry | null = null;
    let at = this.head;
    while (at !== null && at.isPriority) {
      before = at;
      at = at.nextEntry;
    }
    entry.nextEntry = at;
    if (before === null) this.head = entry;
    else before.nextEntry = entry;
    yield* this.lock.unlock();
  }

  *addPriorityExclusive(entry: WaitEntry): Step<boolean> {
    yield* this.lock.lock();
    const isFree = this.head === null || !this.head.isPriority;
    if (isFree) {
      entry.isPriority = true;
      entry.isExclusive = true;
      entry.nextEntry = this.head;
      this.head = entry;
    }
    yield* this.lock.unlock();
    return isFree;
  }

  *removeEntry(entry: WaitEntry): Step<void> {
    yield* this.lock.lock();
    this.unlink(entry);
    yield* this.lock.unlock();
  }

  /** Lock held: adds a sleeping reader or writer behind everybody. */
  addSleeper(entry: WaitEntry): void {
    entry.nextEntry = null;
    if (this.head === null) {
      this.head = entry;
      return;
    }
    let last = this.head;
    while (last.nextEntry !== null) last = last.nextEntry;
    last.nextEntry = entry;
  }

  /** Lock held: takes the entry off; nothing happens where it is not queued. */
  unlink(entry: WaitEntry): void {
    if (this.head === entry) {
      this.head = entry.nextEntry;
      return;
    }
    for (let at = this.head; at !== null; at = at.nextEntry)
      if (at.nextEntry === entry) {
        at.nextEntry = entry.nextEntry;
        return;
      }
  }

  /** Takes the lock and wakes. */
  *wake(mask: number): Step<void> {
    yield* this.lock.lock();
    yield* this.wakeLocked(mask);
    yield* this.lock.unlock();
  }

  /**
   * Lock held: calls the entries from the head. One exclusive entry may take the event; a negative return ends the
   * walk at once. An entry may unlink itself in its callback.
   */
  *wakeLocked(mask: number): Step<void> {
    let entry = this.head;
    while (entry !== null) {
      const next: WaitEntry | null = entry.nextEntry;
      const taken = yield* entry.wake(mask);
      if (taken < 0 || (taken > 0 && entry.isExclusive)) return;
      entry = next;
    }
  }

  /** The entries from the head, for invariants and dumps. */
  entries(): WaitEntry[] {
    const all: WaitEntry[] = [];
    for (let entry = this.head; entry !== null; entry = entry.nextEntry) all.push(entry);
    return all;
  }
}
guarded(WaitQueueHead, (queue) => queue.lock, "head");
