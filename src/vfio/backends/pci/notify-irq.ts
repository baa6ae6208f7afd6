import { eventfdContextOf, type EventfdContext } from "../../../host/eventfd.js";
import type { Process } from "../../../host/process.js";
import { guarded } from "../../../sim/access.js";
import type { Hazards } from "../../../sim/hazards.js";
import type { Mutex } from "../../../sim/lock.js";
import type { Step } from "../../../sim/step.js";
import { EINVAL } from "../../../uapi/errno.js";
import { VFIO_IRQ_SET_DATA_BOOL, VFIO_IRQ_SET_DATA_NONE } from "../../../uapi/vfio.js";
import type { IrqSet } from "../../set-irqs.js";

/** One eventfd that tells the user of something that is no interrupt of the device: ERR or REQ (vfio.md 11). Under igate. */
export class NotifyIrq {
  private trigger: EventfdContext | null = null;

  constructor(
    readonly igate: Mutex,
    private readonly hazards: Hazards,
  ) {}

  *setTrigger(process: Process, request: IrqSet): Step<number> {
    const { start, count, dataType } = request;
    if (start !== 0 || count > 1) return -EINVAL;
    if (dataType === VFIO_IRQ_SET_DATA_NONE) {
      if (this.trigger === null) return -EINVAL;
      if (count > 0) yield* this.trigger.signal();
      else yield* this.release();
      return 0;
    }
    if (count === 0) return -EINVAL;
    const element = request.element(process, 0);
    if (dataType === VFIO_IRQ_SET_DATA_BOOL) {
      if (element !== 0 && this.trigger !== null) yield* this.trigger.signal();
      return 0;
    }
    return yield* this.install(process, element);
  }

  private *install(process: Process, fd: number): Step<number> {
    if (fd < -1) return -EINVAL;
    if (fd === -1) {
      yield* this.release();
      return 0;
    }
    const trigger = eventfdContextOf(process, fd);
    if (typeof trigger === "number") return trigger;
    yield* this.release();
    this.trigger = trigger;
    return 0;
  }

  *release(): Step<void> {
    const { trigger } = this;
    this.trigger = null;
    if (trigger !== null) yield* trigger.put();
  }

  /** False: nobody listens. */
  *notify(): Step<boolean> {
    const { trigger } = this;
    if (trigger === null) return false;
    if (this.hazards.notifyOutsideGate) yield* this.igate.unlock();
    yield* trigger.signal();
    if (this.hazards.notifyOutsideGate) yield* this.igate.lock();
    return true;
  }
}
guarded(NotifyIrq, (irq) => irq.igate, "trigger");
