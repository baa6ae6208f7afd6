import { block, type Countable, counts, reads, writes } from "../sim/access.js";
import { current } from "../sim/context.js";
import { Cost } from "../sim/cost.js";
import { Ev } from "../sim/event.js";
import { Lifetime } from "../sim/lifetime.js";
import { OnePerWorld } from "../sim/one-per-world.js";
import type { Sim } from "../sim/sim.js";
import type { Step } from "../sim/step.js";
import { EAGAIN, EBADF, EFAULT, EINTR, EINVAL, EMFILE } from "../uapi/errno.js";
import { EFD_CLOEXEC, EFD_NONBLOCK, EFD_SEMAPHORE, EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT } from "../uapi/eventfd.js";
import { File } from "./file.js";
import type { PollTable, WaitEntry } from "./poll.js";
import type { Process } from "./process.js";
import { Sleeper } from "./sleeper.js";
import { WaitQueueHead } from "./wait-queue.js";

/** The numbers of the eventfds alive in one world; the lowest free one is given out. */
const taken = new OnePerWorld<boolean[]>(() => []);

function takeId(sim: Sim): number {
  const ids = taken.of(sim);
  const free = ids.indexOf(false);
  const id = free < 0 ? ids.length : free;
  ids[id] = true;
  return id;
}

function giveId(sim: Sim, id: number): void {
  taken.of(sim)[id] = false;
}

/**
 * The counter behind an eventfd (kvm-irq-core.md 1). It lives while references to it are held and can be signalled
 * without any open file. The count is an unsigned 64-bit number in two int32 halves.
 */
export class EventfdContext implements Countable {
  readonly id: number;
  /** Its lock is the eventfd lock: it protects the count and the entries. */
  readonly waiters: WaitQueueHead;
  readonly isSemaphore: boolean;
  /** Signals of kernel code that were accepted. */
  signals = 0;
  /** What the last {@link consume} took; valid while the lock is held. */
  consumedLow = 0;
  consumedHigh = 0;
  private low: number;
  private high = 0;
  private references = 1;
  private readonly lifetime: Lifetime;

  constructor(
    readonly sim: Sim,
    initialCount: number,
    flags: number,
  ) {
    this.id = takeId(sim);
    this.low = initialCount | 0;
    this.isSemaphore = (flags & EFD_SEMAPHORE) !== 0;
    this.waiters = new WaitQueueHead(sim, "eventfd");
    this.lifetime = new Lifetime("eventfd", this.id);
    this.lifetime.spans(this, this.waiters.lock);
  }

  get isAlive(): boolean {
    return this.lifetime.isAlive();
  }

  get remaining(): number {
    return this.references;
  }

  /** The count, for tests and dumps. */
  get count(): bigint {
    return (BigInt(this.high >>> 0) << 32n) | BigInt(this.low >>> 0);
  }

  /** Takes one more reference. */
  get(): void {
    this.lifetime.raise(this.references);
    this.references++;
  }

  /** Drops a reference; the last one frees the context. */
  *put(): Step<void> {
    yield counts(this, "references");
    this.lifetime.lower(--this.references);
    if (this.references > 0) return;
    this.lifetime.free();
    giveId(this.sim, this.id);
  }

  /**
   * A signal by kernel code: adds 1 unless the count is at its end, and wakes with EPOLLIN and `extraMask`. Never
   * sleeps, never fails; refused from inside an eventfd's wake-up of the same thread (kvm-irq-core.md 1.4, H32).
   */
  *signal(extraMask = 0): Step<void> {
    this.lifetime.touch();
    const thread = current();
    if (thread.eventfdDepth > 0) {
      this.sim.emit(Ev.eventfd_refused, this.id);
      return;
    }
    this.sim.charge(Cost.eventfdSignal);
    if (this.sim.tracing) this.sim.emit(Ev.eventfd_signal, this.id);
    yield* this.waiters.lock.lock();
    yield writes(this, "count");
    this.lifetime.touch();
    this.signals++;
    if (this.low !== -1) this.low = (this.low + 1) | 0;
    else if (this.high !== -1) {
      this.low = 0;
      this.high = (this.high + 1) | 0;
    }
    thread.eventfdDepth++;
    yield* this.waiters.wakeLocked(EPOLLIN | extraMask);
    thread.eventfdDepth--;
    yield* this.waiters.lock.unlock();
  }

  /** Lock held: takes the count, or 1 of it from a semaphore. False where it was 0. */
  *consume(): Step<boolean> {
    yield writes(this, "count");
    const { low, high } = this;
    if (low === 0 && high === 0) return false;
    if (this.isSemaphore) {
      this.low = (low - 1) | 0;
      if (low === 0) this.high = (high - 1) | 0;
      this.consumedLow = 1;
      this.consumedHigh = 0;
    } else {
      this.low = 0;
      this.high = 0;
      this.consumedLow = low;
      this.consumedHigh = high;
    }
    return true;
  }

  /** Unlinks the entry and consumes under one hold of the lock; EPOLLOUT wakes the others if something was taken. */
  *removeWaitAndConsume(entry: WaitEntry): Step<boolean> {
    yield* this.waiters.lock.lock();
    const consumed = yield* this.consume();
    this.waiters.unlink(entry);
    if (consumed) yield* this.waiters.wakeLocked(EPOLLOUT);
    yield* this.waiters.lock.unlock();
    return consumed;
  }

  /** Lock held: adds an unsigned 64-bit value if the sum stays below 2^64-1; false (nothing added) where it does not. */
  *add(low: number, high: number): Step<boolean> {
    yield writes(this, "count");
    const sumLow = (this.low >>> 0) + (low >>> 0);
    const sumHigh = (this.high >>> 0) + (high >>> 0) + (sumLow > 0xffff_ffff ? 1 : 0);
    if (sumHigh > 0xffff_ffff || (sumHigh === 0xffff_ffff && (sumLow | 0) === -1)) return false;
    this.low = sumLow | 0;
    this.high = sumHigh | 0;
    return true;
  }

  /** The ready mask, sampled without the lock. */
  *sample(): Step<number> {
    yield reads(this, "count");
    const { low, high } = this;
    let mask = low !== 0 || high !== 0 ? EPOLLIN : 0;
    if (high !== -1 || (low >>> 0) < 0xffff_fffe) mask |= EPOLLOUT;
    if (high === -1 && low === -1) mask |= EPOLLERR;
    return mask;
  }
}
block(EventfdContext, "low", "high");

/** The open file of an eventfd: it holds one reference to its context and hangs up when it goes. */
export class EventfdFile extends File {
  readonly kind = "eventfd";

  constructor(
    readonly context: EventfdContext,
    private readonly isNonBlocking: boolean,
  ) {
    super();
  }

  /** 8 bytes: the count, or 1 of a semaphore. -EINVAL, -EAGAIN, -EINTR, -EFAULT. */
  override *read(process: Process, address: number, length: number): Step<number> {
    if (length < 8) return -EINVAL;
    const { context } = this;
    yield* context.waiters.lock.lock();
    let consumed = yield* context.consume();
    if (!consumed && !this.isNonBlocking) {
      const sleeper = new Sleeper(context.sim, context.waiters);
      while (!consumed && (yield* sleeper.sleep())) consumed = yield* context.consume();
      sleeper.leave();
    }
    const low = context.consumedLow;
    const high = context.consumedHigh;
    if (consumed) yield* this.wakeGuarded(EPOLLOUT);
    yield* context.waiters.lock.unlock();
    if (!consumed) return this.isNonBlocking ? -EAGAIN : -EINTR;
    if (!process.memory.isWritable(address, 8)) return -EFAULT;
    process.memory.setU32(address, low >>> 0);
    process.memory.setU32(address + 4, high >>> 0);
    return 8;
  }

  /** Adds the 8 bytes' value; 0 adds nothing and wakes all the same. -EINVAL, -EFAULT, -EAGAIN, -EINTR. */
  override *write(process: Process, address: number, length: number): Step<number> {
    if (length !== 8) return -EINVAL;
    if (!process.memory.isReadable(address, 8)) return -EFAULT;
    const low = process.memory.getU32(address) | 0;
    const high = process.memory.getU32(address + 4) | 0;
    if (low === -1 && high === -1) return -EINVAL;
    const { context } = this;
    yield* context.waiters.lock.lock();
    let added = yield* context.add(low, high);
    if (!added && !this.isNonBlocking) {
      const sleeper = new Sleeper(context.sim, context.waiters);
      while (!added && (yield* sleeper.sleep())) added = yield* context.add(low, high);
      sleeper.leave();
    }
    if (added) {
      context.sim.emit(Ev.eventfd_write, context.id);
      yield* this.wakeGuarded(EPOLLIN);
    }
    yield* context.waiters.lock.unlock();
    if (!added) return this.isNonBlocking ? -EAGAIN : -EINTR;
    return 8;
  }

  override *poll(table: PollTable | null): Step<number> {
    if (table !== null) yield* table.queue(this.context.waiters);
    return yield* this.context.sample();
  }

  override *release(): Step<void> {
    yield* this.context.waiters.wake(EPOLLHUP);
    yield* this.context.put();
  }

  /** The lines of /proc/PID/fdinfo/FD. */
  fdinfo(): string {
    const { count, id, isSemaphore } = this.context;
    return `eventfd-count: ${count.toString(16).padStart(16)}\neventfd-id: ${id}\neventfd-semaphore: ${isSemaphore ? 1 : 0}\n`;
  }

  private *wakeGuarded(mask: number): Step<void> {
    const thread = current();
    thread.eventfdDepth++;
    yield* this.context.waiters.wakeLocked(mask);
    thread.eventfdDepth--;
  }
}

/** eventfd2(2): a descriptor, or -EINVAL for unknown flags, -EMFILE. `initialCount` is a u32. */
export function eventfd2(process: Process, initialCount: number, flags: number): number {
  if ((flags & ~(EFD_SEMAPHORE | EFD_NONBLOCK | EFD_CLOEXEC)) !== 0) return -EINVAL;
  if (!process.hasFreeDescriptor()) return -EMFILE;
  return process.install(new EventfdFile(new EventfdContext(process.sim, initialCount, flags), (flags & EFD_NONBLOCK) !== 0));
}

/** The context of an open file with a reference taken, or -EINVAL where it is no eventfd. */
export function eventfdContextOfFile(file: File): EventfdContext | number {
  if (!(file instanceof EventfdFile)) return -EINVAL;
  file.context.get();
  return file.context;
}

/** The context behind a descriptor with a reference taken, or -EBADF, -EINVAL. */
export function eventfdContextOf(process: Process, fd: number): EventfdContext | number {
  const file = process.file(fd);
  return file === null ? -EBADF : eventfdContextOfFile(file);
}
