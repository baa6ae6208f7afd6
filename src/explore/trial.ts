import { AccessKind, announce, beginDriving, clearAnnouncement, describeAccess, endDriving } from "../sim/access.js";
import { BOOT, type Context, ContextState, numberContexts, setCurrent, type Task } from "../sim/context.js";
import { type LifetimeWatch, numberLifetimes, watchLifetimes } from "../sim/lifetime.js";
import { forgetLockOrder, lockKept } from "../sim/lock.js";
import { PersonError } from "../sim/person-error.js";
import type { Sim, SimWatch } from "../sim/sim.js";
import { STRAIGHT } from "../sim/step.js";
import { Actor } from "./actor.js";
import { Ear } from "./ear.js";
import { bit, ClockUse, Footprint } from "./footprint.js";
import type { Heard, Property } from "./property.js";
import type { Rounds } from "./rounds.js";

/** A small concurrent program in a world of its own, ready to start. */
export interface Program {
  readonly sim: Sim;
  /** Who runs at once; contexts that these wake (workers, handlers, pollers) join by themselves. */
  readonly contexts: readonly Context[];
  readonly properties?: readonly Property[];
  /** What happened while it was set up: its own properties were told, others that are asked of it still have to be. */
  readonly before?: readonly Heard[];
  /**
   * What must hold after every access: null, or a sentence that says what does not. "dpor" asks it along one order
   * of each class of orders that differ only in steps that commute: what it says may rest on what one object holds, or
   * one lock protects, while what spans objects is asked of the states on that order alone.
   */
  check(): string | null;
  /** What must hold when everything has ended: asked of every end there is, under every reduction. */
  end?(): string | null;
  /** What is left when everything has ended, in a word: programs whose orders are compared say it. */
  outcome?(): string;
}

/** Builds the same program each time: no state outlives a trial. */
export type Scenario = () => Program;

/** Actors that one execution may have: sets of them are the bits of a number, and each has a letter in a schedule. */
export const ACTORS = 30;

/** Hears each step of an execution, when somebody wants to show it. */
export interface Recorder {
  /** Before the step: the actor, its place, what it does. */
  step(actor: Actor, seat: number): void;
}

/** Who follows an execution. */
export interface Followers {
  readonly recorder?: Recorder;
  /** Who is asked whether a context goes round; null where nobody is to be suspended for that. */
  readonly rounds: Rounds | null;
}

/**
 * One execution of a program, driven one access at a time. Actors are numbered in the order in which they appear:
 * the program's own first. Entering a context, from its wake to its first access, is a step of its own.
 */
export class Trial implements SimWatch, LifetimeWatch {
  readonly actors: Actor[] = [];
  readonly program: Program;
  /** What went wrong; the trial is over then. */
  violation: string | null = null;
  /** Actors whose contexts are woken and not entered yet, as bits; of the moment of the last {@link movable}. */
  ready = 0;
  /** Who moved, step by step. */
  readonly made: number[] = [];
  /** It used up its steps, and ended when every context had its turn: nothing is known of how it goes on. */
  isCut = false;
  private readonly properties: readonly Property[];
  private readonly ear: Ear;
  private readonly recorder: Recorder | null;
  private rounds: Rounds | null;
  private readonly ownPrint = new Footprint();
  private print = this.ownPrint;

  constructor(scenario: Scenario, { recorder, rounds }: Followers) {
    if (STRAIGHT) throw new PersonError("interleavings exist in the stepped build only: import from virq/stepped");
    forgetLockOrder();
    numberContexts();
    numberLifetimes();
    this.recorder = recorder ?? null;
    this.rounds = rounds;
    this.program = scenario();
    const { sim, contexts, properties } = this.program;
    this.properties = properties ?? [];
    this.ear = new Ear(this.properties, this);
    if (this.properties.some(({ hears }) => hears !== undefined)) sim.traceTo(this.ear);
    sim.explored = true;
    sim.watch = this;
    for (const context of contexts) sim.wake(context, 0);
    for (const context of sim.readyContexts()) this.meet(context.task);
  }

  get steps(): number {
    return this.made.length;
  }

  /** The actors that can make a step now, as bits; one that goes round only where all do. None: the trial is over, see {@link finish}. */
  movable(): number {
    const { actors } = this;
    let all = 0;
    let spinning = 0;
    let ready = 0;
    for (let i = 0; i < actors.length; i++) {
      const actor = actors[i];
      if (actor.task.state === ContextState.READY) ready |= 1 << i;
      if (!actor.canMove) continue;
      if (actor.circle !== null) spinning |= 1 << i;
      else all |= 1 << i;
    }
    this.ready = ready;
    return all === 0 ? spinning : all;
  }

  /**
   * Lets an actor enter its body, or perform the access it announced, and runs it up to its next one.
   * @param print takes what the step did
   */
  move(index: number, isChecked: boolean, print: Footprint = this.ownPrint): void {
    const actor = this.actors[index];
    this.print = print;
    if (this.made.at(-1) !== index) actor.trail.forget();
    this.made.push(index);
    const before = setCurrent(actor.task);
    const watcher = watchLifetimes(this);
    const driver = beginDriving(false);
    try {
      this.perform(actor, index);
      print.ran();
    } catch (error) {
      if (error instanceof PersonError) throw error;
      this.violation = error instanceof Error ? `${error.constructor.name}: ${error.message}` : String(error);
    } finally {
      endDriving(driver);
      watchLifetimes(watcher);
      clearAnnouncement();
      setCurrent(before);
    }
    if (this.violation !== null) return;
    this.violation = this.ear.broken ?? (isChecked ? this.check() : null);
    this.followRounds(actor, index, print);
  }

  /** Others that went round may find what this step changed; and the one that made it may go round itself. */
  private followRounds(actor: Actor, index: number, print: Footprint): void {
    if (this.rounds === null) return;
    if (print.changes) for (const other of this.actors) if (other !== actor && other.circle !== null && (print.alters.length > 0 || other.circle.isTouchedBy(print.object))) other.goOn();
    const { trail, circle } = actor;
    if (print.looksAround) trail.looksAround = true;
    if (circle !== null && !trail.repeats(circle.period, 1)) actor.goOn();
    if (!trail.isDue || circle !== null) return;
    const period = trail.period();
    const more = period === 0 ? 0 : this.rounds.leftAlone(this.made, index, period);
    if (more === Infinity) actor.circle = trail.circle(period);
    else trail.acquit(more);
  }

  /** From now on nobody is suspended: whoever drives gives all their turns. */
  endSuspensions(): void {
    this.rounds = null;
    for (const actor of this.actors) actor.goOn();
  }

  private perform(actor: Actor, index: number): void {
    const { print } = this;
    const { step, pending } = actor;
    print.announce(step === null ? null : pending, actor.task);
    this.recorder?.step(actor, index);
    actor.trail.add(step === null ? null : pending);
    if (step === null) {
      this.program.sim.enter(actor.context);
      actor.step = actor.context.body();
    } else if (pending !== null) announce(pending);
    this.resume(actor);
  }

  private resume(actor: Actor): void {
    if (actor.step === null) return;
    const { done, value } = actor.step.next();
    clearAnnouncement();
    if (!done) {
      actor.pending = value;
      return;
    }
    this.print.ends |= bit(actor.task.number);
    actor.ended();
    if (actor.task.spins > 0) this.violation = kept(actor);
  }

  private check(): string | null {
    for (const property of this.properties) {
      const broken = property.check?.() ?? null;
      if (broken !== null) return broken;
    }
    return this.program.check();
  }

  private end(): string | null {
    for (const property of this.properties) {
      const broken = property.end?.() ?? null;
      if (broken !== null) return broken;
    }
    return this.program.end?.() ?? null;
  }

  /** The end of a trial in which nobody can move: everything must have ended, and ended well. */
  finish(): void {
    if (this.violation !== null || this.isCut) return;
    const stuck = this.actors.filter((actor) => actor.isUnderWay);
    if (stuck.length === 0) this.violation = this.kept() ?? this.end();
    else
      this.violation = `deadlock: ${stuck
        .map((actor) => `${actor.context.name} ${actor.pending === null ? "" : describeAccess(actor.pending)}`.trim())
        .join("; ")}`;
  }

  private kept(): string | null {
    for (const actor of this.actors) {
      const broken = kept(actor);
      if (broken !== null) return broken;
    }
    return null;
  }

  /** A context that is woken for the first time becomes an actor. */
  private meet(task: Task): void {
    if (task.seat >= 0 || task === BOOT.task) return;
    if (this.actors.length === ACTORS) throw new PersonError(`more than ${ACTORS} contexts take part: explore a smaller scenario`);
    task.seat = this.actors.length;
    this.actors.push(new Actor(task.context));
  }

  woke(task: Task): void {
    this.print.wakes |= bit(task.number);
    this.print.clock |= ClockUse.READ;
    this.meet(task);
  }

  cancelled(task: Task): void {
    this.print.cancels |= bit(task.number);
  }

  asked(task: Task): void {
    this.print.asks |= bit(task.number);
  }

  readClock(): void {
    this.print.clock |= ClockUse.READ;
  }

  wroteClock(): void {
    this.print.clock |= ClockUse.WRITTEN;
  }

  looked(lifetime: number): void {
    note(this.print.looks, lifetime);
  }

  altered(lifetime: number): void {
    note(this.print.alters, lifetime);
  }

  raised(lifetime: number): void {
    note(this.print.raises, lifetime);
  }

  /** Which of two returns is the last, a count that both announce tells; without one they are in an order. */
  lowered(lifetime: number): void {
    note(this.print.kind === AccessKind.COUNT ? this.print.lowers : this.print.alters, lifetime);
  }

  get wantsLooks(): boolean {
    return this.print !== this.ownPrint;
  }

  /** Properties heard an event of the running step. */
  heard(hears: number, minds: number): void {
    this.print.hears |= hears;
    this.print.minds |= minds;
  }
}

function note(lifetimes: number[], lifetime: number): void {
  if (!lifetimes.includes(lifetime)) lifetimes.push(lifetime);
}

/** A lock, or a reader section, that a context kept when it ended: nobody else can leave it. */
function kept({ context: { name }, task }: Actor): string | null {
  const lock = lockKept(task);
  if (lock !== null) return `LockError: ${name} has ended and holds ${lock}`;
  return task.sections.length === 0 ? null : `LockError: ${name} has ended inside a reader section`;
}
