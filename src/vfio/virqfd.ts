import { eventfdContextOfFile, type EventfdContext } from "../host/eventfd.js";
import { type PollTable, WaitEntry, type WaitQueue } from "../host/poll.js";
import type { Host } from "../host/machine.js";
import type { Process } from "../host/process.js";
import { guarded } from "../sim/access.js";
import type { Hazards } from "../sim/hazards.js";
import { Lifetime } from "../sim/lifetime.js";
import { Spinlock } from "../sim/lock.js";
import { OnePerWorld } from "../sim/one-per-world.js";
import type { Sim } from "../sim/sim.js";
import type { Step } from "../sim/step.js";
import { WorkItem, WorkQueue } from "../sim/workqueue.js";
import { EBADF, EBUSY } from "../uapi/errno.js";
import { EPOLLHUP, EPOLLIN } from "../uapi/eventfd.js";

/** What all virqfds of a host share: the lock over every slot, the queue that ends them, the queue of their threads. */
export class VirqfdQueues {
  readonly lock: Spinlock;
  readonly cleanup: WorkQueue;
  readonly hazards: Hazards;

  /** @param events the system work queue */
  constructor(
    sim: Sim,
    readonly events: WorkQueue,
  ) {
    this.lock = new Spinlock(sim, "virqfd_lock");
    this.cleanup = new WorkQueue(sim, "vfio-irqfd-cleanup");
    this.hazards = sim.hazards;
  }
}

const made = new OnePerWorld<{ queues: VirqfdQueues | null }>(() => ({ queues: null }));

/** Those of a host, made for the first backend that wants one: the core itself knows no interrupts (vfio.md 21.2, point 2). */
export function virqfdsOf({ sim, events }: Host): VirqfdQueues {
  return (made.of(sim).queues ??= new VirqfdQueues(sim, events));
}

/**
 * The place of one eventfd receiver (vfio.md 9). Only the slot says whether the receiver lives; it changes under the
 * global lock. A handler may still run after the slot was cleared, never after `disable` has returned.
 */
export abstract class VirqfdSlot {
  private virqfd: Virqfd | null = null;
  /** {@link onInject} does something: a handler's true sends the worker there. */
  protected readonly hasThread: boolean = false;

  constructor(readonly queues: VirqfdQueues) {}

  /**
   * The eventfd was signalled: runs in the wake-up, with the eventfd's lock held, so it never signals an eventfd
   * itself. True: the thread has to run.
   */
  abstract onSignal(): Step<boolean>;

  /** The thread's work, in the system work queue. */
  *onInject(): Step<void> {}

  get wantsThread(): boolean {
    return this.hasThread;
  }

  /**
   * Attaches an eventfd: 0, -EBADF, -EINVAL, -EBUSY where the slot is taken. A count that is there already runs the
   * handler once and stays (a signal before the registration is not lost).
   */
  *enable(process: Process, fd: number): Step<number> {
    const file = yield* process.fdget(fd);
    if (file === null) return -EBADF;
    const context = eventfdContextOfFile(file);
    if (typeof context === "number") {
      yield* file.put();
      return context;
    }
    const virqfd = new Virqfd(this, context);
    if (!(yield* this.occupy(virqfd))) {
      yield* context.put();
      yield* file.put();
      return -EBUSY;
    }
    const ready = yield* file.poll(virqfd);
    if ((ready & EPOLLIN) !== 0 && !this.queues.hazards.unmaskSetUpWithoutSample) yield* virqfd.signalled();
    yield* file.put();
    return 0;
  }

  private *occupy(virqfd: Virqfd): Step<boolean> {
    yield* this.queues.lock.lock();
    const isFree = this.virqfd === null;
    if (isFree) this.virqfd = virqfd;
    yield* this.queues.lock.unlock();
    return isFree;
  }

  /** Detaches whatever is attached, and waits until nothing of it runs: always, even when the slot was empty. */
  *disable(): Step<void> {
    yield* this.queues.lock.lock();
    if (this.virqfd !== null) yield* this.deactivate(this.virqfd);
    yield* this.queues.lock.unlock();
    if (!this.queues.hazards.disableWithoutFlush) yield* this.queues.cleanup.drain();
  }

  /** Waits for the thread. */
  *flushThread(): Step<void> {
    yield* this.queues.lock.lock();
    const inject = this.virqfd?.inject ?? null;
    yield* this.queues.lock.unlock();
    if (inject !== null) yield* this.queues.events.flush(inject);
  }

  /** The eventfd's last file is gone; its context may live on. */
  *hangUp(virqfd: Virqfd): Step<void> {
    yield* this.queues.lock.lock();
    if (this.virqfd === virqfd || this.queues.hazards.shutDownUnasked) yield* this.deactivate(virqfd);
    yield* this.queues.lock.unlock();
  }

  /** Lock held: whoever clears the slot queues the shutdown, once. */
  private *deactivate(virqfd: Virqfd): Step<void> {
    this.virqfd = null;
    yield* this.queues.cleanup.queue(virqfd.shutdown);
  }

  *isOccupied(): Step<boolean> {
    yield* this.queues.lock.lock();
    const isOccupied = this.virqfd !== null;
    yield* this.queues.lock.unlock();
    return isOccupied;
  }
}
guarded(VirqfdSlot, (slot) => slot.queues.lock, "virqfd");

/** One attached eventfd. */
class Virqfd extends WaitEntry implements PollTable {
  private readonly lifetime = new Lifetime("virqfd");
  readonly inject = new InjectWork(this);
  readonly shutdown = new ShutdownWork(this);
  private waiters: WaitQueue | null = null;

  constructor(
    readonly slot: VirqfdSlot,
    private readonly context: EventfdContext,
  ) {
    super();
    this.lifetime.spans(this, this.inject, this.shutdown);
  }

  *queue(waiters: WaitQueue): Step<void> {
    this.waiters = waiters;
    yield* waiters.addEntry(this);
  }

  /** N signals since the last wake-up are one: the counter is drained here. */
  override *wake(mask: number): Step<number> {
    this.lifetime.touch();
    if ((mask & EPOLLIN) !== 0) {
      yield* this.context.consume();
      yield* this.signalled();
    }
    if ((mask & EPOLLHUP) !== 0) yield* this.slot.hangUp(this);
    return 0;
  }

  *signalled(): Step<void> {
    this.lifetime.touch();
    if ((yield* this.slot.onSignal()) && this.slot.wantsThread) yield* this.slot.queues.events.queue(this.inject);
  }

  /** In the cleanup worker. */
  *end(): Step<void> {
    if (this.waiters !== null) yield* this.waiters.removeEntry(this);
    yield* this.slot.queues.events.flush(this.inject);
    yield* this.context.put();
    this.lifetime.free();
  }
}

class InjectWork extends WorkItem {
  constructor(private readonly virqfd: Virqfd) {
    super();
  }
  override *work(): Step<void> {
    yield* this.virqfd.slot.onInject();
  }
}

class ShutdownWork extends WorkItem {
  constructor(private readonly virqfd: Virqfd) {
    super();
  }
  override *work(): Step<void> {
    yield* this.virqfd.end();
  }
}
