import type { Step } from "./step.js";

/** Where a context stands with its scheduler. */
export const enum ContextState {
  IDLE,
  READY,
  RUNNING,
}

/** The kinds of things that can really run at once (design, section 4, rule 6; kvm-irq-core.md 0.4). */
export type ContextKind = "user" | "vcpu" | "worker" | "hardirq" | "hardware" | "timer" | "boot";

let created = 0;

/** Numbers the contexts created from now on from `first`: an explorer calls it before it builds a world. Returns the next one's number before. */
export function numberContexts(first = 0): number {
  const before = created;
  created = first;
  return before;
}

/**
 * What the scheduler, the locks and the tracer keep of a context: the kernel's task_struct. All contexts share this one
 * shape, whatever they do, so that the code that every interrupt passes meets a single one.
 */
export class Task {
  state = ContextState.IDLE;
  /** Order of creation in its world: the same context has the same in every run of one exploration. */
  readonly number = created++;
  /** Its place among an exploration's actors, -1 outside of one. */
  seat = -1;
  /** Place in the scheduler's heap, -1 when not queued. */
  slot = -1;
  /** Nanoseconds of virtual time at which it is due; -0 keeps the field one of doubles from the start. */
  due = -0;
  /** Order among equals: first woken, first run. */
  order = 0;
  /** The event that woke it: the cause of the first event of its next run. */
  cause = 0;
  /** Spinlocks held, in the stepped build: see {@link Sim.spinlocksHeld}. */
  spins = 0;
  /** Depth of eventfd wake-ups this thread is inside (kvm-irq-core.md 1.4). */
  eventfdDepth = 0;
  /** Open SRCU reader sections, in the order in which they were entered: their domains, and what each was given. The stepped build alone keeps them. */
  readonly sections: object[] = [];
  readonly sectionIndices: number[] = [];
  /** Locks held, in the order in which they were taken; the stepped build alone keeps them. */
  readonly locks: { readonly lockClass: string }[] = [];

  constructor(
    readonly context: Context,
    readonly name: string,
    readonly kind: ContextKind,
    public cpu: number,
  ) {}
}

/**
 * One thread of execution: a user thread, a vCPU thread with its guest, a work queue's worker, an interrupt handler
 * of a CPU, or hardware that acts by itself. A sleeping actor's body has returned; a wake enters it again.
 */
export abstract class Context {
  readonly task: Task;
  /** A signal is pending for this thread: interruptible sleeps end with EINTR. */
  signalPending = false;

  /** @param cpu the physical CPU whose clock this context's work is charged to */
  constructor(
    readonly name: string,
    readonly kind: ContextKind,
    cpu: number,
  ) {
    this.task = new Task(this, name, kind, cpu);
  }

  get cpu(): number {
    return this.task.cpu;
  }

  set cpu(cpu: number) {
    this.task.cpu = cpu;
  }

  get state(): ContextState {
    return this.task.state;
  }

  /** Nanoseconds of virtual time at which it is due. */
  get due(): number {
    return this.task.due;
  }

  /** The event that the next one of this context follows from. */
  get cause(): number {
    return this.task.cause;
  }

  set cause(event: number) {
    this.task.cause = event;
  }

  /** One activation, to its end or to the next sleep of the whole actor. */
  abstract body(): Step<void>;
}

class Boot extends Context {
  constructor() {
    super("boot", "boot", 0);
  }
  *body(): Step<void> {}
}

/** What runs when no scheduler has started anything: set-up code and tests. */
export const BOOT: Context = new Boot();

/** A field, not a variable: an engine knows that a field has always held the one shape, and tests nothing. */
class Running {
  task = BOOT.task;
}
const running = new Running();

/** The task that is running now: the kernel's `current`. */
export function current(): Task {
  return running.task;
}

/** Switches `current`; drivers only. Returns the one before. */
export function setCurrent(next: Task): Task {
  const before = running.task;
  running.task = next;
  return before;
}
