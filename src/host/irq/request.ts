import { reads, writes } from "../../sim/access.js";
import type { Step } from "../../sim/step.js";
import { EBUSY, EINVAL, ENOSYS, ENOTCONN } from "../../uapi/errno.js";
import { Flow, IrqActionEntry, type IrqDesc, Irqs, IrqSetting, type IrqTable } from "./desc.js";
import { synchronize } from "./manage.js";
import { enableLocked, irqActivate, irqDeactivate, irqShutdown, irqStartup } from "./state.js";
import { DEFAULT_PRIMARY, IrqThread } from "./thread.js";
import { type IrqAction, Irqf, type IrqThreadAction, IrqType } from "./types.js";

/** What firmware gives for an interrupt that leads nowhere. */
export const IRQ_NOTCONNECTED = 0x80000000;

const SUSPEND_FLAGS = Irqf.NO_SUSPEND | Irqf.COND_SUSPEND;
const THREADS = 32;

/**
 * request_threaded_irq (host-irq.md 1.7), errors in its order. The line starts inside: the handler may run before this
 * returns. 0 or a negative errno.
 */
export function* requestIrq(
  table: IrqTable,
  irq: number,
  action: IrqAction | null,
  threadAction: IrqThreadAction | null,
  flags: number,
  name: string,
  devId: object | null,
): Step<number> {
  if (irq === IRQ_NOTCONNECTED) return -ENOTCONN;
  const badSharing = flags & Irqf.SHARED && (devId === null || flags & Irqf.NO_AUTOEN);
  if (badSharing || (flags & SUSPEND_FLAGS) === SUSPEND_FLAGS || (flags & Irqf.COND_SUSPEND && !(flags & Irqf.SHARED))) return -EINVAL;
  const desc = table.get(irq);
  if (desc === null || desc.settings & IrqSetting.NOREQUEST || desc.flow === Flow.PERCPU) return -EINVAL;
  if (action === null && threadAction === null) return -EINVAL;
  const entry = new IrqActionEntry(action ?? DEFAULT_PRIMARY, threadAction, flags, name, devId);
  return yield* setup(desc, entry);
}

/** __setup_irq, with the locks taken. */
function* setup(desc: IrqDesc, entry: IrqActionEntry): Step<number> {
  const { chip } = desc.data;
  if (chip.isNull) return -ENOSYS;
  if (chip.isOneshotSafe) entry.flags &= ~Irqf.ONESHOT;
  if (entry.threadAction !== null) entry.thread = new IrqThread(desc, entry, entry.threadAction);
  yield* desc.requestMutex.lock();
  yield* desc.lock.lock();
  if (!(entry.flags & Irqf.TRIGGER_MASK)) entry.flags |= desc.type;
  let error = yield* checkSharing(desc, entry);
  if (error === 0) error = takeThreadBit(desc, entry);
  if (error === 0) yield reads(desc, "actions");
  if (error === 0) error = desc.actions === null ? yield* addFirst(desc, entry) : yield* addShared(desc, entry);
  yield* desc.lock.unlock();
  yield* desc.requestMutex.unlock();
  return error;
}

/** Sharers agree: both SHARED, one trigger, one ONESHOT, one PERCPU. */
function* checkSharing(desc: IrqDesc, entry: IrqActionEntry): Step<number> {
  yield reads(desc, "actions");
  const old = desc.actions;
  if (old === null) return 0;
  const differs = (old.flags ^ entry.flags) & (Irqf.ONESHOT | Irqf.PERCPU);
  if (old.flags & entry.flags & Irqf.SHARED && desc.type === (entry.flags & Irqf.TRIGGER_MASK) && !differs) return 0;
  if (!(entry.flags & Irqf.PROBE_SHARED))
    desc.table.warn(desc.irq, `genirq: Flags mismatch irq ${desc.irq}. ${hex(entry.flags)} (${entry.name}) vs. ${hex(old.flags)} (${old.name})`);
  return -EBUSY;
}

function hex(flags: number): string {
  return flags.toString(16).padStart(8, "0");
}

/** ONESHOT gives each action the lowest free bit (1.6). Without it, a thread alone would leave a level line storming. */
function takeThreadBit(desc: IrqDesc, entry: IrqActionEntry): number {
  if (entry.flags & Irqf.ONESHOT) {
    const used = desc.threadBits;
    for (let bit = 0; bit < THREADS; bit++)
      if (!(used & (1 << bit))) {
        entry.threadMask = 1 << bit;
        desc.threadBits |= entry.threadMask;
        return 0;
      }
    return -EBUSY;
  }
  if (entry.action !== DEFAULT_PRIMARY || desc.data.chip.isOneshotSafe) return 0;
  desc.table.warn(desc.irq, `genirq: Threaded irq requested with handler=NULL and !ONESHOT for ${entry.name} (irq ${desc.irq})`);
  return -EINVAL;
}

function* addFirst(desc: IrqDesc, entry: IrqActionEntry): Step<number> {
  const trigger = entry.flags & Irqf.TRIGGER_MASK;
  let error = trigger === IrqType.NONE ? 0 : yield* setTrigger(desc, trigger);
  if (error === 0) error = yield* irqActivate(desc);
  if (error !== 0) {
    desc.threadBits &= ~entry.threadMask;
    return error;
  }
  desc.state &= ~(Irqs.SPURIOUS_DISABLED | Irqs.ONESHOT);
  if (entry.flags & Irqf.ONESHOT) desc.state |= Irqs.ONESHOT;
  yield writes(desc, "actions");
  desc.actions = entry;
  resetCounts(desc);
  if (entry.flags & Irqf.NO_AUTOEN || desc.settings & IrqSetting.NOAUTOEN) desc.depth = 1;
  else yield* irqStartup(desc, true);
  return 0;
}

/** At the end of the list; a line that was disabled as spurious gets one more chance. */
function* addShared(desc: IrqDesc, entry: IrqActionEntry): Step<number> {
  yield reads(desc, "actions");
  let last = desc.actions;
  while (last !== null) {
    yield reads(last, "next");
    if (last.next === null) break;
    last = last.next;
  }
  if (last !== null) {
    yield writes(last, "next");
    last.next = entry;
  }
  resetCounts(desc);
  if (desc.state & Irqs.SPURIOUS_DISABLED) {
    desc.state &= ~Irqs.SPURIOUS_DISABLED;
    yield* enableLocked(desc);
  }
  return 0;
}

function resetCounts(desc: IrqDesc): void {
  desc.irqCount = 0;
  desc.irqsUnhandled = 0;
}

/** __irq_set_trigger: the chip's errno, or the type is the descriptor's. */
export function* setTrigger(desc: IrqDesc, type: number): Step<number> {
  const { data } = desc;
  for (let level: typeof data | null = data; level !== null; level = level.parent) {
    if (!level.chip.setType) continue;
    const error = yield* level.chip.setType(level, type);
    if (error !== 0) return error;
    break;
  }
  desc.type = type;
  if (type & (IrqType.LEVEL_HIGH | IrqType.LEVEL_LOW)) desc.state |= Irqs.LEVEL;
  else desc.state &= ~Irqs.LEVEL;
  return 0;
}

export function* setIrqType(table: IrqTable, irq: number, type: number): Step<number> {
  const desc = table.get(irq);
  if (desc === null) return -EINVAL;
  yield* desc.lock.lock();
  const error = yield* setTrigger(desc, type);
  yield* desc.lock.unlock();
  return error;
}

/**
 * free_irq (1.7): after it returns no handler of that action runs or will run. The freed action, or null with a warning.
 * Sleeps: from interrupt context it would wait for itself.
 */
export function* freeIrq(table: IrqTable, irq: number, devId: object | null): Step<IrqAction | null> {
  const desc = table.get(irq);
  if (desc === null) return null;
  if (table.inInterrupt()) table.warn(irq, `Trying to free IRQ ${irq} from IRQ context!`);
  yield* desc.requestMutex.lock();
  yield* desc.lock.lock();
  const entry = yield* unlink(desc, devId);
  if (entry === null) {
    yield* desc.lock.unlock();
    yield* desc.requestMutex.unlock();
    table.warn(irq, `Trying to free already-free IRQ ${irq}`);
    return null;
  }
  yield reads(desc, "actions");
  const wasLast = desc.actions === null;
  if (wasLast) {
    desc.settings &= ~IrqSetting.DISABLE_UNLAZY;
    yield* irqShutdown(desc);
  }
  yield* desc.lock.unlock();
  if (!table.sim.hazards.freeWithoutSync) yield* synchronize(desc);
  if (entry.thread !== null && !entry.thread.isOpen()) yield* table.sim.wait(entry.thread);
  desc.threadBits &= ~entry.threadMask;
  if (wasLast) {
    yield* desc.lock.lock();
    yield* irqDeactivate(desc);
    yield* desc.lock.unlock();
  }
  yield* desc.requestMutex.unlock();
  entry.lifetime.free();
  return entry.action;
}

/** Takes the action of `devId` off the line; null where there is none. */
function* unlink(desc: IrqDesc, devId: object | null): Step<IrqActionEntry | null> {
  let before: IrqActionEntry | null = null;
  yield reads(desc, "actions");
  let entry = desc.actions;
  while (entry !== null && entry.devId !== devId) {
    before = entry;
    yield reads(entry, "next");
    entry = entry.next;
  }
  if (entry === null) return null;
  yield reads(entry, "next");
  const after = entry.next;
  if (before === null) {
    yield writes(desc, "actions");
    desc.actions = after;
  } else {
    yield writes(before, "next");
    before.next = after;
  }
  return entry;
}
