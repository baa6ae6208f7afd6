import { current } from "../sim/context.js";
import type { Sim } from "../sim/sim.js";
import type { Step } from "../sim/step.js";
import { WorkQueue } from "../sim/workqueue.js";
import type { HostCpu } from "./cpu.js";
import type { IrqchipState } from "./irq/chip.js";
import { type IrqCounts, type IrqDesc, IrqSetting, IrqTable } from "./irq/desc.js";
import { migrateAllOff, restoreManaged, setAffinity, setManagedAffinity } from "./irq/affinity.js";
import { disableIrq, disableIrqNosync, enableIrq, getIrqchipState, setIrqchipState, setIrqVcpuAffinity, synchronizeIrq } from "./irq/manage.js";
import { freeIrq, requestIrq, setIrqType } from "./irq/request.js";
import { type IrqBypassManager, irqBypassOf } from "./irqbypass.js";
import type { MsiDomain } from "./msi.js";
import { freePercpuIrq, requestPercpuIrq, setPercpuEnabled } from "./irq/percpu.js";
import type { CpuList, IrqAction, IrqThreadAction } from "./irq/types.js";

/** Of {@link Host.tainted}: user space was given what the kernel cannot answer for (include/linux/panic.h). */
export const TAINT_USER = 1 << 6;

/** The host kernel of one machine: its CPUs, its interrupts, its work queues. Drivers call it by irq number. */
export abstract class Host {
  readonly cpus: readonly HostCpu[];
  readonly irqs: IrqTable;
  /** The system work queue, and the host-wide one that ends irqfds. */
  readonly events: WorkQueue;
  readonly irqfdCleanup: WorkQueue;
  /** Matches interrupts of devices with irqfds that could take them past the host. */
  readonly irqBypass: IrqBypassManager;
  /** Where message-signalled interrupts come from; null on a machine without. */
  msi: MsiDomain | null = null;
  /** /proc/sys/kernel/tainted: never cleared. */
  tainted = 0;
  private readonly allCpus: HostCpu[] = [];

  /** @param sim has at least one clock per CPU; one more, if there is one, is the hardware's */
  constructor(readonly sim: Sim) {
    this.cpus = this.allCpus;
    this.irqs = new IrqTable(sim, this.cpus);
    this.events = new WorkQueue(sim, "events");
    this.irqfdCleanup = new WorkQueue(sim, "kvm-irqfd-cleanup");
    this.irqBypass = irqBypassOf(sim);
  }

  /** add_taint(TAINT_USER). */
  taintUser(): void {
    this.tainted |= TAINT_USER;
  }

  /** In the order of their numbers. */
  protected addCpu(cpu: HostCpu): void {
    this.allCpus.push(cpu);
  }

  /** The CPU that runs the current context. */
  thisCpu(): HostCpu {
    return this.cpus[current().cpu] ?? this.cpus[0];
  }

  /** Makes a sleeping thread runnable on its CPU ({@link HostCpu.wakeThread}). */
  *wakeThread(thread: Parameters<HostCpu["wakeThread"]>[0]): Step<boolean> {
    return yield* this.cpus[thread.cpu].wakeThread(thread);
  }

  /** Null where there is no such irq. */
  desc(irq: number): IrqDesc | null {
    return this.irqs.get(irq);
  }

  /** Acknowledges, /proc/interrupts, chip masks and unmasks of an irq so far. */
  counts(irq: number): IrqCounts {
    return this.irqs.get(irq)?.counts() ?? { taken: 0, kstat: 0, maskOps: 0, unmaskOps: 0 };
  }

  /** `flags` are {@link Irqf} bits. 0 or a negative errno (host-irq.md 1.7). */
  *requestIrq(irq: number, action: IrqAction, flags: number, name: string, devId: object | null): Step<number> {
    return yield* requestIrq(this.irqs, irq, action, null, flags, name, devId);
  }

  *requestThreadedIrq(
    irq: number,
    action: IrqAction | null,
    threadAction: IrqThreadAction | null,
    flags: number,
    name: string,
    devId: object | null,
  ): Step<number> {
    return yield* requestIrq(this.irqs, irq, action, threadAction, flags, name, devId);
  }

  *freeIrq(irq: number, devId: object | null): Step<IrqAction | null> {
    return yield* freeIrq(this.irqs, irq, devId);
  }

  *enableIrq(irq: number): Step<number> {
    return yield* enableIrq(this.irqs, irq);
  }

  *disableIrq(irq: number): Step<number> {
    return yield* disableIrq(this.irqs, irq);
  }

  *disableIrqNosync(irq: number): Step<number> {
    return yield* disableIrqNosync(this.irqs, irq);
  }

  *synchronizeIrq(irq: number): Step<number> {
    return yield* synchronizeIrq(this.irqs, irq);
  }

  /** {@link IrqType}. 0, or the chip's -EINVAL. */
  *setIrqType(irq: number, type: number): Step<number> {
    return yield* setIrqType(this.irqs, irq, type);
  }

  /** A PPI's handler, for all CPUs; each then enables its own copy. */
  *requestPercpuIrq(irq: number, action: IrqAction, name: string, devId: object | null): Step<number> {
    return yield* requestPercpuIrq(this.irqs, irq, action, name, devId);
  }

  *freePercpuIrq(irq: number): Step<number> {
    return yield* freePercpuIrq(this.irqs, irq);
  }

  /** On the CPU that runs this. */
  *setPercpuEnabled(irq: number, isEnabled: boolean): Step<number> {
    return yield* setPercpuEnabled(this.irqs, irq, isEnabled);
  }

  /** A write to smp_affinity. 0, -EPERM or -EINVAL (host-irq.md 1.9). */
  *setAffinity(irq: number, mask: CpuList): Step<number> {
    return yield* setAffinity(this.irqs, irq, mask);
  }

  *setManagedAffinity(irq: number, mask: CpuList): Step<number> {
    return yield* setManagedAffinity(this.irqs, irq, mask);
  }

  /** Hot-unplug: the CPU takes no more interrupts, and its SPIs move. */
  *cpuDown(cpu: number): Step<void> {
    this.cpus[cpu].isOnline = false;
    yield* migrateAllOff(this.irqs, cpu);
  }

  *cpuUp(cpu: number): Step<void> {
    this.cpus[cpu].isOnline = true;
    yield* restoreManaged(this.irqs, cpu);
  }

  *setIrqVcpuAffinity(irq: number, info: object | null): Step<number> {
    return yield* setIrqVcpuAffinity(this.irqs, irq, info);
  }

  *getIrqchipState(irq: number, which: IrqchipState): Step<number> {
    return yield* getIrqchipState(this.irqs, irq, which);
  }

  *setIrqchipState(irq: number, which: IrqchipState, value: boolean): Step<number> {
    return yield* setIrqchipState(this.irqs, irq, which, value);
  }

  /** DISABLE_UNLAZY: disabling masks at once (1.3). Freeing the last action ends it. */
  setUnlazy(irq: number, isUnlazy: boolean): void {
    const desc = this.irqs.get(irq);
    if (desc === null) return;
    if (isUnlazy) desc.settings |= IrqSetting.DISABLE_UNLAZY;
    else desc.settings &= ~IrqSetting.DISABLE_UNLAZY;
  }
}
