import { type Access, AccessKind, type Waitable } from "../sim/access.js";
import { type Context, ContextState, type Task } from "../sim/context.js";
import type { Step } from "../sim/step.js";

/** Reads in a row without a write after which an actor counts as spinning: somebody else has to move. */
const SPIN = 64;

/** What an actor did last, where that was no access: it was entered, or it has not begun. */
const ENTERED = -1;

/** A context's part in an execution: the step it is in, and the access it announced. */
export class Actor {
  step: Step<void> | null = null;
  pending: Access | null = null;
  readonly task: Task;
  /** The kind of its last access, or {@link ENTERED}. */
  private last: number = ENTERED;
  private readsInARow = 0;

  constructor(readonly context: Context) {
    this.task = context.task;
  }

  get isSpinning(): boolean {
    return this.readsInARow >= SPIN;
  }

  /** In its body, between its entry and its end. */
  get isUnderWay(): boolean {
    return this.step !== null;
  }

  get canMove(): boolean {
    if (this.step === null) return this.task.state === ContextState.READY;
    return this.pending === null || isOpen(this.pending);
  }

  /**
   * Could switching away here matter? Giving a lock back commutes with what others do before it, and so does taking
   * one, or entering, with what they do after it, as long as the next access waits for nothing.
   */
  get isSwitchPoint(): boolean {
    const next = this.pending?.kind;
    if (next === AccessKind.RELEASE) return false;
    const isFree = this.last !== AccessKind.ACQUIRE && this.last !== ENTERED;
    return isFree || next === AccessKind.ACQUIRE || next === AccessKind.BLOCK;
  }

  entered(step: Step<void>): void {
    this.step = step;
    this.last = ENTERED;
  }

  /** It performs `access`. True if that may change something. */
  performed(access: Access): boolean {
    this.last = access.kind;
    if (access.kind === AccessKind.READ || access.kind === AccessKind.BLOCK) {
      this.readsInARow++;
      return false;
    }
    this.readsInARow = 0;
    return true;
  }

  /** Something was changed: if it read in circles, it may find that now. */
  hope(): void {
    if (this.readsInARow >= SPIN) this.readsInARow = 0;
  }

  ended(): void {
    this.step = null;
    this.pending = null;
    this.last = ENTERED;
    this.readsInARow = 0;
    if (this.task.state === ContextState.RUNNING) this.task.state = ContextState.IDLE;
  }
}

function isOpen(access: Access): boolean {
  if (access.kind !== AccessKind.ACQUIRE && access.kind !== AccessKind.BLOCK) return true;
  return (access.object as Waitable).isOpen();
}
