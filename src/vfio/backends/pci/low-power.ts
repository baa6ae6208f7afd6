import { eventfdContextOf, type EventfdContext } from "../../../host/eventfd.js";
import { counts, guarded, reads, shared, writes } from "../../../sim/access.js";
import { Mutex } from "../../../sim/lock.js";
import type { Sim } from "../../../sim/sim.js";
import type { Step } from "../../../sim/step.js";
import { EFAULT, EINVAL } from "../../../uapi/errno.js";
import { VFIO_DEVICE_FEATURE_SET as SET, vfio_device_low_power_entry_with_wakeup } from "../../../uapi/vfio.js";
import { checkFeature, type FeatureCall } from "../../feature-call.js";

/** What entering and leaving low power does to the device. */
export interface PowerTarget {
  /** The memory lock, with all mappings taken out. */
  lockMemory(zaps: boolean): Step<void>;
  unlockMemory(): Step<void>;
  /** To D0, whatever the user has put it in. */
  setPowerState(state: number): Step<void>;
  readonly irqs: { suspend(): Step<void>; resume(): Step<void> };
}

/** Only ever raised: who raises it waits for nobody. */
class Tally {
  number = 0;

  *raise(): Step<void> {
    yield counts(this, "number");
    this.number++;
  }

  *read(): Step<number> {
    yield reads(this, "number");
    return this.number;
  }
}

/**
 * The user's leave for its device to sleep (vfio.md 15.1, LOW_POWER_*; vfio_pci_core.c): it is suspended while no call on it is
 * under way, the next one wakes it, and mappings fault. With a wake-up eventfd that one ends it, and says so.
 *
 * 23.10: one suspend or resume at a time, and no suspend under a call: a resume that overtook its suspend would leave INTx masked
 * for good. Who begins a call raises a count and then looks whether the device sleeps; who suspends says so and then looks at the
 * count: one of them sees the other (the usage count of runtime power management).
 */
export class LowPower {
  /** Of suspends and resumes: outside the memory lock. */
  private readonly transitions: Mutex;
  private readonly begun = new Tally();
  private readonly ended = new Tally();
  /** Suspended, or about to be. */
  private isSuspended = false;
  /** The user's leave; written under the memory lock. */
  private isEngaged = false;
  private wakeup: EventfdContext | null = null;

  constructor(
    private readonly sim: Sim,
    private readonly target: PowerTarget,
    readonly lock: Mutex,
  ) {
    this.transitions = new Mutex(sim, "runtime PM");
  }

  *engaged(): Step<boolean> {
    yield reads(this, "isEngaged");
    return this.isEngaged;
  }

  // --- calls on the device ---

  /** A call begins: the device is awake until its {@link end}. */
  *begin(): Step<void> {
    yield* this.begun.raise();
    yield reads(this, "isSuspended");
    if (this.isSuspended) yield* this.wake();
  }

  *end(): Step<void> {
    yield* this.ended.raise();
    if (yield* this.engaged()) yield* this.trySuspend();
  }

  private *wake(): Step<void> {
    yield* this.transitions.lock();
    yield writes(this, "isSuspended");
    if (this.isSuspended) {
      this.isSuspended = false;
      yield* this.tellAwake();
      yield* this.target.irqs.resume();
    }
    yield* this.transitions.unlock();
  }

  /** Whoever asked for a wake-up gets it, once, and the device stays awake. */
  private *tellAwake(): Step<void> {
    yield* this.lock.lock();
    if (this.wakeup !== null) {
      yield* this.wakeup.signal();
      yield* this.disengage();
    }
    yield* this.lock.unlock();
  }

  private *trySuspend(): Step<void> {
    yield* this.transitions.lock();
    yield writes(this, "isSuspended");
    if (!this.isSuspended) {
      this.isSuspended = true;
      // The leave is looked at last: who took it back in between has ended its call, or the call is still seen.
      const isInUse = yield* this.isInUse();
      if ((yield* this.engaged()) && (!isInUse || this.sim.hazards.suspendUnderCalls)) yield* this.suspend();
      else {
        yield writes(this, "isSuspended");
        this.isSuspended = false;
      }
    }
    yield* this.transitions.unlock();
  }

  /** From D0: the host's own suspend goes on from there, and what the device lost in the user's D3hot is restored (vfio_pci_core_runtime_suspend). */
  private *suspend(): Step<void> {
    yield* this.target.setPowerState(0);
    yield* this.target.irqs.suspend();
  }

  private *isInUse(): Step<boolean> {
    const begun = yield* this.begun.read();
    return begun !== (yield* this.ended.read());
  }

  // --- the features ---

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

  /** -EINVAL where it is engaged already. The device sleeps when this call has ended. */
  private *engage(wakeup: EventfdContext | null): Step<number> {
    yield* this.target.lockMemory(true);
    const isFirst = !(yield* this.engaged());
    if (isFirst) {
      yield writes(this, "isEngaged");
      this.isEngaged = true;
      this.wakeup = wakeup;
    }
    yield* this.target.unlockMemory();
    return isFirst ? 0 : -EINVAL;
  }

  *exit(call: FeatureCall): Step<number> {
    const check = checkFeature(call, SET, 0);
    if (check <= 0) return check;
    yield* this.lock.lock();
    yield* this.disengage();
    yield* this.lock.unlock();
    return 0;
  }

  /** Memory lock held. */
  private *disengage(): Step<void> {
    yield writes(this, "isEngaged");
    this.isEngaged = false;
    const { wakeup } = this;
    this.wakeup = null;
    if (wakeup !== null) yield* wakeup.put();
  }

  /** Last close: nobody is told any more, and the device is awake. */
  *close(): Step<void> {
    yield* this.lock.lock();
    yield* this.disengage();
    yield* this.lock.unlock();
    yield* this.wake();
  }
}
guarded(LowPower, (power) => power.lock, "wakeup");
shared(LowPower, "isSuspended", "isEngaged");
