import { type Access, AccessKind, announce, beginDriving, clearAnnouncement, describeAccess, endDriving, type Waitable } from "../sim/access.js";
import { BOOT, type Context, ContextState, setCurrent } from "../sim/context.js";
import { forgetLockOrder } from "../sim/lock.js";
import { Ear } from "./ear.js";
import type { Property } from "./property.js";
import { PersonError } from "../sim/person-error.js";
import type { Sim } from "../sim/sim.js";
import { type Step, STRAIGHT } from "../sim/step.js";

/** A small concurrent program in a world of its own, ready to start. */
export interface Program {
  readonly sim: Sim;
  /** Who runs at once; contexts that these wake (workers, handlers, pollers) join by themselves. */
  readonly contexts: readonly Context[];
  readonly properties?: readonly Property[];
  /** What must hold after every access: null, or a sentence that says what does not. */
  check(): string | null;
  /** What must hold when everything has ended. */
  end?(): string | null;
}

/** Builds the same program each time: no state outlives a trial. */
export type Scenario = () => Program;

/** Reads in a row without a write after which an actor counts as spinning: somebody else has to move. */
const SPIN = 64;

/** A context's part in a trial: the step it is in, and the access it announced. */
class Actor {
  step: Step<void> | null = null;
  pending: Access | null = null;
  /** The kind of its last access; its run of reads. */
  last = AccessKind.BLOCK;
  readsInARow = 0;

  constructor(readonly context: Context) {}

  get isSpinning(): boolean {
    return this.readsInARow >= SPIN;
  }

  get canMove(): boolean {
    if (this.step === null) return this.context.state === ContextState.READY;
    return this.pending === null || isOpen(this.pending);
  }

  /**
   * Could switching away here matter? Giving a lock back commutes with what others do before it, and so does taking
   * one with what they do after it, as long as the next access waits for nothing.
   */
  get isSwitchPoint(): boolean {
    if (this.pending?.kind === AccessKind.RELEASE) return false;
    return this.last !== AccessKind.ACQUIRE || this.pending?.kind === AccessKind.ACQUIRE || this.pending?.kind === AccessKind.BLOCK;
  }
}

function isOpen(access: Access): boolean {
  if (access.kind !== AccessKind.ACQUIRE && access.kind !== AccessKind.BLOCK) return true;
  return (access.object as Waitable).isOpen();
}

/**
 * One execution of a program, driven one access at a time. Actors are numbered in the order in which they appear:
 * the program's own first.
 */
export class Trial {
  readonly actors: Actor[] = [];
  /** What went wrong; the trial is over then. */
  violation: string | null = null;
  /** One line per access, when asked for. */
  readonly lines: string[] = [];
  private readonly program: Program;
  private readonly properties: readonly Property[];
  private readonly ear: Ear;

  constructor(
    scenario: Scenario,
    private readonly isRecording = false,
  ) {
    if (STRAIGHT) throw new PersonError("interleavings exist in the stepped build only: import from virq/stepped");
    forgetLockOrder();
    this.program = scenario();
    this.program.sim.explored = true;
    this.properties = this.program.properties ?? [];
    this.ear = new Ear(this.properties);
    if (this.properties.some(({ hears }) => hears !== undefined)) this.program.sim.traceTo(this.ear);
    for (const context of this.program.contexts) {
      this.program.sim.wake(context, 0);
      this.actors.push(new Actor(context));
    }
    this.meet();
  }

  /** The actors that can make an access now. None: the trial is over, see {@link finish}. */
  movable(): number[] {
    const all: number[] = [];
    const spinning: number[] = [];
    for (let i = 0; i < this.actors.length; i++) if (this.actors[i].canMove) (this.actors[i].isSpinning ? spinning : all).push(i);
    return all.length > 0 ? all : spinning;
  }

  /** Does switching away from this actor cost a preemption: is it in the middle of its work? */
  isUnderWay(index: number): boolean {
    return this.actors[index].step !== null;
  }

  /** Lets an actor perform the access it announced, and runs it up to its next one. */
  move(index: number, isChecked: boolean): void {
    const actor = this.actors[index];
    const before = setCurrent(actor.context.task);
    const driver = beginDriving(false);
    try {
      this.perform(actor);
    } catch (error) {
      this.violation = error instanceof Error ? `${error.constructor.name}: ${error.message}` : String(error);
    } finally {
      endDriving(driver);
      clearAnnouncement();
      setCurrent(before);
    }
    if (this.violation !== null) return;
    this.meet();
    this.violation = this.ear.broken ?? (isChecked ? this.check() : null);
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
    if (this.violation !== null) return;
    const stuck = this.actors.filter((actor) => actor.step !== null);
    if (stuck.length === 0) this.violation = this.end();
    else
      this.violation = `deadlock: ${stuck
        .map((actor) => `${actor.context.name} ${actor.pending === null ? "" : describeAccess(actor.pending)}`.trim())
        .join("; ")}`;
  }

  private perform(actor: Actor): void {
    if (actor.step === null) {
      this.program.sim.enter(actor.context);
      actor.step = actor.context.body();
      if (!this.resume(actor) || actor.pending === null || !isOpen(actor.pending)) return;
    }
    const { pending } = actor;
    if (pending === null) return;
    if (this.isRecording) this.lines.push(`${actor.context.name}: ${describeAccess(pending)}`);
    actor.last = pending.kind;
    if (pending.kind === AccessKind.READ) actor.readsInARow++;
    else this.progress(actor);
    announce(pending);
    this.resume(actor);
  }

  /** Something was changed: whoever read in circles may find it now. */
  private progress(actor: Actor): void {
    actor.readsInARow = 0;
    for (const other of this.actors) if (other.isSpinning) other.readsInARow = 0;
  }

  /** False when its body has ended. */
  private resume(actor: Actor): boolean {
    if (actor.step === null) return false;
    const { done, value } = actor.step.next();
    clearAnnouncement();
    if (!done) {
      actor.pending = value;
      return true;
    }
    actor.step = null;
    actor.pending = null;
    actor.last = AccessKind.BLOCK;
    actor.readsInARow = 0;
    if (actor.context.state === ContextState.RUNNING) actor.context.task.state = ContextState.IDLE;
    return false;
  }

  /** Contexts that were woken for the first time become actors. */
  private meet(): void {
    for (const context of this.program.sim.readyContexts())
      if (context !== BOOT && !this.actors.some((actor) => actor.context === context)) this.actors.push(new Actor(context));
  }
}
