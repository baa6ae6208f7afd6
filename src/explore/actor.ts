import { type Access, AccessKind, type Waitable } from "../sim/access.js";
import { type Context, ContextState, type Task } from "../sim/context.js";
import type { Step } from "../sim/step.js";
import { type Circle, Trail } from "./circle.js";

/** A context's part in an execution: the step it is in, and the access it announced. */
export class Actor {
  step: Step<void> | null = null;
  pending: Access | null = null;
  readonly task: Task;
  readonly trail = new Trail();
  /** It goes round until somebody else writes to one of these; null: it does not. */
  circle: Circle | null = null;

  constructor(readonly context: Context) {
    this.task = context.task;
  }

  /** In its body, between its entry and its end. */
  get isUnderWay(): boolean {
    return this.step !== null;
  }

  get canMove(): boolean {
    if (this.step === null) return this.task.state === ContextState.READY;
    return this.pending === null || isOpen(this.pending);
  }

  /** Somebody changed what it looks at. */
  goOn(): void {
    this.circle = null;
    this.trail.forget();
  }

  ended(): void {
    this.step = null;
    this.pending = null;
    if (this.task.state === ContextState.RUNNING) this.task.state = ContextState.IDLE;
  }
}

function isOpen(access: Access): boolean {
  if (access.kind !== AccessKind.ACQUIRE && access.kind !== AccessKind.BLOCK) return true;
  return (access.object as Waitable).isOpen();
}
