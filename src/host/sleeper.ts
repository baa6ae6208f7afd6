import { reads, type Waitable } from "../sim/access.js";
import { type Context, current } from "../sim/context.js";
import type { Sim } from "../sim/sim.js";
import type { Step } from "../sim/step.js";
import { WaitEntry } from "./poll.js";
import type { WaitQueueHead } from "./wait-queue.js";

/** A thread asleep in a blocking read or write, at the tail of the wait queue until it takes itself off. */
export class Sleeper extends WaitEntry implements Waitable {
  private isWoken = false;
  private isQueued = false;

  constructor(
    private readonly sim: Sim,
    private readonly queue: WaitQueueHead,
    private readonly thread: Context = current().context,
  ) {
    super();
  }

  isOpen(): boolean {
    return this.isWoken || this.thread.signalPending;
  }

  override *wake(_mask: number): Step<number> {
    this.isWoken = true;
    return 1;
  }

  /**
   * Queue lock held on entry and on return, not in between. False: a signal is pending, nothing was slept. After a sleep
   * the caller looks at its condition first: what came together with a signal is taken.
   */
  *sleep(): Step<boolean> {
    yield reads(this.thread, "signalPending");
    if (this.thread.signalPending) return false;
    if (!this.isQueued) this.queue.addSleeper(this);
    this.isQueued = true;
    this.isWoken = false;
    yield* this.queue.lock.unlock();
    yield* this.sim.wait(this);
    yield* this.queue.lock.lock();
    return true;
  }

  /** Queue lock held. */
  leave(): void {
    if (this.isQueued) this.queue.unlink(this);
    this.isQueued = false;
  }
}
