import { guarded, shared } from "../../sim/access.js";
import { current, type Task } from "../../sim/context.js";
import { Ev } from "../../sim/event.js";
import { Lifetime } from "../../sim/lifetime.js";
import { Mutex, Spinlock } from "../../sim/lock.js";
import type { Sim } from "../../sim/sim.js";
import { type IrqChip, IrqData } from "./chip.js";
import type { IrqThread } from "./thread.js";
import type { CpuList, IrqAction, IrqCpu, IrqThreadAction } from "./types.js";
import { SoftResend } from "./resend.js";
import { SpuriousPoll } from "../spurious.js";

/** State bits of a descriptor (host-irq.md 1.1), all under its lock. */
export const enum Irqs {
  /** Software does not want it. */
  DISABLED = 1 << 0,
  /** The chip was really told. */
  MASKED = 1 << 1,
  STARTED = 1 << 2,
  ACTIVATED = 1 << 3,
  /** Seen but not handled. */
  PENDING = 1 << 4,
  /** A resend has been issued and has not arrived. */
  REPLAY = 1 << 5,
  ONESHOT = 1 << 6,
  LEVEL = 1 << 7,
  SPURIOUS_DISABLED = 1 << 9,
  AFFINITY_MANAGED = 1 << 10,
  MANAGED_SHUTDOWN = 1 << 11,
}

/** Settings of a descriptor: made before it is requested. */
export const enum IrqSetting {
  NO_BALANCING = 1 << 0,
  NOAUTOEN = 1 << 1,
  NOREQUEST = 1 << 2,
  DISABLE_UNLAZY = 1 << 3,
  /** A second arrival during handling is not lost: LPIs (K21). */
  RESEND_WHEN_IN_PROGRESS = 1 << 4,
  /** The chip wants activation before its first affinity. */
  AFFINITY_ON_ACTIVATE = 1 << 5,
}

/** The flow of an interrupt: which of host-irq.md 1.4's columns serves it. */
export const enum Flow {
  FASTEOI,
  LEVEL,
  EDGE,
  PERCPU,
}

/** One handler on a line: the kernel's irqaction. */
export class IrqActionEntry {
  next: IrqActionEntry | null = null;
  /** Its bit in threads_oneshot; 0 without a thread or ONESHOT. */
  threadMask = 0;
  readonly lifetime: Lifetime;
  thread: IrqThread | null = null;

  constructor(
    readonly action: IrqAction,
    readonly threadAction: IrqThreadAction | null,
    public flags: number,
    readonly name: string,
    readonly devId: object | null,
  ) {
    this.lifetime = new Lifetime("action", name);
    this.lifetime.spans(this);
  }
}
shared(IrqActionEntry, "next");

/** What /proc and the tests count of one interrupt. */
export interface IrqCounts {
  taken: number;
  kstat: number;
  maskOps: number;
  unmaskOps: number;
}

const NO_CPUS = new Uint8Array(0);

/** One interrupt of the host: the kernel's irq_desc (host-irq.md 1.1). */
export class IrqDesc {
  readonly lock: Spinlock;
  readonly requestMutex: Mutex;
  /** The outermost level of its domain hierarchy. */
  readonly data: IrqData;
  state = Irqs.DISABLED | Irqs.MASKED;
  /** {@link IrqSetting} bits. */
  settings = 0;
  /** Disable nesting; 0 = enabled. */
  depth = 1;
  /** Trigger type, as the chip accepted it. */
  type = 0;
  actions: IrqActionEntry | null = null;
  threadsOneshot = 0;
  /** Bits of threadsOneshot that actions own; under the request mutex. */
  threadBits = 0;
  affinity: CpuList;
  effectiveCpu = 0;
  /** CPUs on which a per-CPU interrupt is enabled, one flag each; of others, none. */
  readonly percpuEnabled: Uint8Array;

  /** INPROGRESS, and who is inside: written under the lock; a waiter's condition reads it without. */
  inProgress = false;
  runner: Task | null = null;
  /** Thread handlers on their way: as `inProgress`. */
  threadsActive = 0;

  /** POLL_INPROGRESS: the handlers run for the spurious poll. */
  isPolled = false;

  /** FORWARDED_TO_VCPU (1.8): written under the lock; the flow of a PPI reads it without. */
  isForwarded = false;

  // Spurious detection (1.10): only what runs the handlers touches these.
  irqCount = 0;
  irqsUnhandled = 0;
  lastUnhandledNs = 0;
  threadsHandled = 0;
  threadsHandledLast = 0;
  judgesThreads = false;

  maskOps = 0;
  unmaskOps = 0;

  constructor(
    readonly table: IrqTable,
    readonly irq: number,
    chip: IrqChip,
    hwirq: number,
    readonly flow: Flow,
  ) {
    this.lock = new Spinlock(table.sim, "irq_desc.lock");
    this.requestMutex = new Mutex(table.sim, "irq_desc.request_mutex");
    this.data = new IrqData(this, chip, hwirq);
    this.affinity = table.online();
    this.percpuEnabled = flow === Flow.PERCPU ? new Uint8Array(table.sim.cpus) : NO_CPUS;
  }

  get isDisabled(): boolean {
    return (this.state & Irqs.DISABLED) !== 0;
  }
  get isMasked(): boolean {
    return (this.state & Irqs.MASKED) !== 0;
  }
  get isPending(): boolean {
    return (this.state & Irqs.PENDING) !== 0;
  }
  get isLevel(): boolean {
    return (this.state & Irqs.LEVEL) !== 0;
  }

  /** Acknowledges by CPU. */
  get taken(): Int32Array {
    return this.table.counters.of(this.table.counters.taken, this.irq);
  }
  get kstat(): Int32Array {
    return this.table.counters.of(this.table.counters.kstat, this.irq);
  }

  /** A CPU has acknowledged it. */
  countTaken(cpu: number): void {
    this.table.counters.taken[this.irq * this.table.sim.cpus + cpu]++;
  }

  /** What /proc/interrupts shows: its handlers are called on a CPU. */
  countHandled(cpu: number): void {
    this.table.counters.kstat[this.irq * this.table.sim.cpus + cpu]++;
  }

  /** Totals over the CPUs. */
  counts(): IrqCounts {
    const sum = (counts: Int32Array): number => counts.reduce((a, b) => a + b, 0);
    return { taken: sum(this.taken), kstat: sum(this.kstat), maskOps: this.maskOps, unmaskOps: this.unmaskOps };
  }
}
guarded(IrqDesc, (desc) => desc.lock, "state", "depth", "type", "threadsOneshot", "affinity", "effectiveCpu");
shared(IrqDesc, "actions", "threadsHandled");

/** What is counted of each interrupt on each CPU: `cpus` numbers for each irq. */
class IrqCounters {
  /** Acknowledges. */
  taken = new Int32Array(0);
  kstat = new Int32Array(0);

  constructor(private readonly cpus: number) {}

  /** An interrupt gets a number, which another may have had. */
  begin(irq: number): void {
    const end = (irq + 1) * this.cpus;
    if (end > this.taken.length) {
      this.taken = longer(this.taken, 2 * end);
      this.kstat = longer(this.kstat, 2 * end);
    }
    for (let i = end - this.cpus; i < end; i++) this.taken[i] = this.kstat[i] = 0;
  }

  of(counts: Int32Array, irq: number): Int32Array {
    return counts.subarray(irq * this.cpus, (irq + 1) * this.cpus);
  }
}

function longer(counts: Int32Array, length: number): Int32Array<ArrayBuffer> {
  const all = new Int32Array(length);
  all.set(counts);
  return all;
}

/** The host's interrupts by Linux number: small integers from 1; a freed number may be used again. */
export class IrqTable {
  private readonly descs: (IrqDesc | null)[] = [null];
  /** No number below it is free: a device asks for thousands, one by one. */
  private firstFree = 1;
  readonly spuriousPoll: SpuriousPoll;
  readonly softResend: SoftResend;
  readonly counters: IrqCounters;
  /** What {@link online} answered last. */
  private lastOnline: CpuList = [];
  /** The command line's noirqdebug. */
  noDebug = false;
  warnings = 0;
  lastWarning = "";

  /** @param cpus by number */
  constructor(
    readonly sim: Sim,
    readonly cpus: readonly IrqCpu[],
  ) {
    this.spuriousPoll = new SpuriousPoll(this);
    this.softResend = new SoftResend(sim);
    this.counters = new IrqCounters(sim.cpus);
  }

  /** Null where there is no descriptor. */
  get(irq: number): IrqDesc | null {
    return this.descs[irq] ?? null;
  }

  /** Irq numbers in use are below this. */
  get end(): number {
    return this.descs.length;
  }

  allocate(chip: IrqChip, hwirq: number, flow: Flow): IrqDesc {
    let irq = this.firstFree;
    while (irq < this.descs.length && this.descs[irq] !== null) irq++;
    this.firstFree = irq + 1;
    this.counters.begin(irq);
    const desc = new IrqDesc(this, irq, chip, hwirq, flow);
    this.descs[irq] = desc;
    return desc;
  }

  free(irq: number): void {
    if (this.get(irq) === null) return;
    this.firstFree = Math.min(this.firstFree, irq);
    this.descs[irq] = null;
  }

  /** The CPUs that are online, ascending: one list for all who ask, until one comes or goes. */
  online(): CpuList {
    if (!this.isLastOnline()) this.lastOnline = this.cpus.filter((cpu) => cpu.isOnline).map((cpu) => cpu.cpu);
    return this.lastOnline;
  }

  private isLastOnline(): boolean {
    const { cpus, lastOnline } = this;
    let count = 0;
    for (let i = 0; i < cpus.length; i++) if (cpus[i].isOnline && lastOnline[count++] !== cpus[i].cpu) return false;
    return count === lastOnline.length;
  }

  /** Is the running context a handler, or inside one? */
  inInterrupt(): boolean {
    return (this.cpus[current().cpu]?.interruptDepth ?? 0) > 0;
  }

  warn(irq: number, text: string): void {
    this.warnings++;
    this.lastWarning = text;
    this.sim.emit(Ev.irq_warning, irq, text);
  }
}
