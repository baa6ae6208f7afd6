import { block, reads, type Waitable, writes } from "./access.js";
import { Context, current } from "./context.js";
import { Cost } from "./cost.js";
import { touchWhole } from "./lifetime.js";
import type { Sim } from "./sim.js";
import type { Step } from "./step.js";

/**
 * A piece of deferred work. Its pending bit is cleared before the body runs, so that queueing during a run leads to
 * one more run; one item never runs beside itself (kvm-irq-core.md 0.4).
 */
export abstract class WorkItem {
  pending = false; // with all that follows: the queue's, under its lock
  /** Runs that have ended, and runs that were asked for: a flush waits for the difference. */
  runsDone = 0;
  runsAsked = 0;
  running = false;
  nextItem: WorkItem | null = null;
  cause = 0;

  abstract work(): Step<void>;
}

class Flush implements Waitable {
  constructor(
    readonly watches: WorkQueue,
    private readonly item: WorkItem,
    private readonly until: number,
  ) {}
  isOpen(): boolean {
    return this.item.runsDone >= this.until;
  }
}

class Drain implements Waitable {
  constructor(
    readonly watches: WorkQueue,
    private readonly until: number,
  ) {}
  isOpen(): boolean {
    return this.watches.done >= this.until;
  }
}

/**
 * A queue with one worker, and one lock over its list and the state of its items (the kernel's pool lock): each access is
 * announced on the queue. The system work queue of a CPU, or a dedicated one such as `kvm-irqfd-cleanup`.
 */
export class WorkQueue extends Context {
  /** Items queued and items ended since the beginning. */
  asked = 0;
  done = 0;
  private firstItem: WorkItem | null = null;
  private lastItem: WorkItem | null = null;
  private held = false;
  /** Its worker is between its first item and its last: it looks for further ones by itself. */
  private working = false;

  constructor(
    private readonly sim: Sim,
    name: string,
    cpu = 0,
  ) {
    super(name, "worker", cpu);
  }

  /** False if the item was pending already. */
  *queue(item: WorkItem): Step<boolean> {
    yield writes(this, "items");
    touchWhole(item);
    if (item.pending) return false;
    item.pending = true;
    item.runsAsked++;
    item.cause = current().cause;
    item.nextItem = null;
    this.asked++;
    if (this.lastItem === null) this.firstItem = item;
    else this.lastItem.nextItem = item;
    this.lastItem = item;
    if (!this.held && !this.working) this.sim.wakeAfter(this, Cost.workItem);
    return true;
  }

  override *body(): Step<void> {
    yield writes(this, "items");
    this.working = true;
    while (this.firstItem !== null && !this.held) {
      const item = this.firstItem;
      touchWhole(item);
      this.firstItem = item.nextItem;
      if (this.firstItem === null) this.lastItem = null;
      this.cause = item.cause;
      const run = item.runsAsked;
      if (!this.sim.hazards.clearPendingLate) item.pending = false; // before the body: who queues it now asks for one more run (H35)
      item.running = true;
      yield* item.work();
      yield writes(this, "items"); // one hold of the lock ends this item and takes the next
      if (this.sim.hazards.clearPendingLate) item.pending = false;
      item.running = false;
      item.runsDone = run;
      this.done++;
    }
    this.working = false;
  }

  /** Waits for every run of `item` that was queued before now. */
  *flush(item: WorkItem): Step<void> {
    this.sim.mightSleep();
    yield reads(this, "items");
    touchWhole(item);
    const until = item.runsAsked;
    if (item.runsDone >= until) return;
    yield* this.sim.wait(new Flush(this, item, until));
  }

  /** Waits for everything queued before now. */
  *drain(): Step<void> {
    this.sim.mightSleep();
    yield reads(this, "items");
    const until = this.asked;
    if (this.done >= until) return;
    yield* this.sim.wait(new Drain(this, until));
  }

  /** Keeps the worker from starting further items: a busy machine. */
  hold(): void {
    this.held = true;
  }

  /** Ends {@link hold}. */
  letGo(): void {
    this.held = false;
    if (this.firstItem !== null) this.sim.wake(this, 0);
  }
}
block(WorkQueue, "asked", "done", "firstItem", "lastItem", "working");
