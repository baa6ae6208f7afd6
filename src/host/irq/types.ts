import type { Context } from "../../sim/context.js";
import type { Step } from "../../sim/step.js";

/** What a handler returns; the results of a shared line's handlers are ORed. */
export const enum IrqReturn {
  NONE = 0,
  HANDLED = 1,
  WAKE_THREAD = 2,
}

/** Flags of a request (include/linux/interrupt.h). */
export const enum Irqf {
  TRIGGER_RISING = 0x1,
  TRIGGER_FALLING = 0x2,
  TRIGGER_HIGH = 0x4,
  TRIGGER_LOW = 0x8,
  TRIGGER_MASK = 0xf,
  SHARED = 0x80,
  PROBE_SHARED = 0x100,
  TIMER = 0x200,
  PERCPU = 0x400,
  ONESHOT = 0x2000,
  NO_SUSPEND = 0x4000,
  NO_THREAD = 0x10000,
  COND_SUSPEND = 0x40000,
  NO_AUTOEN = 0x80000,
}

/** The trigger types of irq_set_type: the same bits as in a request's flags. */
export const enum IrqType {
  NONE = 0,
  EDGE_RISING = 1,
  EDGE_FALLING = 2,
  EDGE_BOTH = 3,
  LEVEL_HIGH = 4,
  LEVEL_LOW = 8,
}

/** A device's interrupt handler, in hard interrupt context: it may not sleep. */
export interface IrqAction {
  /** {@link IrqReturn} */
  handler(irq: number, devId: object | null): Step<number>;
}

/** A device's threaded handler: it may sleep. */
export interface IrqThreadAction {
  /** {@link IrqReturn} */
  thread(irq: number, devId: object | null): Step<number>;
}

/** Which physical CPUs, ascending. */
export type CpuList = readonly number[];

/** The first CPU of `mask` that `online` has too, -1 without one. */
export function firstOf(mask: CpuList, online: CpuList): number {
  for (let i = 0; i < mask.length; i++) for (let n = 0; n < online.length; n++) if (online[n] === mask[i]) return mask[i];
  return -1;
}

/** The physical CPUs as the interrupt layer sees them. */
export interface IrqCpu {
  readonly cpu: number;
  isOnline: boolean;
  /** Interrupt handlers on this CPU's stack. */
  readonly interruptDepth: number;
  switchTo(thread: Context | null): Step<void>;
  wakeThread(thread: Context): Step<boolean>;
}
