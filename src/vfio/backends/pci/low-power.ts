import { eventfdContextOf, type EventfdContext } from "../../../host/eventfd.js";
import { guarded, reads, shared, writes } from "../../../sim/access.js";
import type { Mutex } from "../../../sim/lock.js";
import type { Step } from "../../../sim/step.js";
import { EFAULT, EINVAL } from "../../../uapi/errno.js";
import { VFIO_DEVICE_FEATURE_SET as SET, vfio_device_low_power_entry_with_wakeup } from "../../../uapi/vfio.js";
import { checkFeature, type FeatureCall } from "../../feature-call.js";

/** What entering and leaving low power does to the device. */
export interface PowerTarget {
  /** The memory lock, with all mappings taken out. */
  lockMemory(zaps: boolean): Step<void>;
  unlockMemory(): Step<void>;
  suspend(): Step<void>;
  resume(): Step<void>;
}

/**
 * The user's leave for its device to sleep (vfio.md 15.1, LOW_POWER_*; vfio_pci_core.c): every access wakes it, and mappings
 * fault. With a wake-up eventfd the first access ends it, and says so. Under the memory lock.
 */
export class LowPower {
  private isEngaged = false;
  private wakeup: EventfdContext | null = null;

  constructor(
    private readonly target: PowerTarget,
    readonly lock: Mutex,
  ) {}

  /** Memory lock held. */
  get engaged(): boolean {
    return this.isEngaged;
  }

  *entry(call: FeatureCall, hasWakeup: boolean): Step<number> {
    const layout = vfio_device_low_power_entry_with_wakeup;
    const check = checkFeature(call, SET, hasWakeup ? layout.size : 0);
    if (check <= 0) return check;
    if (!hasWakeup) return yield* this.engage(null);
    const { memory } = call.process;
    if (!memory.isReadable(call.address, layout.size)) return -EFAULT;
    if (memory.getU32(call.address + layout.reserved.offset) !== 0) return -EINVAL;
    const wakeup = eventfdContextOf(call.process, memory.getU32(call.address) | 0);
    if (typeof wakeup === "number") return wakeup;
    const result = yield* this.engage(wakeup);
    if (result !== 0) yield* wakeup.put();
    return result;
  }

  /** -EINVAL where it is engaged already. */
  private *engage(wakeup: EventfdContext | null): Step<number> {
    yield* this.target.lockMemory(true);
    const isFirst = !this.isEngaged;
    if (isFirst) {
      this.isEngaged = true;
      yield writes(this, "wakeup");
      this.wakeup = wakeup;
    }
    yield* this.target.unlockMemory();
    if (isFirst) yield* this.target.suspend();
    return isFirst ? 0 : -EINVAL;
  }

  *exit(call: FeatureCall): Step<number> {
    const check = checkFeature(call, SET, 0);
    if (check <= 0) return check;
    yield* this.disengage();
    return 0;
  }

  /** The device is needed: whoever asked for a wake-up gets it, and the device stays awake. */
  *access(): Step<void> {
    yield reads(this, "wakeup");
    const { wakeup } = this;
    if (wakeup === null) return;
    yield* wakeup.signal();
    yield* this.disengage();
  }

  *disengage(): Step<void> {
    yield* this.lock.lock();
    const { isEngaged } = this;
    this.isEngaged = false;
    yield writes(this, "wakeup");
    const { wakeup } = this;
    this.wakeup = null;
    yield* this.lock.unlock();
    if (wakeup !== null) yield* wakeup.put();
    if (isEngaged) yield* this.target.resume();
  }
}
guarded(LowPower, (power) => power.lock, "isEngaged");
shared(LowPower, "wakeup");
