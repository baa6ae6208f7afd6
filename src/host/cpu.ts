import type { IrqPort } from "../arch/irq-port.js";
import { block, reads, type RestsOn, type Waitable, writes } from "../sim/access.js";
import { Context, current } from "../sim/context.js";
import { Cost } from "../sim/cost.js";
import { Ev } from "../sim/event.js";
import type { Sim } from "../sim/sim.js";
import type { Step } from "../sim/step.js";
import type { RunQueue } from "./run-queue.js";

/** What the host's IPIs are for: on Arm these are its SGIs (host-irq.md 2.6). */
export const enum Ipi {
  RESCHEDULE = 0,
  FUNCTION_CALL = 1,
  /** x86: something was posted to the vCPU that runs there. */
  POSTED = 2,
  /** x86: something was posted to a vCPU that is blocked there. */
  POSTED_WAKEUP = 3,
}
export const IPIS = 16;

/** What a CPU samples of the interrupt controller that signals it. */
export interface CpuController {
  connect(cpu: number, port: IrqPort): void;
  /** Is the interrupt signal of this CPU asserted? */
  isSignalled(cpu: number): boolean;
  /** The object whose accesses change that; the controller itself where it does not say. */
  signalOf?(cpu: number): object;
}

/** The guest that a CPU is running: a vCPU sets it at entry and clears it at exit. */
export interface GuestMode {
  /** An interrupt for the host came: the guest exits at once, or after the way of an IPI. */
  forceExit(isIpi: boolean): Step<void>;
  /** x86, posted interrupts: the vector that is this guest's processor's to take; absent or -1 for none. */
  readonly notificationVector?: number;
  /** It took that vector: something was posted. */
  notified?(isIpi: boolean): Step<void>;
}

/** Open while the CPU is in no interrupt handler. */
class HandlerGate implements Waitable {
  constructor(readonly watches: HostCpu) {}
  isOpen(): boolean {
    return this.watches.interruptDepth === 0;
  }
}

/** Open while the CPU runs no guest. */
class GuestGate implements Waitable {
  isInGuest = false;
  constructor(readonly watches: HostCpu) {}
  isOpen(): boolean {
    return !this.isInGuest;
  }
}

/**
 * One physical CPU of the host: its hard interrupt context, the thread that it runs, and the IPIs that it sends. Its
 * interrupt signal either forces its guest out or runs this context, which takes interrupts until the signal is gone.
 * How one interrupt is taken and an IPI sent is the architecture's.
 */
export abstract class HostCpu extends Context implements IrqPort, RestsOn {
  isOnline = true;
  /** Interrupt handlers on this CPU's stack. */
  interruptDepth = 0;
  /** The thread on this CPU; null is idle. */
  thread: Context | null = null;
  contextSwitches = 0;
  /** Another thread waits for this CPU: the one on it gives way at the next opportunity. */
  needsResched = false;
  /** More than one thread is runnable here, whatever {@link runQueue} knows. */
  isShared = false;
  /** Threads that have this CPU by turns; null: each takes it when it is woken. */
  runQueue: RunQueue | null = null;
  /** Threads of this CPU that were made runnable. */
  wakeups = 0;
  /** Acknowledged interrupts (IPIs included), and acknowledges that returned a special id. */
  interrupts = 0;
  spurious = 0;
  /** By {@link Ipi}: sent from here, and taken here. */
  readonly ipisSent = new Int32Array(IPIS);
  readonly ipisTaken = new Int32Array(IPIS);
  private guestMode: GuestMode | null = null;
  private readonly handlerGate = new HandlerGate(this);
  private readonly guestGate = new GuestGate(this);
  /** The signal that is being raised is an IPI: it comes after the cost of one. */
  private isIpiOnItsWay = false;

  constructor(
    readonly sim: Sim,
    cpu: number,
    private readonly controller: CpuController,
    private readonly peers: readonly HostCpu[],
  ) {
    super(`cpu${cpu}`, "hardirq", cpu);
    controller.connect(cpu, this);
  }

  /** Acknowledges one interrupt and handles it. */
  protected abstract takeOne(): Step<void>;

  /** The signal of an IPI leaves this CPU. */
  protected abstract sendSignal(to: number, kind: Ipi): Step<void>;

  /** Whoever looks at this CPU's interrupt looks at the signal from its controller. */
  get restsOn(): object {
    return this.controller.signalOf?.(this.cpu) ?? this.controller;
  }

  /** The guest that runs here, null while the host does. */
  get guest(): GuestMode | null {
    return this.guestMode;
  }

  /** The last thing before guest entry: an interrupt that is signalled already forces the exit at once. */
  *enterGuest(guest: GuestMode): Step<void> {
    yield writes(this, "IRQ");
    this.guestMode = guest;
    this.guestGate.isInGuest = true;
    if (this.controller.isSignalled(this.cpu)) yield* this.interruptGuest(guest, false);
  }

  /** The signal is asserted while a guest runs here. */
  protected *interruptGuest(guest: GuestMode, isIpi: boolean): Step<void> {
    yield* guest.forceExit(isIpi);
  }

  /** The first thing after guest exit. */
  *leaveGuest(): Step<void> {
    yield writes(this, "IRQ");
    this.guestMode = null;
    this.guestGate.isInGuest = false;
  }

  /** Samples the wire itself: two changes may reach this port in the other order. */
  *irq(): Step<void> {
    yield writes(this, "IRQ");
    if (!this.controller.isSignalled(this.cpu)) return;
    const isIpi = this.isIpiOnItsWay;
    if (this.guestMode !== null) yield* this.interruptGuest(this.guestMode, isIpi);
    else if (isIpi) this.sim.wakeAfter(this, Cost.ipi);
    else if (this.interruptDepth === 0) this.sim.wake(this, 0); // else the handler looks again before it ends
  }

  /** Is the interrupt signal of this CPU asserted? */
  *isInterruptPending(): Step<boolean> {
    yield reads(this, "IRQ");
    return this.controller.isSignalled(this.cpu);
  }

  override *body(): Step<void> {
    yield* this.takeInterrupts();
  }

  /**
   * Takes interrupts until none is signalled: in this CPU's own context, or on the stack of a vCPU thread that has just
   * left its guest and enables interrupts.
   */
  *takeInterrupts(): Step<void> {
    yield writes(this, "IRQ");
    while (this.interruptDepth > 0) {
      // A CPU runs one thing at a time: its threads stand still while it is in a handler.
      yield* this.sim.wait(this.handlerGate);
      yield writes(this, "IRQ");
    }
    while (this.guestMode === null && this.controller.isSignalled(this.cpu)) {
      this.interruptDepth++;
      yield* this.takeOne();
      yield writes(this, "IRQ"); // the handler's end and the next look are one access: nothing falls between
      this.interruptDepth--;
    }
  }

  /** Sends an IPI to another CPU; its interrupt comes after the cost of an IPI. */
  *sendIpi(to: number, kind: Ipi): Step<void> {
    const target = this.peers[to];
    this.ipisSent[kind]++;
    this.sim.emit(Ev.ipi, this.cpu, to, kind);
    target.isIpiOnItsWay = true;
    yield* this.sendSignal(to, kind);
    target.isIpiOnItsWay = false;
  }

  /** The scheduler gives this CPU to a thread (null: idle). A thread calls it when it starts to run and when it sleeps. */
  *switchTo(thread: Context | null): Step<void> {
    if (this.thread === thread) return;
    yield writes(this, "IRQ");
    if (this.guestMode !== null) yield* this.pushGuestOut(this.guestMode);
    this.take(thread);
  }

  /** The CPU is this thread's from now on. */
  take(thread: Context | null): void {
    this.needsResched = false;
    if (this.thread === thread) return;
    this.thread = thread;
    this.contextSwitches++;
    this.sim.charge(Cost.contextSwitch);
    this.sim.emit(Ev.sched_switch, this.cpu, thread === null ? "idle" : thread.name);
  }

  /** A thread that may have to wait for its turn starts to run. False: it is entered again when it has the CPU. */
  *claim(thread: Context): Step<boolean> {
    if (this.runQueue !== null) return yield* this.runQueue.claim(thread);
    yield* this.switchTo(thread);
    return true;
  }

  /** Such a thread sleeps. */
  *release(): Step<void> {
    if (this.runQueue !== null) yield* this.runQueue.release();
    else yield* this.switchTo(null);
  }

  /** Such a thread stops for another, and is entered again when its turn comes. */
  *gaveWay(thread: Context): Step<void> {
    if (this.runQueue !== null) yield* this.runQueue.gaveWay(thread);
    else this.sim.wakeAfter(thread, Cost.wake);
  }

  /** The thread on this CPU has to give way: its guest exits, or it is told itself. */
  *preempt(): Step<void> {
    yield writes(this, "IRQ");
    this.needsResched = true;
    if (this.guestMode !== null) yield* this.guestMode.forceExit(false);
    else if (this.thread !== null) this.sim.wake(this.thread, 0);
  }

  /** Does another thread want this CPU? */
  *isContended(): Step<boolean> {
    return this.isShared || (this.runQueue !== null && (yield* this.runQueue.isContended()));
  }

  /** The thread that runs a guest here sees that it has to give way, and leaves. */
  private *pushGuestOut(guest: GuestMode): Step<void> {
    this.needsResched = true;
    yield* guest.forceExit(false);
    yield* this.sim.wait(this.guestGate);
  }

  /**
   * Makes a sleeping thread of this CPU runnable. From another CPU: a function-call IPI when this one idles, a
   * rescheduling IPI when its guest has to give way. False if the thread was awake.
   */
  *wakeThread(thread: Context): Step<boolean> {
    if (this.runQueue !== null) return yield* this.wakeInTurn(this.runQueue, thread);
    const { sim } = this;
    const from = current().cpu;
    const isRemote = from !== this.cpu && from < this.peers.length;
    const isAsleep = sim.isIdle(thread);
    sim.wakeAfter(thread, Cost.wake);
    if (!isAsleep) return false;
    this.wakeups++;
    if (this.thread !== null && this.thread !== thread) this.needsResched = true;
    sim.emit(Ev.sched_wakeup, thread.name, thread.kind);
    if (!isRemote) return true;
    yield reads(this, "IRQ");
    if (this.thread === null) yield* this.peers[from].sendIpi(this.cpu, Ipi.FUNCTION_CALL);
    else if (this.guestMode !== null) yield* this.peers[from].sendIpi(this.cpu, Ipi.RESCHEDULE);
    return true;
  }

  private *wakeInTurn(queue: RunQueue, thread: Context): Step<boolean> {
    if (queue.has(thread)) return false;
    if (!this.sim.isIdle(thread)) {
      this.sim.wakeAfter(thread, Cost.wake);
      return false;
    }
    const place = yield* queue.placeFor();
    thread.cpu = place.cpu;
    place.wakeups++;
    this.sim.emit(Ev.sched_wakeup, thread.name, thread.kind);
    yield* place.admit(thread);
    return true;
  }

  /** A thread that slept wants to run here. */
  private *admit(thread: Context): Step<void> {
    const from = current().cpu;
    const isRemote = from !== this.cpu && from < this.peers.length;
    if (this.thread === null) {
      this.sim.wakeAfter(thread, Cost.wake);
      if (isRemote) yield* this.peers[from].sendIpi(this.cpu, Ipi.FUNCTION_CALL);
      return;
    }
    const givesWay = this.runQueue === null || (yield* this.runQueue.enqueueWoken(thread));
    if (!givesWay) return;
    yield writes(this, "IRQ");
    if (!isRemote || this.guestMode === null) {
      yield* this.preempt();
      return;
    }
    this.needsResched = true;
    yield* this.peers[from].sendIpi(this.cpu, Ipi.RESCHEDULE);
  }
}
block(HostCpu, "guestMode");
