import type { Step } from "../sim/step.js";

/**
 * A wait queue entry (kvm-irq-core.md 1.4). `wake` runs with the queue's lock held, in the context of whoever wakes:
 * positive ends the walk when the entry is exclusive, negative ends it at once.
 */
export abstract class WaitEntry {
  isPriority = false;
  isExclusive = false;
  nextEntry: WaitEntry | null = null;

  abstract wake(mask: number): Step<number>;
}

/** What a file's poll calls to register the caller on its wait queue; -EBUSY and the like end the poll. */
export interface PollTable {
  queue(waiters: WaitQueue): Step<void>;
}

/** The part of a wait queue that a registering caller sees. Its lock is held while entries change or are called. */
export interface WaitQueue {
  addEntry(entry: WaitEntry): Step<void>;
  /** Priority-exclusive insertion: false when the first entry has the priority bit already. */
  addPriorityExclusive(entry: WaitEntry): Step<boolean>;
  removeEntry(entry: WaitEntry): Step<void>;
  /** Lock held: takes the entry off; nothing happens where it is not queued. */
  unlink(entry: WaitEntry): void;
}
