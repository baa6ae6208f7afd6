import type { Waitable } from "../../sim/access.js";
import { current } from "../../sim/context.js";
import { Deadlock } from "../../sim/sim.js";
import type { Step } from "../../sim/step.js";
import { EINVAL, ENOSYS } from "../../uapi/errno.js";
import type { IrqchipState, IrqData } from "./chip.js";
import type { IrqDesc, IrqTable } from "./desc.js";
import { disableLocked, enableLocked } from "./state.js";

// What drivers call by irq number (host-irq.md 1.3, 1.7, 1.8).

/** Disables without waiting: the one to call in a handler, and under locks that handlers take (K7). 0 or -EINVAL. */
export function* disableIrqNosync(table: IrqTable, irq: number): Step<number> {
  const desc = table.get(irq);
  if (desc === null) return -EINVAL;
  yield* desc.lock.lock();
  yield* disableLocked(desc);
  yield* desc.lock.unlock();
  return 0;
}

/** Disables, and waits for running handlers. Called from one of them it could never end: a Deadlock. */
export function* disableIrq(table: IrqTable, irq: number): Step<number> {
  const error = yield* disableIrqNosync(table, irq);
  return error === 0 ? yield* synchronizeIrq(table, irq) : error;
}

export function* enableIrq(table: IrqTable, irq: number): Step<number> {
  const desc = table.get(irq);
  if (desc === null) return -EINVAL;
  yield* desc.lock.lock();
  yield* enableLocked(desc);
  yield* desc.lock.unlock();
  return 0;
}

class Idle implements Waitable {
  constructor(
    private readonly desc: IrqDesc,
    private readonly withThreads: boolean,
  ) {}
  isOpen(): boolean {
    const { desc } = this;
    return !desc.inProgress && (!this.withThreads || (desc.threadsActive === 0 && !isChipActive(desc)));
  }
}

/** Active at the controller: only where some level of the hierarchy can say so. */
function isChipActive(desc: IrqDesc): boolean {
  let data: IrqData | null = desc.data;
  while (data !== null) {
    if (data.chip.isActive) return data.chip.isActive(data);
    data = data.parent;
  }
  return false;
}

/**
 * Waits for handlers, threads and the controller's active state; not for work that handlers have queued. A forwarded
 * interrupt that its guest holds active keeps it waiting (K8).
 */
export function* synchronize(desc: IrqDesc): Step<void> {
  refuseOwnHandler(desc);
  yield* desc.table.sim.wait(new Idle(desc, true));
}

export function* synchronizeIrq(table: IrqTable, irq: number): Step<number> {
  const desc = table.get(irq);
  if (desc === null) return -EINVAL;
  yield* synchronize(desc);
  return 0;
}

/** Waits for the hard handlers only; true when no thread is on its way. */
export function* synchronizeHardirq(table: IrqTable, irq: number): Step<boolean> {
  const desc = table.get(irq);
  if (desc === null) return true;
  refuseOwnHandler(desc);
  yield* table.sim.wait(new Idle(desc, false));
  return desc.threadsActive === 0;
}

function refuseOwnHandler(desc: IrqDesc): void {
  if (desc.runner === current()) throw new Deadlock(`${current().name} waits for the end of irq ${desc.irq}'s handlers inside of one`);
  if (desc.table.sim.spinlocksHeld() > 0) throw new Deadlock(`${current().name} waits for irq ${desc.irq} with a spinlock held`);
}

/**
 * irq_set_vcpu_affinity (1.8): the first level from the outside that has the operation. With the lock held by the
 * caller; 0, the chip's errno, or -ENOSYS.
 */
export function* setVcpuAffinityLocked(desc: IrqDesc, info: object | null): Step<number> {
  let data: IrqData | null = desc.data;
  while (data !== null) {
    if (data.chip.setVcpuAffinity) return yield* data.chip.setVcpuAffinity(data, info);
    data = data.parent;
  }
  return -ENOSYS;
}

export function* setIrqVcpuAffinity(table: IrqTable, irq: number, info: object | null): Step<number> {
  const desc = table.get(irq);
  if (desc === null) return -EINVAL;
  yield* desc.lock.lock();
  const result = yield* setVcpuAffinityLocked(desc, info);
  yield* desc.lock.unlock();
  return result;
}

/** 0 or 1, or a negative errno. */
export function* getIrqchipState(table: IrqTable, irq: number, which: IrqchipState): Step<number> {
  const desc = table.get(irq);
  if (desc === null) return -EINVAL;
  yield* desc.lock.lock();
  const result = yield* getStateLocked(desc, which);
  yield* desc.lock.unlock();
  return result;
}

export function* getStateLocked(desc: IrqDesc, which: IrqchipState): Step<number> {
  let data: IrqData | null = desc.data;
  while (data !== null) {
    if (data.chip.getState) return yield* data.chip.getState(data, which);
    data = data.parent;
  }
  return -EINVAL;
}

export function* setIrqchipState(table: IrqTable, irq: number, which: IrqchipState, value: boolean): Step<number> {
  const desc = table.get(irq);
  if (desc === null) return -EINVAL;
  yield* desc.lock.lock();
  const result = yield* setStateLocked(desc, which, value);
  yield* desc.lock.unlock();
  return result;
}

export function* setStateLocked(desc: IrqDesc, which: IrqchipState, value: boolean): Step<number> {
  let data: IrqData | null = desc.data;
  while (data !== null) {
    if (data.chip.setState) return yield* data.chip.setState(data, which, value);
    data = data.parent;
  }
  return -EINVAL;
}
