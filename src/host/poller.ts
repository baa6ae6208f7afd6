import { block, writes } from "../sim/access.js";
import type { Context } from "../sim/context.js";
import type { Sim } from "../sim/sim.js";
import type { Step } from "../sim/step.js";
import { EPOLLERR, EPOLLHUP } from "../uapi/eventfd.js";
import type { File } from "./file.js";
import { type PollTable, WaitEntry, type WaitQueue } from "./poll.js";

/** Makes a thread runnable: its {@link HostCpu}, or less where there is none. False if it was awake. */
export interface ThreadWaker {
  readonly sim: Sim;
  wakeThread(thread: Context): Step<boolean>;
}

/** One file in a {@link Poller}'s set. */
export class PollItem extends WaitEntry implements PollTable {
  /** What the last {@link Poller.next} that returned this item found, of what was asked for. */
  ready = 0;
  isListed = false;
  /** When it was put on the ready list, by the clock of whoever did. */
  listedAt = 0;
  nextReady: PollItem | null = null;
  private queueOfFile: WaitQueue | null = null;

  constructor(
    private readonly poller: Poller,
    readonly file: File,
    /** EPOLL bits; EPOLLERR and EPOLLHUP are always watched. */
    readonly interest: number,
    /** The owner's number for this file. */
    readonly token: number,
  ) {
    super();
  }

  *queue(waiters: WaitQueue): Step<void> {
    this.queueOfFile = waiters;
    yield* waiters.addEntry(this);
  }

  *leave(): Step<void> {
    if (this.queueOfFile !== null) yield* this.queueOfFile.removeEntry(this);
    this.queueOfFile = null;
  }

  /** The queue's lock is held. */
  private forget(): void {
    this.queueOfFile?.unlink(this);
    this.queueOfFile = null;
  }

  override *wake(mask: number): Step<number> {
    if ((mask & EPOLLHUP) !== 0 && !this.file.isAlive) this.forget(); // its last reference has gone: what it waits on may follow
    if ((mask & (this.interest | EPOLLERR | EPOLLHUP)) === 0) return 0;
    yield* this.poller.list(this);
    yield* this.poller.wakeThread();
    return 1;
  }
}

/**
 * The wait set of a thread's event loop, level-triggered as epoll is: it registers once on each file, and what a wake
 * named is sampled again before it is reported. A loop calls {@link next} until it gives null and then returns from
 * the thread's body: that is its sleep, and the next wake enters the body again.
 */
export class Poller {
  private firstReady: PollItem | null = null;
  private lastReady: PollItem | null = null;

  /** @param hostCpu the CPU that the thread is pinned to */
  constructor(
    private readonly thread: Context,
    private readonly hostCpu: ThreadWaker,
  ) {}

  /** Starts to watch a file: registers first, then samples, so that no event falls between. Takes no reference. */
  *add(file: File, interest: number, token = 0): Step<PollItem> {
    const item = new PollItem(this, file, interest, token);
    const ready = yield* file.poll(item);
    if ((ready & (interest | EPOLLERR | EPOLLHUP)) !== 0) {
      yield* this.list(item);
      yield* this.wakeThread();
    }
    return item;
  }

  /** Ends watching; the owner does this before it closes the file. */
  *remove(item: PollItem): Step<void> {
    yield* item.leave();
    yield writes(this, "list of ready items");
    this.unlist(item);
  }

  /** The next item that is ready, with its mask in `ready`; null when the thread is to sleep. */
  *next(): Step<PollItem | null> {
    for (;;) {
      yield writes(this, "list of ready items");
      const item = this.firstReady;
      if (item === null) return null;
      this.unlist(item);
      if (!item.file.isAlive) {
        yield* item.leave();
        continue;
      }
      const mask = yield* item.file.poll(null);
      item.ready = mask & (item.interest | EPOLLERR | EPOLLHUP);
      if (item.ready === 0) continue;
      this.waitFor(item);
      yield* this.list(item);
      return item;
    }
  }

  /** Puts the item last on the ready list, once. */
  *list(item: PollItem): Step<void> {
    yield writes(this, "list of ready items");
    if (item.isListed) return;
    item.isListed = true;
    item.listedAt = this.hostCpu.sim.now();
    item.nextReady = null;
    if (this.lastReady === null) this.firstReady = item;
    else this.lastReady.nextReady = item;
    this.lastReady = item;
  }

  *wakeThread(): Step<void> {
    yield* this.hostCpu.wakeThread(this.thread);
  }

  /** CPUs run ahead of each other: what another one signals later than now is not here before. */
  private waitFor(item: PollItem): void {
    const { sim } = this.hostCpu;
    const earlyNs = item.listedAt - sim.now();
    if (earlyNs > 0) sim.spend(earlyNs);
  }

  private unlist(item: PollItem): void {
    if (!item.isListed) return;
    item.isListed = false;
    if (this.firstReady === item) {
      this.firstReady = item.nextReady;
      if (this.firstReady === null) this.lastReady = null;
      return;
    }
    let at = this.firstReady;
    while (at !== null && at.nextReady !== item) at = at.nextReady;
    if (at === null) return;
    at.nextReady = item.nextReady;
    if (this.lastReady === item) this.lastReady = at;
  }
}
block(Poller, "firstReady", "lastReady");
