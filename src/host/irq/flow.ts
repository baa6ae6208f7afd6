import { reads } from "../../sim/access.js";
import { current } from "../../sim/context.js";
import { Cost } from "../../sim/cost.js";
import { Ev } from "../../sim/event.js";
import type { Step } from "../../sim/step.js";
import { Flow, type IrqDesc, Irqs, IrqSetting } from "./desc.js";
import { checkResend, maskIrq, unmaskIrq } from "./state.js";
import { waitForHandlers, wakeIrqThread } from "./thread.js";
import { IrqReturn } from "./types.js";
import { noteInterrupt } from "../spurious.js";

// The flow handlers of host-irq.md 1.4: under the descriptor's lock, except while the handlers run.

/** Runs the flow handler of an acknowledged interrupt. */
export function* handleIrq(desc: IrqDesc): Step<void> {
  switch (desc.flow) {
    case Flow.FASTEOI:
      yield* handleFasteoi(desc);
      break;
    case Flow.PERCPU:
      yield* handlePercpu(desc);
      break;
    case Flow.LEVEL:
      yield* handleLevel(desc);
      break;
    default:
      yield* handleEdge(desc);
  }
}

/** No handler to run, or not wanted: PENDING is how enable_irq learns of it. */
function* canHandleActions(desc: IrqDesc): Step<boolean> {
  desc.state &= ~Irqs.REPLAY;
  yield reads(desc, "actions");
  if (desc.actions !== null && !(desc.state & Irqs.DISABLED)) return true;
  if (!desc.table.sim.hazards.forgetMaskedEdge) desc.state |= Irqs.PENDING;
  return false;
}

/** K5 without its rule: when the lock is taken again, what was seen may hold no more. */
function* canHandleUnlocked(desc: IrqDesc): Step<boolean> {
  const can = yield* canHandleActions(desc);
  yield* desc.lock.unlock();
  yield* desc.lock.lock();
  return can;
}

/** Not while handlers run; a poll on another CPU is waited for. */
function* isBusy(desc: IrqDesc): Step<boolean> {
  if (!desc.inProgress || !desc.isPolled) return desc.inProgress;
  yield* desc.lock.unlock();
  yield* waitForHandlers(desc);
  return false;
}

function* handleFasteoi(desc: IrqDesc): Step<void> {
  const { hazards } = desc.table.sim;
  yield* desc.lock.lock();
  if (yield* isBusy(desc)) {
    // An LPI that came on its new CPU while the old one still handles it (K21).
    if (desc.settings & IrqSetting.RESEND_WHEN_IN_PROGRESS && !hazards.dropInProgress) desc.state |= Irqs.PENDING;
    yield* desc.data.chip.eoi(desc.data);
  } else if (hazards.actOnOldDisabled ? yield* canHandleUnlocked(desc) : yield* canHandleActions(desc)) {
    desc.countHandled(current().cpu);
    if (desc.state & Irqs.ONESHOT) yield* maskIrq(desc);
    yield* handleEvent(desc);
    yield* eoiAndUnmask(desc);
    if (desc.state & Irqs.PENDING) yield* checkResend(desc);
  } else {
    yield* maskIrq(desc);
    yield* desc.data.chip.eoi(desc.data);
  }
  yield* desc.lock.unlock();
}

function* eoiAndUnmask(desc: IrqDesc): Step<void> {
  const { chip } = desc.data;
  if (!(desc.state & Irqs.ONESHOT)) {
    yield* chip.eoi(desc.data);
    return;
  }
  const isDone = (desc.state & (Irqs.DISABLED | Irqs.MASKED)) === Irqs.MASKED && desc.threadsOneshot === 0;
  if (isDone || !chip.eoiAfterThread) yield* chip.eoi(desc.data);
  if (isDone) yield* unmaskIrq(desc);
}

function* maskAndAck(desc: IrqDesc): Step<void> {
  yield* maskIrq(desc);
  yield* ack(desc);
}

function* ack(desc: IrqDesc): Step<void> {
  const { chip } = desc.data;
  if (chip.ack) yield* chip.ack(desc.data);
}

function* handleLevel(desc: IrqDesc): Step<void> {
  yield* desc.lock.lock();
  yield* maskAndAck(desc);
  if (!(yield* isBusy(desc)) && (yield* canHandleActions(desc))) {
    desc.countHandled(current().cpu);
    yield* handleEvent(desc);
    if ((desc.state & (Irqs.DISABLED | Irqs.MASKED)) === Irqs.MASKED && desc.threadsOneshot === 0) yield* unmaskIrq(desc);
  }
  yield* desc.lock.unlock();
}

function* handleEdge(desc: IrqDesc): Step<void> {
  yield* desc.lock.lock();
  if (yield* isBusy(desc)) {
    desc.state |= Irqs.PENDING;
    yield* maskAndAck(desc);
  } else if (yield* canHandleActions(desc)) {
    desc.countHandled(current().cpu);
    yield* ack(desc);
    yield* edgeRounds(desc);
  } else yield* maskAndAck(desc);
  yield* desc.lock.unlock();
}

/** An edge that came while the handlers ran is handled by another round. */
function* edgeRounds(desc: IrqDesc): Step<void> {
  do {
    yield reads(desc, "actions");
    if (desc.actions === null) {
      yield* maskIrq(desc);
      return;
    }
    if ((desc.state & (Irqs.PENDING | Irqs.MASKED | Irqs.DISABLED)) === (Irqs.PENDING | Irqs.MASKED)) yield* unmaskIrq(desc);
    yield* handleEvent(desc);
  } while ((desc.state & (Irqs.PENDING | Irqs.DISABLED)) === Irqs.PENDING);
}

/** PPIs: no lock, no INPROGRESS, no PENDING; each CPU has its own copy. */
function* handlePercpu(desc: IrqDesc): Step<void> {
  const { cpu } = current();
  const { chip } = desc.data;
  desc.countHandled(cpu);
  if (chip.ack) yield* chip.ack(desc.data);
  yield reads(desc, "actions");
  const entry = desc.actions;
  if (entry !== null && desc.percpuEnabled[cpu]) {
    const { sim } = desc.table;
    sim.charge(Cost.irqHandler);
    entry.lifetime.touch();
    const result = yield* entry.action.handler(desc.irq, entry.devId);
    sim.emit(Ev.irq_handler, desc.irq, result);
  } else {
    desc.percpuEnabled[cpu] = 0;
    yield* chip.mask(desc.data);
    desc.table.warn(desc.irq, `Spurious percpu IRQ${desc.irq} on CPU${cpu}, no handler`);
  }
  yield* chip.eoi(desc.data);
}

/** Runs the handlers with the lock dropped; INPROGRESS keeps others out. */
export function* handleEvent(desc: IrqDesc): Step<number> {
  desc.state &= ~Irqs.PENDING;
  desc.inProgress = true;
  desc.runner = current();
  yield* desc.lock.unlock();
  const result = yield* runActions(desc);
  if (!desc.table.noDebug) yield* noteInterrupt(desc, result);
  yield* desc.lock.lock();
  desc.inProgress = false;
  desc.runner = null;
  return result;
}

function* runActions(desc: IrqDesc): Step<number> {
  const { sim } = desc.table;
  let result = 0;
  yield reads(desc, "actions");
  let entry = desc.actions;
  while (entry !== null) {
    sim.charge(Cost.irqHandler);
    entry.lifetime.touch();
    const one = yield* entry.action.handler(desc.irq, entry.devId);
    sim.emit(Ev.irq_handler, desc.irq, one);
    if (one === IrqReturn.WAKE_THREAD) yield* wakeIrqThread(desc, entry);
    result |= one;
    yield reads(entry, "next");
    entry = entry.next;
  }
  return result;
}
