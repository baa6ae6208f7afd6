import { eventfdContextOf, type EventfdContext } from "../../host/eventfd.js";
import type { IrqDesc } from "../../host/irq/desc.js";
import { getStateLocked, setStateLocked, setVcpuAffinityLocked } from "../../host/irq/manage.js";
import { type IrqAction, Irqf, IrqReturn, IrqType } from "../../host/irq/types.js";
import type { Host } from "../../host/machine.js";
import type { Process } from "../../host/process.js";
import { guarded, reads, shared, writes } from "../../sim/access.js";
import { Ev } from "../../sim/event.js";
import { type Mutex, Spinlock } from "../../sim/lock.js";
import type { Step } from "../../sim/step.js";
import { EINVAL } from "../../uapi/errno.js";
import {
  VFIO_IRQ_INFO_AUTOMASKED,
  VFIO_IRQ_INFO_EVENTFD,
  VFIO_IRQ_INFO_MASKABLE,
  VFIO_IRQ_SET_DATA_BOOL,
  VFIO_IRQ_SET_DATA_EVENTFD,
  VFIO_IRQ_SET_DATA_NONE,
} from "../../uapi/vfio.js";
import type { ForwardableIrq } from "../contract.js";
import type { IrqSet } from "../set-irqs.js";
import { type VirqfdQueues, VirqfdSlot } from "../virqfd.js";

/** The mark of an interrupt that its guest completes: no more than that it is set. */
const FORWARDED = {};

/**
 * One interrupt of a platform device (vfio.md 16.2 to 16.6). `igate` serialises its configuration; `irqlock` keeps
 * `masked` and the line's disable depth together against the handler. The line is requested at open, disabled, and
 * enabled while a trigger is installed and the interrupt is not masked.
 */
export class PlatformIrq implements IrqAction, ForwardableIrq {
  /** VFIO_IRQ_INFO_* flags, from the first open on: they tell of the line, forwarded or not. */
  flags = VFIO_IRQ_INFO_EVENTFD;
  readonly hostIntid: number;
  /** Why the host gave no line at open; 0 when it did. */
  requestError = 0;
  /** Signals that the handler sent. */
  signals = 0;
  private masked = false;
  private trigger: EventfdContext | null = null;
  private hasTrigger = false;
  /** Chosen when a trigger is installed: level and not forwarded (vfio.md 23.25). */
  private automasks = false;
  /** Keeps `masked` and the line's disable depth together. */
  readonly irqlock: Spinlock;
  private readonly desc: IrqDesc;
  private readonly unmaskSlot: UnmaskSlot;
  private readonly maskSlot: MaskSlot;

  constructor(
    private readonly host: Host,
    virqfds: VirqfdQueues,
    readonly lock: Mutex,
    private readonly deviceName: string,
    readonly index: number,
    readonly irq: number,
    /** Profile v5: the line is the host's until a trigger is set (vfio.md 16.3). */
    private readonly requestsAtTrigger = false,
  ) {
    const desc = host.desc(irq);
    if (desc === null) throw new Error(`${deviceName}: interrupt ${index} is irq ${irq}, which the host does not have`);
    this.desc = desc;
    this.hostIntid = desc.data.hwirq;
    this.irqlock = new Spinlock(host.sim, "vfio_irqlock");
    this.unmaskSlot = new UnmaskSlot(virqfds, this);
    this.maskSlot = new MaskSlot(virqfds, this);
  }

  /** First open of the device. */
  *open(): Step<void> {
    yield* this.desc.lock.lock();
    const isLevel = (this.desc.type & (IrqType.LEVEL_HIGH | IrqType.LEVEL_LOW)) !== 0;
    yield* this.desc.lock.unlock();
    this.flags = isLevel ? VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED : VFIO_IRQ_INFO_EVENTFD;
    yield* this.irqlock.lock();
    this.masked = false;
    yield* this.irqlock.unlock();
    this.requestError = this.requestsAtTrigger ? 0 : yield* this.request();
  }

  private *request(): Step<number> {
    return yield* this.host.requestIrq(this.irq, this, Irqf.NO_AUTOEN, `vfio-irq[${this.irq}](${this.deviceName})`, this);
  }

  /** Last close: on return no handler runs, and nothing is signalled any more. */
  *close(): Step<void> {
    yield* this.maskSlot.disable();
    yield* this.unmaskSlot.disable();
    const hasLine = this.requestsAtTrigger ? yield* this.hasTriggerNow() : this.requestError === 0;
    if (hasLine) yield* this.host.freeIrq(this.irq, this);
    yield* this.lock.lock();
    if (this.hasTrigger) this.host.sim.emit(Ev.vfio_signaling, this.deviceName, this.index, 0);
    this.hasTrigger = false;
    yield* this.lock.unlock();
    yield writes(this, "trigger");
    const { trigger } = this;
    this.trigger = null;
    if (trigger !== null) yield* trigger.put();
  }

  private *hasTriggerNow(): Step<boolean> {
    yield* this.lock.lock();
    const { hasTrigger } = this;
    yield* this.lock.unlock();
    return hasTrigger;
  }

  // --- in interrupt context ---

  *handler(): Step<number> {
    yield reads(this, "automasks");
    if (this.automasks && !(yield* this.automask())) return IrqReturn.NONE;
    yield* this.signal();
    return IrqReturn.HANDLED;
  }

  /** True: it was not masked, and now is. */
  private *automask(): Step<boolean> {
    yield* this.irqlock.lock();
    const isMine = !this.masked;
    if (isMine) {
      if (this.host.sim.hazards.automaskAndWait) yield* this.host.disableIrq(this.irq);
      else yield* this.host.disableIrqNosync(this.irq); // host-irq.md K7: this handler is what a wait would wait for
      this.masked = true;
      this.host.sim.emit(Ev.vfio_automask, this.deviceName, this.index);
    }
    yield* this.irqlock.unlock();
    return isMine;
  }

  /** With no lock held: whoever waits on the eventfd may come back and unmask. */
  private *signal(): Step<void> {
    yield reads(this, "trigger");
    const { trigger } = this;
    if (trigger === null) return;
    this.signals++;
    this.host.sim.emit(Ev.vfio_trigger, this.deviceName, this.index);
    yield* trigger.signal();
  }

  // --- mask and unmask: by ioctl, or in the wake-up of an eventfd ---

  *mask(): Step<void> {
    yield* this.irqlock.lock();
    if (!this.masked) {
      yield* this.host.disableIrqNosync(this.irq);
      this.masked = true;
    }
    yield* this.irqlock.unlock();
  }

  /** A line that is still up fires at once, and is signalled again. */
  *unmask(): Step<void> {
    yield* this.irqlock.lock();
    // Its own flag: a line that was disabled lazily, and has not fired since, is not masked at the chip (host-irq.md K6).
    const isMasked = this.host.sim.hazards.unmaskByChip ? yield* this.isMaskedAtChip() : this.masked;
    if (isMasked) {
      yield* this.host.enableIrq(this.irq);
      this.masked = false;
      this.host.sim.emit(Ev.vfio_unmask, this.deviceName, this.index);
    }
    yield* this.irqlock.unlock();
  }

  private *isMaskedAtChip(): Step<boolean> {
    yield* this.desc.lock.lock();
    const { isMasked } = this.desc;
    yield* this.desc.lock.unlock();
    return isMasked;
  }

  // --- SET_IRQS, igate held ---

  *setMask(process: Process, request: IrqSet): Step<number> {
    if (this.refusesMasking(request)) return -EINVAL;
    if (request.dataType === VFIO_IRQ_SET_DATA_EVENTFD) return yield* setSlot(this.maskSlot, process, request.element(process, 0));
    if (asks(process, request)) yield* this.mask();
    return 0;
  }

  *setUnmask(process: Process, request: IrqSet): Step<number> {
    if (this.refusesMasking(request)) return -EINVAL;
    if (request.dataType === VFIO_IRQ_SET_DATA_EVENTFD) return yield* setSlot(this.unmaskSlot, process, request.element(process, 0));
    if (asks(process, request)) yield* this.unmask();
    return 0;
  }

  private refusesMasking(request: IrqSet): boolean {
    return request.start !== 0 || request.count !== 1 || (this.flags & VFIO_IRQ_INFO_MASKABLE) === 0;
  }

  *setTrigger(process: Process, request: IrqSet): Step<number> {
    if (request.count === 0 && request.dataType === VFIO_IRQ_SET_DATA_NONE) return yield* this.replaceTrigger(process, -1);
    if (request.start !== 0 || request.count !== 1) return -EINVAL;
    if (request.dataType === VFIO_IRQ_SET_DATA_EVENTFD) return yield* this.replaceTrigger(process, request.element(process, 0));
    if (!asks(process, request)) return 0;
    // By hand, with all that the handler does: an unmasked level interrupt is masked.
    if (!this.hasTrigger) yield* this.chooseHandler();
    yield* this.handler();
    return 0;
  }

  /** After the line has been disabled, and its handlers waited for, the old eventfd receives nothing. 0, -EBADF or -EINVAL. */
  private *replaceTrigger(process: Process, fd: number): Step<number> {
    if (this.hasTrigger) yield* this.dropTrigger();
    if (fd < 0) return 0;
    const context = eventfdContextOf(process, fd);
    if (typeof context === "number") return context;
    yield* this.chooseHandler();
    yield writes(this, "trigger");
    this.trigger = context;
    if (this.requestsAtTrigger) return yield* this.takeLine(context);
    this.hasTrigger = true;
    this.host.sim.emit(Ev.vfio_signaling, this.deviceName, this.index, 1);
    // A forwarded interrupt that its guest holds is active: only a mask ends it, and disabling is lazy (host-irq.md 1.7).
    this.host.setUnlazy(this.irq, this.desc.isForwarded);
    yield* this.host.enableIrq(this.irq);
    return 0;
  }

  /** The host's line for this trigger; what was masked before stays so. */
  private *takeLine(context: EventfdContext): Step<number> {
    const result = yield* this.request();
    if (result !== 0) {
      yield writes(this, "trigger");
      this.trigger = null;
      yield* context.put();
      return result;
    }
    this.hasTrigger = true;
    this.host.sim.emit(Ev.vfio_signaling, this.deviceName, this.index, 1);
    yield* this.irqlock.lock();
    const { masked } = this;
    yield* this.irqlock.unlock();
    if (!masked) yield* this.host.enableIrq(this.irq);
    return 0;
  }

  private *dropTrigger(): Step<void> {
    if (this.requestsAtTrigger) yield* this.host.freeIrq(this.irq, this);
    else yield* this.host.disableIrq(this.irq);
    this.hasTrigger = false;
    this.host.sim.emit(Ev.vfio_signaling, this.deviceName, this.index, 0);
    yield writes(this, "trigger");
    const { trigger } = this;
    this.trigger = null;
    if (trigger !== null) yield* trigger.put();
  }

  /** The mark changes only under igate and with no trigger installed, so the choice holds as long as the trigger. */
  private *chooseHandler(): Step<void> {
    yield writes(this, "automasks");
    this.automasks = (this.flags & VFIO_IRQ_INFO_AUTOMASKED) !== 0 && !this.desc.isForwarded;
  }

  // --- as the KVM-VFIO device sees it ---

  get isSignalling(): boolean {
    return this.hasTrigger;
  }

  *isMasked(): Step<boolean> {
    yield* this.irqlock.lock();
    const { masked } = this;
    yield* this.irqlock.unlock();
    return masked;
  }

  get descriptorLock(): Spinlock {
    return this.desc.lock;
  }

  *isActive(): Step<boolean> {
    return (yield* getStateLocked(this.desc, "active")) === 1;
  }

  *setForwarded(isForwarded: boolean): Step<void> {
    yield* setVcpuAffinityLocked(this.desc, isForwarded ? FORWARDED : null);
  }

  *deactivate(): Step<void> {
    yield* setStateLocked(this.desc, "active", false);
  }
}
shared(PlatformIrq, "trigger", "automasks");
guarded(PlatformIrq, (irq) => irq.lock, "hasTrigger");
guarded(PlatformIrq, (irq) => irq.irqlock, "masked");

/** DATA_NONE always asks; DATA_BOOL where its byte is not 0. */
function asks(process: Process, request: IrqSet): boolean {
  return request.dataType === VFIO_IRQ_SET_DATA_NONE || (request.dataType === VFIO_IRQ_SET_DATA_BOOL && request.element(process, 0) !== 0);
}

function* setSlot(slot: VirqfdSlot, process: Process, fd: number): Step<number> {
  if (fd >= 0) return yield* slot.enable(process, fd);
  yield* slot.disable();
  return 0;
}

/** The eventfd that unmasks: normally a resamplefd. */
class UnmaskSlot extends VirqfdSlot {
  constructor(
    queues: VirqfdQueues,
    private readonly irq: PlatformIrq,
  ) {
    super(queues);
  }
  override *onSignal(): Step<boolean> {
    yield* this.irq.unmask();
    return false;
  }
}

class MaskSlot extends VirqfdSlot {
  constructor(
    queues: VirqfdQueues,
    private readonly irq: PlatformIrq,
  ) {
    super(queues);
  }
  override *onSignal(): Step<boolean> {
    yield* this.irq.mask();
    return false;
  }
}
