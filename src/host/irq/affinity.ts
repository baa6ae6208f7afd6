import { reads } from "../../sim/access.js";
import type { Step } from "../../sim/step.js";
import { EINVAL, EPERM } from "../../uapi/errno.js";
import { Flow, type IrqDesc, Irqs, IrqSetting, type IrqTable } from "./desc.js";
import { chooseCpu, irqActivate, irqDeactivate, irqShutdown, irqStartup } from "./state.js";
import { type CpuList, firstOf } from "./types.js";

// Affinity and CPU hot-plug (host-irq.md 1.9).

/** A user's write to smp_affinity: 0, or -EPERM, -EINVAL. */
export function* setAffinity(table: IrqTable, irq: number, mask: CpuList): Step<number> {
  const desc = table.get(irq);
  if (desc === null) return -EINVAL;
  yield* desc.lock.lock();
  const result = yield* setByUser(desc, mask);
  yield* desc.lock.unlock();
  return result;
}

function* setByUser(desc: IrqDesc, mask: CpuList): Step<number> {
  const isFixed = desc.flow === Flow.PERCPU || desc.settings & IrqSetting.NO_BALANCING;
  if (isFixed || desc.state & Irqs.AFFINITY_MANAGED) return -EPERM;
  const online = desc.table.online();
  if (firstOf(mask, online) < 0) return -EINVAL;
  return yield* setLocked(desc, mask);
}

function* setLocked(desc: IrqDesc, mask: CpuList): Step<number> {
  if (desc.settings & IrqSetting.AFFINITY_ON_ACTIVATE && !(desc.state & Irqs.ACTIVATED)) {
    desc.affinity = mask;
    return 0;
  }
  const chosen = yield* chooseCpu(desc, mask);
  if (chosen < 0) return chosen;
  desc.affinity = mask;
  desc.effectiveCpu = chosen;
  return 0;
}

/** irq_set_affinity by the kernel itself: NO_BALANCING keeps only users away. 0 or the chip's errno. */
export function* moveIrq(table: IrqTable, irq: number, cpu: number): Step<number> {
  const desc = table.get(irq);
  if (desc === null) return -EINVAL;
  yield* desc.lock.lock();
  const result = yield* setLocked(desc, [cpu]);
  yield* desc.lock.unlock();
  return result;
}

/** Gives an interrupt a mask that the kernel keeps: no user changes it, and it is shut down while the mask is offline. */
export function* setManagedAffinity(table: IrqTable, irq: number, mask: CpuList): Step<number> {
  const desc = table.get(irq);
  if (desc === null) return -EINVAL;
  yield* desc.lock.lock();
  desc.state |= Irqs.AFFINITY_MANAGED;
  desc.affinity = mask;
  yield* desc.lock.unlock();
  return 0;
}

/** A CPU leaves: its interrupts move to others, and a mask without an online CPU is overwritten (K22). */
export function* migrateAllOff(table: IrqTable, cpu: number): Step<void> {
  for (let irq = 1; irq < table.end; irq++) {
    const desc = table.get(irq);
    if (desc === null) continue;
    yield* desc.lock.lock();
    yield* migrate(desc, cpu);
    yield* desc.lock.unlock();
  }
}

function* migrate(desc: IrqDesc, cpu: number): Step<void> {
  if (desc.flow === Flow.PERCPU || !(desc.state & Irqs.STARTED) || desc.effectiveCpu !== cpu) return;
  const online = desc.table.online();
  if (firstOf(desc.affinity, online) >= 0) {
    yield* setLocked(desc, desc.affinity);
    return;
  }
  if (desc.state & Irqs.AFFINITY_MANAGED) {
    yield* irqShutdown(desc);
    yield* irqDeactivate(desc);
    desc.state |= Irqs.MANAGED_SHUTDOWN;
    return;
  }
  const before = desc.affinity;
  if ((yield* setLocked(desc, online)) === 0) desc.table.warn(desc.irq, `IRQ ${desc.irq}: no longer affine to CPU${cpu}`);
  if (desc.table.sim.hazards.returnUnmanaged) desc.affinity = before;
}

/** A CPU comes: only managed interrupts return to it. */
export function* restoreManaged(table: IrqTable, cpu: number): Step<void> {
  for (let irq = 1; irq < table.end; irq++) {
    const desc = table.get(irq);
    if (desc === null) continue;
    yield* desc.lock.lock();
    yield reads(desc, "actions");
    const returns = table.sim.hazards.returnUnmanaged || (desc.state & Irqs.AFFINITY_MANAGED) !== 0;
    const isMine = returns && desc.actions !== null && desc.affinity.includes(cpu);
    if (isMine && desc.state & Irqs.MANAGED_SHUTDOWN) {
      if ((yield* irqActivate(desc)) === 0) yield* irqStartup(desc, true);
    } else if (isMine) yield* setLocked(desc, desc.affinity);
    yield* desc.lock.unlock();
  }
}
