import { current } from "../../sim/context.js";
import { Cost } from "../../sim/cost.js";
import { Ev } from "../../sim/event.js";
import type { Step } from "../../sim/step.js";
import { EBUSY, EINVAL } from "../../uapi/errno.js";
import type { IrqData } from "./chip.js";
import { type IrqDesc, Irqs, IrqSetting } from "./desc.js";
import { type CpuList, firstOf } from "./types.js";

// The state primitives of host-irq.md 1.3. All run under the descriptor's lock.

export function* maskIrq(desc: IrqDesc): Step<void> {
  if (desc.state & Irqs.MASKED) return;
  yield* desc.data.chip.mask(desc.data);
  wroteMask(desc);
}

export function* unmaskIrq(desc: IrqDesc): Step<void> {
  if (!(desc.state & Irqs.MASKED)) return;
  // The state first: the write may raise this CPU's interrupt at once.
  desc.state &= ~Irqs.MASKED;
  desc.unmaskOps++;
  const { sim } = desc.table;
  sim.charge(Cost.irqUnmask);
  sim.emit(Ev.irq_unmask, desc.irq);
  yield* desc.data.chip.unmask(desc.data);
}

function wroteMask(desc: IrqDesc): void {
  desc.state |= Irqs.MASKED;
  desc.maskOps++;
  const { sim } = desc.table;
  sim.charge(Cost.irqMask);
  sim.emit(Ev.irq_mask, desc.irq);
}

/**
 * Lazy unless the chip can disable or the line asks not to be: DISABLED without MASKED, and only an interrupt that
 * arrives then makes the flow handler mask it (K1).
 */
export function* irqDisable(desc: IrqDesc, isUnlazy: boolean): Step<void> {
  const { chip } = desc.data;
  if (desc.state & Irqs.DISABLED) {
    if (isUnlazy) yield* maskIrq(desc);
    return;
  }
  desc.state |= Irqs.DISABLED;
  if (chip.disable) {
    yield* chip.disable(desc.data);
    wroteMask(desc);
  } else if (isUnlazy || desc.table.sim.hazards.maskAtDisable) yield* maskIrq(desc);
}

export function* irqEnable(desc: IrqDesc): Step<void> {
  const { chip } = desc.data;
  if (!(desc.state & Irqs.DISABLED)) {
    yield* unmaskIrq(desc);
    return;
  }
  desc.state &= ~Irqs.DISABLED;
  if (!chip.enable) {
    yield* unmaskIrq(desc);
    return;
  }
  desc.state &= ~Irqs.MASKED;
  desc.unmaskOps++;
  desc.table.sim.emit(Ev.irq_unmask, desc.irq);
  yield* chip.enable(desc.data);
}

/** Start-up (1.3): also what enable_irq from depth 1 runs through, then with `resend`. */
export function* irqStartup(desc: IrqDesc, resend: boolean): Step<void> {
  desc.depth = 0;
  if (desc.state & Irqs.STARTED) yield* irqEnable(desc);
  else if (canStart(desc)) {
    desc.state = (desc.state | Irqs.STARTED) & ~Irqs.MANAGED_SHUTDOWN;
    yield* applyAffinity(desc);
    yield* irqEnable(desc);
  } else {
    desc.depth = 1;
    return;
  }
  if (resend) yield* checkResend(desc);
}

/** A managed interrupt none of whose CPUs is online stays shut down until one comes (1.9). */
function canStart(desc: IrqDesc): boolean {
  if (!(desc.state & Irqs.AFFINITY_MANAGED)) return true;
  const online = desc.table.online();
  if (firstOf(desc.affinity, online) >= 0) return true;
  desc.state |= Irqs.MANAGED_SHUTDOWN;
  return false;
}

/** Lets the chip choose a CPU of the affinity mask; the choice is the effective affinity. */
function* applyAffinity(desc: IrqDesc): Step<void> {
  const chosen = yield* chooseCpu(desc, desc.affinity);
  if (chosen >= 0) desc.effectiveCpu = chosen;
}

/** The CPU of `mask` that the chip takes, or a negative errno. */
export function* chooseCpu(desc: IrqDesc, mask: CpuList): Step<number> {
  let data: IrqData | null = desc.data;
  while (data !== null) {
    if (data.chip.setAffinity) return yield* data.chip.setAffinity(data, mask, desc.table.online(), false);
    data = data.parent;
  }
  return -EINVAL;
}

/** Programs what activation has to: an MSI's message. 0 or the chip's errno. */
export function* irqActivate(desc: IrqDesc): Step<number> {
  if (desc.state & Irqs.ACTIVATED) return 0;
  const error = desc.data.chip.activate ? yield* desc.data.chip.activate(desc.data) : 0;
  if (error === 0) desc.state |= Irqs.ACTIVATED;
  return error;
}

/** Clears what activation programmed. */
export function* irqDeactivate(desc: IrqDesc): Step<void> {
  if (!(desc.state & Irqs.ACTIVATED)) return;
  if (desc.data.chip.deactivate) yield* desc.data.chip.deactivate(desc.data);
  desc.state &= ~Irqs.ACTIVATED;
}

/** Shuts the interrupt down and really masks it, whatever its settings. */
export function* irqShutdown(desc: IrqDesc): Step<void> {
  if (!(desc.state & Irqs.STARTED)) return;
  desc.table.softResend.cancel(desc);
  desc.state &= ~Irqs.REPLAY;
  desc.depth = 1;
  yield* irqDisable(desc, true);
  desc.state &= ~Irqs.STARTED;
}

/**
 * A level interrupt is presented again by the hardware, so PENDING is dropped (K2); an edge seen while disabled is sent
 * again once (K3), and not while an earlier resend is on its way (K4).
 */
export function* checkResend(desc: IrqDesc): Step<number> {
  const { table } = desc;
  const { hazards } = table.sim;
  if (desc.state & Irqs.LEVEL && !hazards.resendLevel) {
    desc.state &= ~Irqs.PENDING;
    return 0;
  }
  if (desc.state & Irqs.REPLAY && !hazards.resendAgain) return -EBUSY;
  if (!(desc.state & Irqs.PENDING)) return 0;
  if (!hazards.resendAgain) desc.state &= ~Irqs.PENDING;
  for (let data = desc.data; ; data = data.parent) {
    if (data.chip.retrigger) {
      desc.state |= Irqs.REPLAY;
      table.sim.emit(Ev.irq_resend, desc.irq, "retrigger");
      if (yield* data.chip.retrigger(data)) return 0;
      desc.state &= ~Irqs.REPLAY;
    }
    if (data.parent === null) break;
  }
  if (!desc.data.chip.allowsSoftwareResend) return -EINVAL;
  desc.state |= Irqs.REPLAY;
  table.sim.emit(Ev.irq_resend, desc.irq, "software");
  table.softResend.queue(desc, current().cpu);
  return 0;
}

/** enable_irq's work: from depth 1 it starts the line up and resends what came in between. */
export function* enableLocked(desc: IrqDesc): Step<void> {
  if (desc.depth === 0) desc.table.warn(desc.irq, `Unbalanced enable for IRQ ${desc.irq}`);
  else if (desc.depth === 1) yield* irqStartup(desc, true);
  else desc.depth--;
}

/** disable_irq_nosync's work (1.3). */
export function* disableLocked(desc: IrqDesc): Step<void> {
  if (desc.depth++ === 0) yield* irqDisable(desc, (desc.settings & IrqSetting.DISABLE_UNLAZY) !== 0);
}
