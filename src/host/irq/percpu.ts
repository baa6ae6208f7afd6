import { reads, writes } from "../../sim/access.js";
import { current } from "../../sim/context.js";
import { Cost } from "../../sim/cost.js";
import { Ev } from "../../sim/event.js";
import type { Step } from "../../sim/step.js";
import { EBUSY, EINVAL } from "../../uapi/errno.js";
import { Flow, IrqActionEntry, type IrqTable } from "./desc.js";
import type { IrqAction } from "./types.js";

// Per-CPU interrupts: one action for all CPUs, one enable bit for each, and never a lazy one (host-irq.md 1.4).

/** Installs the handler of a PPI; each CPU enables its own copy. 0, -EINVAL or -EBUSY. */
export function* requestPercpuIrq(table: IrqTable, irq: number, action: IrqAction, name: string, devId: object | null): Step<number> {
  const desc = table.get(irq);
  if (desc === null || desc.flow !== Flow.PERCPU) return -EINVAL;
  yield reads(desc, "actions");
  if (desc.actions !== null) return -EBUSY;
  yield writes(desc, "actions");
  desc.actions = new IrqActionEntry(action, null, 0, name, devId);
  return 0;
}

/** Enables or disables the copy of the CPU that runs this. */
export function* setPercpuEnabled(table: IrqTable, irq: number, isEnabled: boolean): Step<number> {
  const desc = table.get(irq);
  if (desc === null || desc.flow !== Flow.PERCPU) return -EINVAL;
  const { cpu } = current();
  if ((desc.percpuEnabled[cpu] === 1) === isEnabled) return 0;
  desc.percpuEnabled[cpu] = isEnabled ? 1 : 0;
  const { chip } = desc.data;
  const { sim } = table;
  if (isEnabled) {
    desc.unmaskOps++;
    sim.charge(Cost.irqUnmask);
    sim.emit(Ev.irq_unmask, irq);
    yield* chip.unmask(desc.data);
  } else {
    desc.maskOps++;
    sim.charge(Cost.irqMask);
    sim.emit(Ev.irq_mask, irq);
    yield* chip.mask(desc.data);
  }
  return 0;
}

/** Takes the handler of a PPI away; every CPU has disabled its copy before. 0, -EINVAL, or -EBUSY. */
export function* freePercpuIrq(table: IrqTable, irq: number): Step<number> {
  const desc = table.get(irq);
  if (desc === null || desc.flow !== Flow.PERCPU) return -EINVAL;
  if (desc.percpuEnabled.includes(1)) {
    table.warn(irq, `percpu IRQ ${irq} still enabled on CPU${desc.percpuEnabled.indexOf(1)}!`);
    return -EBUSY;
  }
  yield writes(desc, "actions");
  desc.actions = null;
  return 0;
}
