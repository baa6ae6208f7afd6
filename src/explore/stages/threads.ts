import type { EventfdContext } from "../../host/eventfd.js";
import { WaitEntry } from "../../host/poll.js";
import type { Process } from "../../host/process.js";
import { type Waitable, writes } from "../../sim/access.js";
import { Context, type ContextKind } from "../../sim/context.js";
import type { Sim } from "../../sim/sim.js";
import type { Step } from "../../sim/step.js";
import { EPOLLIN } from "../../uapi/eventfd.js";

/** A context of a program: it does one thing, and is done. Who waits for it does so by {@link waitFor}. */
export class Thread extends Context implements Waitable {
  isDone = false;
  /** What the thing answered: a system call's result. */
  result = 0;
  private isAwaited = false;

  constructor(
    name: string,
    kind: ContextKind,
    private readonly work: () => Step<unknown>,
    cpu = 0,
  ) {
    super(name, kind, cpu);
  }

  isOpen(): boolean {
    return this.isDone;
  }

  get watches(): object {
    return this;
  }

  override *body(): Step<void> {
    const result = yield* this.work();
    if (typeof result === "number") this.result = result;
    if (this.isAwaited) yield writes(this, "isDone");
    this.isDone = true;
  }

  /** For another context: waits until this one is done. {@link announceEnd} comes first, when the program is built. */
  *waitFor(sim: Sim): Step<void> {
    yield* sim.wait(this);
  }

  /** Says that somebody will wait for this one, so that its end is an access. */
  announceEnd(): void {
    this.isAwaited = true;
  }
}

/** A thread of user space in one ioctl. */
export function ioctl(name: string, process: Process, fd: number, request: number, argument: number): Thread {
  return new Thread(name, "user", () => process.ioctl(fd, request, argument));
}

/** A thread in close(2), once the others are done. */
export function close(process: Process, fd: number, after: readonly Thread[] = []): Thread {
  for (const thread of after) thread.announceEnd();
  function* work(): Step<number> {
    for (let i = 0; i < after.length; i++) yield* after[i].waitFor(process.sim);
    return yield* process.close(fd);
  }
  return new Thread("close", "user", work);
}

/** A device's handler that signals its eventfd, `times` in a row. */
export class Raise extends Context {
  constructor(
    private readonly eventfd: EventfdContext,
    private readonly times = 1,
    name = "raise",
  ) {
    super(name, "hardirq", 0);
  }

  override *body(): Step<void> {
    for (let i = 0; i < this.times; i++) yield* this.eventfd.signal();
  }
}

/** Wakes an owner when its resamplefd is signalled, as a driver's own wait entry does: the trigger is not its to signal (H32). */
export class Notice extends WaitEntry {
  constructor(
    private readonly sim: Sim,
    private readonly owner: Context,
  ) {
    super();
  }

  override *wake(mask: number): Step<number> {
    if ((mask & EPOLLIN) !== 0) this.sim.wake(this.owner, 0);
    return 1;
  }
}
