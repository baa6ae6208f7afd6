import { blocked, type Waitable } from "./access.js";
import { type Context, ContextState, current, setCurrent, type Task } from "./context.js";
import { type CostTable, FREE_OF_COST } from "./cost.js";
import type { EventArgument, EventSink } from "./event.js";
import { type Hazards, hazardsWith } from "./hazards.js";
import { Random } from "./random.js";
import { ReadyQueue } from "./ready-queue.js";
import { STRAIGHT, type Step } from "./step.js";

/** Nothing else can run and the condition does not hold. */
export class Deadlock extends Error {}

/** Hears what a step does to the scheduler and to the clocks: what an explorer needs to tell which steps commute. */
export interface SimWatch {
  /** A context became ready, or was ready and is woken again. */
  woke(task: Task): void;
  /** A wake was taken back. */
  cancelled(task: Task): void;
  /** Somebody wants to know whether a context is idle. */
  asked(task: Task): void;
  readClock(): void;
  wroteClock(): void;
}

/** What a world begins with: all absent is one CPU, no cost, no trace, every rule in force. */
export interface SimOptions {
  /** Physical CPUs; each has a clock of its own. Default 1. */
  cpus?: number;
  seed?: number;
  costs?: CostTable;
  trace?: EventSink | null;
  /** Rules to disable; default none. */
  hazards?: Partial<Hazards> | undefined;
}

/**
 * The world of one run: virtual clocks, ready contexts in time order, events, random numbers. No wall clock reaches it.
 */
export class Sim {
  /** Nanoseconds of virtual time each physical CPU has reached. */
  readonly clock: Float64Array;
  readonly random: Random;
  readonly hazards: Hazards;
  /** Replaces run-to-completion while an explorer drives contexts one access at a time. */
  explored = false;
  watch: SimWatch | null = null;
  /** What {@link OnePerWorld} keeps here. */
  readonly ones: unknown[] = [];
  private readonly costs: CostTable;
  private readonly ready = new ReadyQueue();
  private sink: EventSink | null;
  private lastEvent = 0;

  constructor(options: SimOptions = {}) {
    this.clock = new Float64Array(options.cpus ?? 1);
    this.random = new Random(options.seed ?? 1);
    this.hazards = hazardsWith(options.hazards);
    this.costs = options.costs ?? FREE_OF_COST;
    this.sink = options.trace ?? null;
  }

  /** Spinlocks that the running context holds: nothing may block above 0. The straight build has none. */
  spinlocksHeld(): number {
    return STRAIGHT ? 0 : current().spins;
  }

  get cpus(): number {
    return this.clock.length;
  }

  /** The clock of the running context's CPU, nanoseconds. */
  now(): number {
    if (!STRAIGHT) this.watch?.readClock();
    return this.clock[current().cpu];
  }

  /** Charges one primitive (`Cost.exit`) to the running context's CPU. */
  charge(primitive: number): void {
    if (!STRAIGHT && this.costs[primitive] !== 0) this.watch?.wroteClock();
    this.clock[current().cpu] += this.costs[primitive];
  }

  /** Charges plain nanoseconds to the running context's CPU. */
  spend(ns: number): void {
    if (!STRAIGHT && ns !== 0) this.watch?.wroteClock();
    this.clock[current().cpu] += ns;
  }

  /** What one primitive costs, nanoseconds. */
  costOf(primitive: number): number {
    return this.costs[primitive];
  }

  /** Makes a context due `delayNs` after now; an earlier due time that it already has stays. Whether it was idle, {@link isIdle} tells. */
  wake(context: Context, delayNs: number): void {
    const { task } = context;
    if (!STRAIGHT) this.watch?.woke(task);
    if (task.state === ContextState.READY) return this.hasten(task, this.now() + delayNs);
    task.due = this.clock[current().cpu] + delayNs;
    this.queue(task);
  }

  /** {@link wake}, the cost of a primitive from now: what the primitive delays. */
  wakeAfter(context: Context, primitive: number): void {
    const { task } = context;
    if (!STRAIGHT) this.watch?.woke(task);
    if (task.state === ContextState.READY) return this.hasten(task, this.now() + this.costs[primitive]);
    task.due = this.clock[current().cpu] + this.costs[primitive];
    this.queue(task);
  }

  wakeAt(context: Context, timeNs: number): void {
    const { task } = context;
    if (!STRAIGHT) this.watch?.woke(task);
    if (task.state === ContextState.READY) return this.hasten(task, timeNs);
    task.due = timeNs;
    this.queue(task);
  }

  private hasten(task: Task, timeNs: number): void {
    if (timeNs >= task.due) return;
    task.due = timeNs;
    this.ready.move(task);
  }

  private queue(task: Task): void {
    task.cause = current().cause;
    task.state = ContextState.READY;
    this.ready.add(task);
  }

  /** Takes back a wake: a timer that is stopped. */
  cancel(context: Context): void {
    const { task } = context;
    if (!STRAIGHT) this.watch?.cancelled(task);
    if (task.state !== ContextState.READY) return;
    this.ready.remove(task);
    task.state = ContextState.IDLE;
  }

  /** Is it neither running nor woken? Whoever decides by that asks here, so that an explorer knows. */
  isIdle(context: Context): boolean {
    if (!STRAIGHT) this.watch?.asked(context.task);
    return context.task.state === ContextState.IDLE;
  }

  /** The contexts that wait to be entered: what an explorer chooses from. */
  readyContexts(): readonly Context[] {
    return this.ready.toArray().map((task) => task.context);
  }

  /** Takes a ready context to run it out of turn, not before its due time: an explorer's choice. */
  enter(context: Context): void {
    const { task } = context;
    this.ready.remove(task);
    task.state = ContextState.RUNNING;
    if (this.clock[task.cpu] >= task.due) return;
    this.clock[task.cpu] = task.due;
    this.watch?.wroteClock();
  }

  isQuiet(): boolean {
    return this.ready.size === 0;
  }

  /** Runs contexts in time order until none is ready. */
  *settle(): Step<void> {
    while (this.ready.size > 0) yield* this.runNext();
  }

  /** Runs every context due before `timeNs`, then sets all clocks to at least that time. */
  *runUntil(timeNs: number): Step<void> {
    while (this.ready.size > 0 && this.next().due < timeNs) yield* this.runNext();
    for (let cpu = 0; cpu < this.clock.length; cpu++) if (this.clock[cpu] < timeNs) this.clock[cpu] = timeNs;
  }

  /** {@link runUntil}, and what is due at that very time too. */
  *runThrough(timeNs: number): Step<void> {
    while (this.ready.size > 0 && this.next().due <= timeNs) yield* this.runNext();
    yield* this.runUntil(timeNs);
  }

  /** Whoever may block says so here, also where nothing is to be waited for: under a spinlock it must not. */
  mightSleep(): void {
    if (this.spinlocksHeld() > 0) throw new Deadlock(`${current().name} would sleep with a spinlock held`);
  }

  /**
   * The one way to block inside a step: other ready contexts run, nested, in time order, until `what` is open. Under
   * an explorer the context is suspended instead, and announces that before it looks: the look is an access like others.
   */
  *wait(what: Waitable): Step<void> {
    const waiter = current();
    this.mightSleep();
    if (!STRAIGHT && this.explored) yield blocked(what);
    while (!what.isOpen()) {
      if (!this.explored) {
        if (this.ready.size === 0) throw new Deadlock(`${waiter.name} waits for ${what.constructor.name} and nothing else can run`);
        yield* this.runNext();
      }
      yield blocked(what); // before the next look
    }
  }

  /** The task that can start first: its due time is now when it can, which its CPU's clock may put off. */
  private next(): Task {
    for (;;) {
      const first = this.ready.first();
      if (this.clock[first.cpu] <= first.due) return first;
      first.due = this.clock[first.cpu];
      this.ready.move(first);
      if (this.ready.first() === first) return first;
    }
  }

  private *runNext(): Step<void> {
    const next = this.next();
    this.ready.remove(next);
    next.state = ContextState.RUNNING;
    const interrupted = setCurrent(next);
    this.clock[next.cpu] = next.due;
    if (this.clock[interrupted.cpu] < next.due && interrupted.kind !== "boot") this.clock[interrupted.cpu] = next.due;
    yield* next.context.body();
    setCurrent(interrupted);
    if (next.state === ContextState.RUNNING) next.state = ContextState.IDLE;
  }

  get tracing(): boolean {
    return this.sink !== null;
  }

  /** Starts or ends the recording of events. Returns who heard them before. */
  traceTo(sink: EventSink | null): EventSink | null {
    const before = this.sink;
    this.sink = sink;
    return before;
  }

  /**
   * Emits an event (`Ev.kvm_set_irq`) with its arguments. Its cause is the event before it in this context, or the one
   * that woke the context. Nothing is done, and nothing allocated, while nobody listens.
   */
  emit(kind: number, a?: EventArgument, b?: EventArgument, c?: EventArgument, d?: EventArgument, e?: EventArgument, f?: EventArgument): void {
    if (this.sink !== null) this.record(this.sink, kind, a, b, c, d, e, f);
  }

  private record(sink: EventSink, kind: number, a?: EventArgument, b?: EventArgument, c?: EventArgument, d?: EventArgument, e?: EventArgument, f?: EventArgument): void {
    const context = current();
    const id = ++this.lastEvent;
    sink.event(this, id, context.cause, kind, a, b, c, d, e, f);
    context.cause = id;
  }
}
