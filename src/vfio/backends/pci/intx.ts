import { eventfdContextOf, type EventfdContext } from "../../../host/eventfd.js";
import { IRQ_NOTCONNECTED } from "../../../host/irq/request.js";
import { type IrqAction, Irqf, IrqReturn } from "../../../host/irq/types.js";
import type { Host } from "../../../host/machine.js";
import type { PciDevice } from "../../../host/pci/pci-device.js";
import type { Process } from "../../../host/process.js";
import { guarded, reads, shared, writes } from "../../../sim/access.js";
import { Ev } from "../../../sim/event.js";
import type { Hazards } from "../../../sim/hazards.js";
import { Lifetime } from "../../../sim/lifetime.js";
import { type Mutex, Spinlock } from "../../../sim/lock.js";
import type { Step } from "../../../sim/step.js";
import { EINVAL, ENODEV, ENOTTY } from "../../../uapi/errno.js";
import { VFIO_IRQ_SET_DATA_BOOL, VFIO_IRQ_SET_DATA_EVENTFD, VFIO_IRQ_SET_DATA_NONE, VFIO_PCI_INTX_IRQ_INDEX } from "../../../uapi/vfio.js";
import type { IrqSet } from "../../set-irqs.js";
import { type VirqfdQueues, VirqfdSlot } from "../../virqfd.js";
import { NO_IRQS, type PciIrqMode } from "./mode.js";

export interface IntxOptions {
  /** Since Linux 6.18 a line without DisINTx is disabled unlazily (host-irq.md 1.12). Default true. */
  readonly isUnlazy: boolean;
  /** Before Linux 6.9: the host's line is requested only while there is a trigger (profile v5 of vfio.md 8.6). */
  readonly releasesLine: boolean;
}

/**
 * INTx of a function (vfio.md 8): masked by its handler, exactly one signal per unmask. `igate` serialises its
 * configuration; `irqlock` keeps `masked` and the line's mask together against the handler.
 */
export class Intx implements IrqAction {
  /** Signals that were sent. */
  signals = 0;
  /** DisINTx masks it and STATUS tells of it; else the host's interrupt is disabled instead. Decided at open. */
  hasPci23 = false;
  readonly irqlock: Spinlock;
  readonly hazards: Hazards;
  private masked = false;
  /** The host's line is requested. */
  private hasLine = false;
  private trigger: EventfdContext | null = null;
  /** What the kernel allocates while INTx is on: the handler and the unmask worker are given it, everybody else finds it by the mode. */
  private context = new Lifetime("context of INTx");
  private readonly unmaskSlot: UnmaskSlot;

  constructor(
    private readonly host: Host,
    queues: VirqfdQueues,
    private readonly pci: PciDevice,
    private readonly mode: PciIrqMode,
    readonly igate: Mutex,
    readonly options: IntxOptions,
  ) {
    this.hazards = host.sim.hazards;
    this.irqlock = new Spinlock(host.sim, "vfio_pci.irqlock");
    this.unmaskSlot = new UnmaskSlot(queues, this);
  }

  // --- in interrupt context (8.3) ---

  *handler(): Step<number> {
    this.context.touch();
    yield* this.irqlock.lock();
    const isMine = yield* this.claim();
    yield* this.irqlock.unlock();
    if (!isMine) return IrqReturn.NONE;
    yield* this.signal();
    return IrqReturn.HANDLED;
  }

  /** irqlock held. With DisINTx the line may belong to another; without, it is this device's alone. */
  private *claim(): Step<boolean> {
    if (!this.hasPci23) yield* this.host.disableIrqNosync(this.pci.irq);
    else if ((this.masked && !this.hazards.claimMasked) || !(yield* this.pci.checkAndMaskIntx())) return false;
    this.masked = true;
    this.host.sim.emit(Ev.vfio_automask, this.pci.name, VFIO_PCI_INTX_IRQ_INDEX);
    return true;
  }

  /** With no lock held: whoever waits on the eventfd may come back and unmask. */
  *signal(): Step<void> {
    if ((yield* this.mode.get()) !== VFIO_PCI_INTX_IRQ_INDEX || (yield* this.mode.isVirqDisabled())) return;
    yield reads(this, "trigger");
    this.context.touch();
    const { trigger } = this;
    if (trigger === null) {
      if (this.hazards.signalNoTrigger) throw new NullPointer(`INTx of ${this.pci.name} signals an eventfd that is not there`);
      return;
    }
    this.signals++;
    this.host.sim.emit(Ev.vfio_trigger, this.pci.name, VFIO_PCI_INTX_IRQ_INDEX);
    yield* trigger.signal();
  }

  // --- mask and unmask (8.4, 8.5): by ioctl, by a configuration write, or in the wake-up of an eventfd ---

  /** True: it was not masked before. */
  *mask(): Step<boolean> {
    yield* this.irqlock.lock();
    let hasChanged = false;
    if ((yield* this.mode.get()) !== VFIO_PCI_INTX_IRQ_INDEX) {
      if (this.hasPci23) yield* this.pci.setIntx(false);
    } else if (!this.masked) {
      this.context.touch();
      if (this.hasPci23) yield* this.pci.setIntx(false);
      else yield* this.host.disableIrqNosync(this.pci.irq);
      this.masked = true;
      hasChanged = true;
    }
    yield* this.irqlock.unlock();
    return hasChanged;
  }

  /** True: the function still asserts its pin, so it stays masked and the caller signals again. */
  *unmaskOrTell(): Step<boolean> {
    yield* this.irqlock.lock();
    let isPending = false;
    if ((yield* this.mode.get()) !== VFIO_PCI_INTX_IRQ_INDEX) {
      if (this.hasPci23) yield* this.pci.setIntx(true);
    } else if (this.masked && (this.hazards.unmaskWhileDisabled || !(yield* this.mode.isVirqDisabled()))) {
      if (this.hazards.flagBeforeLine) yield* this.unmaskInTwo();
      if (!this.hasPci23) yield* this.host.enableIrq(this.pci.irq);
      else isPending = !(yield* this.pci.checkAndUnmaskIntx());
      if (isPending || !this.hazards.flagBeforeLine) this.masked = isPending;
      this.host.sim.emit(Ev.vfio_unmask, this.pci.name, VFIO_PCI_INTX_IRQ_INDEX);
    }
    yield* this.irqlock.unlock();
    return isPending;
  }

  *unmask(): Step<void> {
    if ((yield* this.unmaskOrTell()) && !this.hazards.forgetPending) yield* this.signal();
  }

  /**
   * The function has its registers back after a reset, with DisINTx set: it follows `masked` again, which handlers, calls and
   * eventfds have changed meanwhile (23.3). True: the pin is up, so it stays masked and the caller signals.
   */
  *settle(): Step<boolean> {
    yield* this.irqlock.lock();
    let isPending = false;
    if (this.hasPci23 && (yield* this.mode.get()) === VFIO_PCI_INTX_IRQ_INDEX) {
      isPending = !this.masked && !(yield* this.pci.checkAndUnmaskIntx());
      if (isPending) this.host.sim.emit(Ev.vfio_automask, this.pci.name, VFIO_PCI_INTX_IRQ_INDEX);
      this.masked ||= isPending;
      if (this.masked) yield* this.pci.setIntx(false);
    }
    yield* this.irqlock.unlock();
    return isPending;
  }

  /** Without 23.3's rule. */
  private *unmaskInTwo(): Step<void> {
    this.masked = false;
    yield* this.irqlock.unlock();
    yield* this.irqlock.lock();
  }

  // --- SET_IRQS, igate held (8.6) ---

  *setMask(process: Process, request: IrqSet): Step<number> {
    if (yield* this.refuses(request)) return -EINVAL;
    if (request.dataType === VFIO_IRQ_SET_DATA_EVENTFD) return -ENOTTY;
    if (asks(process, request)) yield* this.mask();
    return 0;
  }

  *setUnmask(process: Process, request: IrqSet): Step<number> {
    if (yield* this.refuses(request)) return -EINVAL;
    if (request.dataType === VFIO_IRQ_SET_DATA_EVENTFD) {
      const fd = request.element(process, 0);
      if (fd >= 0) return yield* this.unmaskSlot.enable(process, fd);
      yield* this.unmaskSlot.disable();
    } else if (asks(process, request)) yield* this.unmask();
    return 0;
  }

  private *refuses(request: IrqSet): Step<boolean> {
    return (yield* this.mode.get()) !== VFIO_PCI_INTX_IRQ_INDEX || request.start !== 0 || request.count !== 1;
  }

  *setTrigger(process: Process, request: IrqSet): Step<number> {
    const mode = yield* this.mode.get();
    const isIntx = mode === VFIO_PCI_INTX_IRQ_INDEX;
    if (isIntx && request.count === 0 && request.dataType === VFIO_IRQ_SET_DATA_NONE) {
      yield* this.disable();
      return 0;
    }
    if ((!isIntx && mode !== NO_IRQS) || request.start !== 0 || request.count !== 1) return -EINVAL;
    if (request.dataType === VFIO_IRQ_SET_DATA_EVENTFD) return yield* this.install(process, request.element(process, 0), isIntx);
    if (!isIntx) return -EINVAL;
    if (asks(process, request)) yield* this.signal();
    return 0;
  }

  private *install(process: Process, fd: number, isIntx: boolean): Step<number> {
    const trigger = fd < 0 ? null : eventfdContextOf(process, fd);
    if (typeof trigger === "number") return trigger;
    const result = isIntx ? yield* this.replace(trigger) : yield* this.enable(trigger);
    if (result !== 0 && trigger !== null) yield* trigger.put();
    return result;
  }

  private *replace(trigger: EventfdContext | null): Step<number> {
    if (!this.options.releasesLine) {
      yield* this.swap(trigger);
      return 0;
    }
    yield* this.releaseLine();
    yield* this.swap(trigger);
    if (trigger === null) return 0;
    const result = yield* this.requestLine(false);
    if (result !== 0) yield* this.forgetTrigger();
    else yield* this.keepMasked();
    return result;
  }

  /** DisINTx outlives the new request; a disabled line does not. */
  private *keepMasked(): Step<void> {
    yield* this.irqlock.lock();
    if (!this.hasPci23 && this.masked) yield* this.host.disableIrqNosync(this.pci.irq);
    yield* this.irqlock.unlock();
  }

  /**
   * 8.7: the mode is set before the request, for the handler may run inside it. 0, -ENODEV without a line, or -EBUSY of
   * a line that another driver does not share.
   */
  private *enable(trigger: EventfdContext | null): Step<number> {
    const { irq } = this.pci;
    if (irq === 0 || irq === IRQ_NOTCONNECTED) return -ENODEV;
    const isMasked = yield* this.mode.isVirqDisabled();
    this.context = new Lifetime("context of INTx of", this.pci.name);
    yield* this.irqlock.lock();
    this.masked = isMasked;
    yield* this.irqlock.unlock();
    yield writes(this, "trigger");
    this.trigger = trigger;
    if (this.hasPci23) yield* this.pci.setIntx(!isMasked);
    yield* this.mode.set(VFIO_PCI_INTX_IRQ_INDEX);
    const autoEnables = this.hazards.autoEnableLine;
    const result = this.options.releasesLine && trigger === null ? 0 : yield* this.requestLine(isMasked && !autoEnables);
    if (result === 0 && autoEnables) yield* this.keepMasked();
    if (result === 0) return 0;
    yield* this.mode.set(NO_IRQS);
    yield* this.forgetTrigger();
    this.context.free();
    return result;
  }

  private *requestLine(isMasked: boolean): Step<number> {
    const { irq } = this.pci;
    const flags = this.hasPci23 ? Irqf.SHARED : isMasked ? Irqf.NO_AUTOEN : 0;
    const isUnlazy = !this.hasPci23 && this.options.isUnlazy;
    if (isUnlazy) this.host.setUnlazy(irq, true);
    const result = yield* this.host.requestIrq(irq, this, flags, `vfio-intx(${this.pci.name})`, this);
    this.hasLine = result === 0;
    if (result !== 0 && isUnlazy) this.host.setUnlazy(irq, false);
    return result;
  }

  private *releaseLine(): Step<void> {
    if (this.hasLine) yield* this.host.freeIrq(this.pci.irq, this);
    this.hasLine = false;
  }

  /** The reference is the caller's. */
  private *forgetTrigger(): Step<void> {
    yield writes(this, "trigger");
    this.trigger = null;
  }

  /** On return the old eventfd receives nothing: its users in handlers and in the unmask worker are waited for (23.5). */
  private *swap(trigger: EventfdContext | null): Step<void> {
    yield writes(this, "trigger");
    const old = this.trigger;
    this.trigger = trigger;
    if (old === null) return;
    if (!this.hazards.swapWithoutSync) yield* this.host.synchronizeIrq(this.pci.irq);
    if (!this.hazards.swapWithoutFlush) yield* this.unmaskSlot.flushThread();
    yield* old.put();
  }

  /** igate held, mode INTx. DisINTx stays as it was. */
  *disable(): Step<void> {
    yield* this.unmaskSlot.disable();
    yield* this.releaseLine();
    yield* this.mode.set(NO_IRQS);
    yield writes(this, "trigger");
    const { trigger } = this;
    this.trigger = null;
    this.context.free();
    if (trigger !== null) yield* trigger.put();
  }

  *isMasked(): Step<boolean> {
    yield* this.irqlock.lock();
    const { masked } = this;
    yield* this.irqlock.unlock();
    return masked;
  }
}
shared(Intx, "trigger");
guarded(Intx, (intx) => intx.irqlock, "masked");
guarded(Intx, (intx) => intx.igate, "hasLine");

/** What a kernel without the rule runs into. */
class NullPointer extends Error {}

/** DATA_NONE always asks; DATA_BOOL where its byte is not 0. */
function asks(process: Process, request: IrqSet): boolean {
  return request.dataType === VFIO_IRQ_SET_DATA_NONE || (request.dataType === VFIO_IRQ_SET_DATA_BOOL && request.element(process, 0) !== 0);
}

/** The eventfd that unmasks: normally a resamplefd. A line that is still asserted is signalled again by the worker. */
class UnmaskSlot extends VirqfdSlot {
  protected override readonly hasThread = true;
  constructor(
    queues: VirqfdQueues,
    private readonly intx: Intx,
  ) {
    super(queues);
  }
  // 23.29: the wake-up never signals an eventfd itself; it holds the lock of one.
  override *onSignal(): Step<boolean> {
    const isPending = yield* this.intx.unmaskOrTell();
    if (!isPending || !this.intx.hazards.signalInWakeup) return isPending && !this.intx.hazards.forgetPending;
    yield* this.intx.signal();
    return false;
  }
  override *onInject(): Step<void> {
    yield* this.intx.signal();
  }
}
