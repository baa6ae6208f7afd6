import type { PhysicalGic } from "../arch/gic/contract.js";
import type { IrqPort } from "../arch/irq-port.js";
import { block, reads, type Waitable, writes } from "../sim/access.js";
import { Context, current } from "../sim/context.js";
import { Cost } from "../sim/cost.js";
import { Ev } from "../sim/event.js";
import type { Sim } from "../sim/sim.js";
import type { Step } from "../sim/step.js";

/** What the host's SGIs are for (host-irq.md 2.6). */
export const enum Ipi {
  RESCHEDULE = 0,
  FUNCTION_CALL = 1,
}
const IPIS = 16;

/** The guest that a CPU is running: a vCPU sets it at entry and clears it at exit. */
export interface GuestMode {
  /** An interrupt for the host came: the guest exits at once, or after the way of an IPI. */
  forceExit(isIpi: boolean): Step<void>;
}

/** Where a CPU takes its acknowledged interrupts: the root interrupt domain. */
export interface InterruptHandler {
  /** `intid` is 16 or above, its priority already dropped where EOImode is 1. */
  handle(intid: number): Step<void>;
}

/** Open while the CPU is in no interrupt handler. */
class HandlerGate implements Waitable {
  constructor(private readonly cpu: HostCpu) {}
  isOpen(): boolean {
    return this.cpu.interruptDepth === 0;
  }
}

/** Open while the CPU runs no guest. */
class GuestGate implements Waitable {
  isInGuest = false;
  isOpen(): boolean {
    return !this.isInGuest;
  }
}

/**
 * One physical CPU of the host: its hard interrupt context, the thread that it runs, and the IPIs that it sends. Its
 * interrupt signal either forces its guest out or runs this context, which takes interrupts until the signal is gone.
 */
export class HostCpu extends Context implements IrqPort {
  isOnline = true;
  /** Interrupt handlers on this CPU's stack. */
  interruptDepth = 0;
  /** The thread on this CPU; null is idle. */
  thread: Context | null = null;
  contextSwitches = 0;
  /** Another thread waits for this CPU: the one on it gives way at the next opportunity. */
  needsResched = false;
  /** Threads of this CPU that were made runnable. */
  wakeups = 0;
  /** Acknowledged interrupts (IPIs included), and acknowledges that returned a special id. */
  interrupts = 0;
  spurious = 0;
  /** By SGI number: sent from here, and taken here. */
  readonly ipisSent = new Int32Array(IPIS);
  readonly ipisTaken = new Int32Array(IPIS);
  private guestMode: GuestMode | null = null;
  private readonly handlerGate = new HandlerGate(this);
  private readonly guestGate = new GuestGate();
  /** The signal that is being raised is an IPI: it comes after the cost of one. */
  private isIpiOnItsWay = false;

  constructor(
    readonly sim: Sim,
    cpu: number,
    private readonly gic: PhysicalGic,
    private readonly handler: InterruptHandler,
    private readonly peers: readonly HostCpu[],
  ) {
    super(`cpu${cpu}`, "hardirq", cpu);
    gic.connect(cpu, this);
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
    if (this.gic.isSignalled(this.cpu)) yield* guest.forceExit(false);
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
    if (!this.gic.isSignalled(this.cpu)) return;
    const isIpi = this.isIpiOnItsWay;
    if (this.guestMode !== null) yield* this.guestMode.forceExit(isIpi);
    else if (isIpi) this.sim.wakeAfter(this, Cost.ipi);
    else if (this.interruptDepth === 0) this.sim.wake(this, 0); // else the handler looks again before it ends
  }

  /** Is the interrupt signal of this CPU asserted? */
  *isInterruptPending(): Step<boolean> {
    yield reads(this, "IRQ");
    return this.gic.isSignalled(this.cpu);
  }

  override *body(): Step<void> {
    yield* this.takeInterrupts();
  }

  /**
   * Takes interrupts until none is signalled: in this CPU's own context, or on the stack of a vCPU thread that has just
   * left its guest and enables interrupts.
   */
  *takeInterrupts(): Step<void> {
    for (;;) {
      // A CPU runs one thing at a time: its threads stand still while it is in a handler.
      if (this.interruptDepth > 0) yield* this.sim.wait(this.handlerGate);
      yield reads(this, "IRQ");
      if (this.guestMode !== null || !this.gic.isSignalled(this.cpu)) return;
      this.interruptDepth++;
      yield* this.takeOne();
      this.interruptDepth--;
    }
  }

  /** host-irq.md 1.5: acknowledge, drop the priority (EOImode 1), flow handler. */
  private *takeOne(): Step<void> {
    const { gic, sim, cpu } = this;
    const iar = yield* gic.acknowledge(cpu);
    sim.charge(Cost.irqAck);
    const intid = gic.version === 2 ? iar & 0x3ff : iar & 0xffffff;
    if (intid >= 1020 && intid <= 1023) {
      this.spurious++;
      return;
    }
    this.interrupts++;
    sim.emit(Ev.host_ack, cpu, intid);
    if (gic.eoiMode === 1 || intid < IPIS) {
      // The whole value: on GICv2 it carries the sender of an SGI (K28).
      yield* gic.endOfInterrupt(cpu, iar);
      sim.charge(Cost.irqEoi);
      sim.emit(Ev.host_eoi, cpu, intid);
    }
    if (intid < IPIS) yield* this.takeIpi(intid, iar);
    else yield* this.handler.handle(intid);
  }

  /** Handlers of IPIs do nothing here: what they announce is done by the wake that went with them. */
  private *takeIpi(sgi: number, iar: number): Step<void> {
    this.ipisTaken[sgi]++;
    if (this.gic.eoiMode === 0) return;
    yield* this.gic.deactivate(this.cpu, iar);
    this.sim.charge(Cost.irqDir);
    this.sim.emit(Ev.host_dir, this.cpu, sgi);
  }

  /** Sends an SGI to another CPU; its interrupt comes after the cost of an IPI. */
  *sendIpi(to: number, kind: Ipi): Step<void> {
    const target = this.peers[to];
    this.ipisSent[kind]++;
    this.sim.emit(Ev.ipi, this.cpu, to, kind);
    target.isIpiOnItsWay = true;
    yield* this.gic.sendSgi(this.cpu, to, kind);
    target.isIpiOnItsWay = false;
  }

  /** The scheduler gives this CPU to a thread (null: idle). A thread calls it when it starts to run and when it sleeps. */
  *switchTo(thread: Context | null): Step<void> {
    if (this.thread === thread) return;
    yield reads(this, "IRQ");
    if (this.guestMode !== null) yield* this.pushGuestOut(this.guestMode);
    this.thread = thread;
    this.needsResched = false;
    this.contextSwitches++;
    this.sim.charge(Cost.contextSwitch);
    this.sim.emit(Ev.sched_switch, this.cpu, thread === null ? "idle" : thread.name);
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
    const { sim } = this;
    const from = current().cpu;
    const isRemote = from !== this.cpu && from < this.peers.length;
    if (!sim.wakeAfter(thread, Cost.wake)) return false;
    this.wakeups++;
    if (this.thread !== null && this.thread !== thread) this.needsResched = true;
    sim.emit(Ev.sched_wakeup, thread.name, thread.kind);
    if (!isRemote) return true;
    yield reads(this, "IRQ");
    if (this.thread === null) yield* this.peers[from].sendIpi(this.cpu, Ipi.FUNCTION_CALL);
    else if (this.guestMode !== null) yield* this.peers[from].sendIpi(this.cpu, Ipi.RESCHEDULE);
    return true;
  }
}
block(HostCpu, "guestMode");
