import { reads, type Waitable, writes } from "../sim/access.js";
import { Context } from "../sim/context.js";
import { Cost } from "../sim/cost.js";
import type { Sim } from "../sim/sim.js";
import type { Step } from "../sim/step.js";
import type { HostCpu } from "./cpu.js";

/** CPUs that share threads, and how long one of them keeps a CPU while others wait. */
export interface RunQueueGroup {
  readonly sliceNs: number;
  readonly queues: RunQueue[];
  /**
   * Slices that may still end in the middle of what a thread does; Infinity where time says when they do. In a search they
   * end at any moment: without a bound two threads would have the CPU by turns for ever, none of them long enough to do
   * anything. Once there are none left, a slice lasts until its thread has nothing to do.
   */
  endsLeft: number;
}

/**
 * The threads of one CPU by turns: round robin with a slice. A thread that was asleep runs before those that were not, and at
 * once, as under Linux's fair scheduler, whose sleepers are owed time. A CPU that has nothing to do takes what waits longest
 * for the fullest one; a thread that wakes while its own CPU is busy goes to an idle one. What a change of thread does to a
 * vCPU are the preempt notifiers: {@link HostCpu.gaveWay} follows its put, and its load follows when it is entered again.
 *
 * This context is the timer at the end of the slice.
 */
export class RunQueue extends Context {
  private readonly woken: Context[] = [];
  private readonly waiting: Context[] = [];
  private sliceEndNs = 0;
  /** The thread on the CPU was asleep before it got it. */
  private hasSlept = false;
  /** The thread that one that slept took the CPU from, and what is left of its slice. */
  private interrupted: Context | null = null;
  private restNs = 0;
  private readonly lull = new Lull(this);

  private constructor(
    private readonly sim: Sim,
    private readonly hostCpu: HostCpu,
    private readonly group: RunQueueGroup,
  ) {
    super(`slice of ${hostCpu.name}`, "timer", hostCpu.cpu);
  }

  /** From now on the CPU's threads have it by turns. */
  static add(sim: Sim, hostCpu: HostCpu, group: RunQueueGroup): void {
    const queue = new RunQueue(sim, hostCpu, group);
    group.queues.push(queue);
    hostCpu.runQueue = queue;
  }

  /** Does more than one thread want this CPU? */
  *isContended(): Step<boolean> {
    yield reads(this.group, "threads");
    return this.runnable > 1;
  }

  /** The one on it among them. */
  private get runnable(): number {
    return this.woken.length + this.waiting.length + (this.hostCpu.thread === null ? 0 : 1);
  }

  /** Does a thread wait here? */
  has(thread: Context): boolean {
    return this.waiting.includes(thread) || this.woken.includes(thread);
  }

  /** A thread is about to run. False: it has to wait for the CPU, and is entered again when it has it. */
  *claim(thread: Context): Step<boolean> {
    yield writes(this.group, "threads");
    if (this.hostCpu.thread === thread) return true;
    if (this.has(thread)) return false;
    if (this.hostCpu.thread === null) {
      this.give(thread, false);
      return true;
    }
    this.waiting.push(thread);
    this.startSlice();
    return false;
  }

  /** The CPU that a thread of this one wakes on: an idle one where its own is busy. */
  *placeFor(): Step<HostCpu> {
    yield reads(this.group, "threads");
    const queue = this.runnable === 0 ? this : (this.group.queues.find((each) => each.runnable === 0) ?? this);
    return queue.hostCpu;
  }

  /** A thread wakes while another has the CPU. True: that one is to give way. */
  *enqueueWoken(thread: Context): Step<boolean> {
    yield writes(this.group, "threads");
    this.woken.push(thread);
    const isOwedAsMuch = this.hasSlept && this.sim.now() < this.sliceEndNs;
    if (isOwedAsMuch) this.startSlice();
    return !isOwedAsMuch;
  }

  /** The thread on the CPU has stopped running, and wants to go on: at the end of its slice behind all others. */
  *gaveWay(thread: Context): Step<void> {
    yield writes(this.group, "threads");
    this.restNs = this.sliceEndNs - this.sim.now();
    this.interrupted = this.restNs > 0 ? thread : null;
    if (this.restNs > 0) this.waiting.unshift(thread);
    else this.waiting.push(thread);
    this.pick();
  }

  /** The thread on the CPU sleeps. */
  *release(): Step<void> {
    yield writes(this.group, "threads");
    if (this.runnable === 1) this.pull();
    this.pick();
  }

  private pick(): void {
    const woken = this.woken.shift();
    const next = woken ?? this.waiting.shift() ?? null;
    const isChange = next !== this.hostCpu.thread;
    this.give(next, woken !== undefined);
    if (next === null) return;
    if (woken !== undefined) this.sim.wakeAfter(next, Cost.wake);
    else this.sim.wake(next, isChange ? this.sim.costOf(Cost.guestSwitch) : 0);
  }

  private give(thread: Context | null, hasSlept: boolean): void {
    this.hasSlept = hasSlept;
    this.hostCpu.take(thread);
    const goesOn = thread !== null && thread === this.interrupted;
    this.sliceEndNs = this.sim.now() + (goesOn ? this.restNs : this.group.sliceNs);
    if (goesOn) this.interrupted = null;
    if (this.isWanted) this.startSlice();
  }

  /** What has waited longest where most wait comes here. */
  private pull(): void {
    const fullest = this.group.queues.reduce((most, each) => (each.waiting.length > most.waiting.length ? each : most), this);
    const thread = fullest.waiting.shift();
    if (thread === undefined) return;
    thread.cpu = this.cpu;
    this.waiting.push(thread);
  }

  private startSlice(): void {
    this.sim.wakeAt(this, this.sliceEndNs);
  }

  /** The end of a slice. */
  override *body(): Step<void> {
    yield writes(this.group, "threads");
    if (!this.isWanted) return;
    if (this.sim.now() < this.sliceEndNs) {
      this.startSlice();
      return;
    }
    if (this.group.endsLeft > 0) this.group.endsLeft--;
    else {
      yield* this.sim.wait(this.lull);
      yield writes(this.group, "threads");
      if (!this.isWanted) return;
    }
    yield* this.hostCpu.preempt();
  }

  /** Does a thread wait for this CPU? */
  get isWanted(): boolean {
    return this.woken.length + this.waiting.length > 0;
  }

  /** The thread on the CPU waits for something outside of it: the guest in a WFI that does not exit, the loop in its next turn. */
  get isInLull(): boolean {
    const { thread } = this.hostCpu;
    return thread === null || this.sim.isIdle(thread);
  }
}

/** Open where nobody loses anything by the end of a slice: whoever else can move has moved. */
class Lull implements Waitable {
  constructor(private readonly queue: RunQueue) {}

  isOpen(): boolean {
    return !this.queue.isWanted || this.queue.isInLull;
  }
}
