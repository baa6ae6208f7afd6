import { reads, shared, writes } from "../sim/access.js";
import { Context } from "../sim/context.js";
import type { Step } from "../sim/step.js";

/** Signals of one thread: pending, and blocked by its mask. Numbers 1 to 64. */
export class Signals {
  private pendingLo = 0;
  private pendingHi = 0;
  private blockedLo = 0;
  private blockedHi = 0;

  /** Makes a signal pending; the sender interrupts the thread afterwards. */
  *raise(signal: number): Step<void> {
    yield writes(this, "pendingLo");
    if (signal <= 32) this.pendingLo |= 1 << (signal - 1);
    else this.pendingHi |= 1 << (signal - 33);
  }

  /** The thread's handler ran, or it was taken by sigwait. */
  *consume(signal: number): Step<void> {
    yield writes(this, "pendingLo");
    if (signal <= 32) this.pendingLo &= ~(1 << (signal - 1));
    else this.pendingHi &= ~(1 << (signal - 33));
  }

  /** Would a pending signal interrupt the thread now? */
  *isPending(): Step<boolean> {
    yield reads(this, "pendingLo");
    return (this.pendingLo & ~this.blockedLo) !== 0 || (this.pendingHi & ~this.blockedHi) !== 0;
  }

  /** The mask of sigprocmask, one bit per signal; only the thread itself changes it. */
  block(lo: number, hi: number): void {
    this.blockedLo = lo | 0;
    this.blockedHi = hi | 0;
  }

  get maskLo(): number {
    return this.blockedLo;
  }
  get maskHi(): number {
    return this.blockedHi;
  }
}
shared(Signals, "pendingLo");

/** A thread of user space that signals can be sent to. */
export abstract class SignalledContext extends Context {
  readonly signals = new Signals();

  /** The thread has handled a signal. */
  *consume(signal: number): Step<void> {
    yield* this.signals.consume(signal);
    const isPending = yield* this.signals.isPending();
    yield writes(this, "signalPending");
    this.signalPending = isPending;
  }
}

const NO_SIGNALS = new Signals();

/** The signals of the running thread; none can be sent to a context that is no {@link SignalledContext}. */
export function signalsOf(context: Context): Signals {
  return context instanceof SignalledContext ? context.signals : NO_SIGNALS;
}
