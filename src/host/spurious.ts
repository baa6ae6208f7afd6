import { reads } from "../sim/access.js";
import { Context } from "../sim/context.js";
import { Ev } from "../sim/event.js";
import type { Step } from "../sim/step.js";
import { type IrqDesc, Irqs, type IrqTable } from "./irq/desc.js";
import { handleEvent } from "./irq/flow.js";
import { disableLocked } from "./irq/state.js";
import { Irqf, IrqReturn } from "./irq/types.js";

/** Unhandled interrupts further apart than this start a new count, nanoseconds (K20). */
const UNHANDLED_WINDOW_NS = 100e6;
const POLL_INTERVAL_NS = 100e6;
const WINDOW = 100_000;
const TOO_MANY = 99_900;

/**
 * Judges one run of a line's handlers (host-irq.md 1.10). More than 99,900 of 100,000 unhandled: the line is disabled
 * and polled (K19). Runs while INPROGRESS, which alone protects the counters.
 */
export function* noteInterrupt(desc: IrqDesc, result: number): Step<void> {
  if (desc.isPolled) return;
  const { hazards } = desc.table.sim;
  if (result > (IrqReturn.HANDLED | IrqReturn.WAKE_THREAD)) {
    desc.table.warn(desc.irq, `irq event ${desc.irq}: bogus return value ${result}`);
    return;
  }
  let verdict = result;
  if (result === IrqReturn.WAKE_THREAD) {
    if (!desc.judgesThreads) {
      desc.judgesThreads = true;
      return;
    }
    yield reads(desc, "threadsHandled");
    const handled = desc.threadsHandled;
    verdict = handled === desc.threadsHandledLast ? IrqReturn.NONE : IrqReturn.HANDLED;
    desc.threadsHandledLast = handled;
  } else if (result & IrqReturn.WAKE_THREAD) desc.judgesThreads = false;
  if (verdict === IrqReturn.NONE) {
    const now = desc.table.sim.now();
    const isNew = now > desc.lastUnhandledNs + UNHANDLED_WINDOW_NS && !hazards.countForEver;
    desc.irqsUnhandled = isNew ? 1 : desc.irqsUnhandled + 1;
    desc.lastUnhandledNs = now;
  }
  if ((desc.irqsUnhandled === 0 && !hazards.countHandled) || ++desc.irqCount < WINDOW) return;
  desc.irqCount = 0;
  if (desc.irqsUnhandled > TOO_MANY) yield* disableForGood(desc);
  desc.irqsUnhandled = 0;
}

function* disableForGood(desc: IrqDesc): Step<void> {
  const { table } = desc;
  table.warn(desc.irq, `irq ${desc.irq}: nobody cared`);
  yield* desc.lock.lock();
  desc.state |= Irqs.SPURIOUS_DISABLED;
  yield* disableLocked(desc);
  yield* desc.lock.unlock();
  table.sim.emit(Ev.irq_disabled, desc.irq);
  table.spuriousPoll.start();
}

/**
 * Polls the lines that were disabled as spurious, every 100 ms, while there is one that polling may serve: shared by at
 * least two and no timer's. It never enables a line again.
 */
export class SpuriousPoll extends Context {
  constructor(private readonly table: IrqTable) {
    super("poll_spurious_irqs", "timer", 0);
  }

  start(): void {
    this.table.sim.wake(this, POLL_INTERVAL_NS);
  }

  override *body(): Step<void> {
    let hasMore = false;
    for (let irq = 1; irq < this.table.end; irq++) {
      const desc = this.table.get(irq);
      if (desc !== null && (yield* this.poll(desc))) hasMore = true;
    }
    if (hasMore) this.start();
  }

  /** True if the line is one to be polled again. */
  private *poll(desc: IrqDesc): Step<boolean> {
    yield* desc.lock.lock();
    let isPollable = false;
    if (desc.state & Irqs.SPURIOUS_DISABLED && !desc.inProgress) {
      yield reads(desc, "actions");
      const first = desc.actions;
      isPollable = first !== null && (first.flags & (Irqf.SHARED | Irqf.TIMER)) === Irqf.SHARED;
      if (first !== null && isPollable) {
        yield reads(first, "next");
        isPollable = first.next !== null;
      }
      if (isPollable) {
        desc.isPolled = true;
        yield* handleEvent(desc);
        desc.isPolled = false;
      }
    }
    yield* desc.lock.unlock();
    return isPollable;
  }
}
