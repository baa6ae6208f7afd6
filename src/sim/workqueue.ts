import { shared, type Waitable, writes } from "./access.js";
import { Context, current } from "./context.js";
import { Cost } from "./cost.js";
import type { Sim } from "./sim.js";
import type { Step } from "./step.js";

/**
 * A piece of deferred work. Its pending bit is cleared before the body runs, so that queueing during a run leads to
 * one more run; one item never runs beside itself (kvm-irq-core.md 0.4).
 */
export abstract class WorkItem {
  pending = false;
  /** Runs that have ended, and runs that were asked for: a flush waits for the difference. */
  runsDone = 0;
  runsAsked = 0;
  running = false;
  nextItem: WorkItem | null = null;
  cause = 0;

  abstract work(): Step<void>;
}
shared(WorkItem, "pending");

class Flush implements Waitable {
  constructor(
    private readonly item: WorkItem,
    private readonly until: number,
  ) {}
  isOpen(): boolean {
    return this.item.runsDone >= this.until;
  }
}

class Drain implements Waitable {
  constructor(
    private readonly queue: WorkQueue,
    private readonly until: number,
  ) {}
  isOpen(): boolean {
    return this.queue.done >= this.until;
  }
}

/** A queue with one worker: the system work queue of a CPU, or a dedicated one such as `kvm-irqfd-cleanup`. */
export class WorkQueue extends Context {
  /** Items queued and items ended since the beginning. */
  asked = 0;
  done = 0;
  private firstItem: WorkItem | null = null;
  private lastItem: WorkItem | null = null;
  private held = false;

  constructor(
    private readonly sim: Sim,
    name: string,
    cpu = 0,
  ) {
    super(name, "worker", cpu);
  }

  /** False if the item was pending already. */
  *queue(item: WorkItem): Step<boolean> {
    yield writes(item, "pending");
    if (item.pending) return false;
    item.pending = true;
    item.runsAsked++;
    item.cause = current().cause;
    item.nextItem = null;
    this.asked++;
    if (this.lastItem === null) this.firstItem = item;
    else this.lastItem.nextItem = item;
    this.lastItem = item;
    if (!this.held) this.sim.wakeAfter(this, Cost.workItem);
    return true;
  }

  override *body(): Step<void> {
    while (this.firstItem !== null && !this.held) {
      const item = this.firstItem;
      this.firstItem = item.nextItem;
      if (this.firstItem === null) this.lastItem = null;
      this.cause = item.cause;
      const run = item.runsAsked;
      yield writes(item, "pending");
      item.pending = false;
      item.running = true;
      yield* item.work();
      item.running = false;
      item.runsDone = run;
      this.done++;
    }
  }

  /** Waits for every run of `item` that was queued before now. */
  *flush(item: WorkItem): Step<void> {
    const until = item.runsAsked;
    if (item.runsDone >= until) return;
    yield* this.sim.wait(new Flush(item, until));
  }

  /** Waits for everything queued before now. */
  *drain(): Step<void> {
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
