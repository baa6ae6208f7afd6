import { shared, type Waitable, writes } from "../../sim/access.js";
import { Context } from "../../sim/context.js";
import type { Step } from "../../sim/step.js";
import { type IrqActionEntry, type IrqDesc, Irqs } from "./desc.js";
import { unmaskIrq } from "./state.js";
import { type IrqAction, IrqReturn, type IrqThreadAction } from "./types.js";

/** The primary handler of a request that has only a thread. */
class DefaultPrimary implements IrqAction {
  *handler(): Step<number> {
    return IrqReturn.WAKE_THREAD;
  }
}
export const DEFAULT_PRIMARY: IrqAction = new DefaultPrimary();

/** The kernel thread `irq/<n>-<name>` of one action (host-irq.md 1.6). */
export class IrqThread extends Context {
  /** RUNTHREAD: a round is asked for. */
  mustRun = false;

  constructor(
    private readonly desc: IrqDesc,
    private readonly entry: IrqActionEntry,
    private readonly threadAction: IrqThreadAction,
  ) {
    super(`irq/${desc.irq}-${entry.name}`, "worker", 0);
  }

  override *body(): Step<void> {
    const { desc, entry } = this;
    const cpu = desc.table.cpus[this.cpu];
    yield* cpu.switchTo(this);
    for (;;) {
      yield writes(this, "mustRun");
      if (!this.mustRun) break;
      this.mustRun = false;
      const result = yield* this.threadAction.thread(desc.irq, entry.devId);
      if (result === IrqReturn.HANDLED) {
        yield writes(desc, "threadsHandled");
        desc.threadsHandled++;
      }
      yield* this.finalizeOneshot();
      desc.threadsActive--;
    }
    yield* cpu.switchTo(null);
  }

  /** The line opens again when the last thread of a ONESHOT line is through, and the hard part has ended (1.6). */
  private *finalizeOneshot(): Step<void> {
    const { desc, entry } = this;
    if (entry.threadMask === 0) return;
    yield* waitForHandlers(desc);
    yield writes(this, "mustRun");
    if (!this.mustRun) {
      desc.threadsOneshot &= ~entry.threadMask;
      if (desc.threadsOneshot === 0 && (desc.state & (Irqs.DISABLED | Irqs.MASKED)) === Irqs.MASKED) {
        if (desc.data.chip.eoiAfterThread) yield* desc.data.chip.eoi(desc.data);
        yield* unmaskIrq(desc);
      }
    }
    yield* desc.lock.unlock();
  }

  /** Quiet: neither running nor asked to. */
  isOpen(): boolean {
    return this.desc.table.sim.isIdle(this);
  }
}
shared(IrqThread, "mustRun");

class HandlersDone implements Waitable {
  constructor(private readonly desc: IrqDesc) {}
  isOpen(): boolean {
    return !this.desc.inProgress;
  }
}

/** Takes the descriptor's lock at a moment at which no handler runs. */
export function* waitForHandlers(desc: IrqDesc): Step<void> {
  for (;;) {
    yield* desc.lock.lock();
    if (!desc.inProgress) return;
    yield* desc.lock.unlock();
    yield* desc.table.sim.wait(new HandlersDone(desc));
  }
}

/** A handler answered WAKE_THREAD. INPROGRESS keeps the thread from clearing its ONESHOT bit in between. */
export function* wakeIrqThread(desc: IrqDesc, entry: IrqActionEntry): Step<void> {
  const { thread } = entry;
  if (thread === null) {
    desc.table.warn(desc.irq, `IRQ ${desc.irq} device ${entry.name} returned IRQ_WAKE_THREAD but no thread function available.`);
    return;
  }
  yield writes(thread, "mustRun");
  if (thread.mustRun) return;
  thread.mustRun = true;
  yield* desc.lock.lock();
  desc.threadsOneshot |= entry.threadMask;
  if (desc.table.sim.isIdle(thread)) thread.cpu = desc.effectiveCpu;
  yield* desc.lock.unlock();
  desc.threadsActive++;
  yield* desc.table.cpus[thread.cpu].wakeThread(thread);
}
