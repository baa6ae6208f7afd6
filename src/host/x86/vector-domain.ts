import { HostVector } from "../../arch/x86/host-vectors.js";
import { guarded, reads, shared, writes } from "../../sim/access.js";
import { current } from "../../sim/context.js";
import { Cost } from "../../sim/cost.js";
import { Ev } from "../../sim/event.js";
import { Spinlock } from "../../sim/lock.js";
import type { Step } from "../../sim/step.js";
import { EBUSY, EINVAL, ENOSPC } from "../../uapi/errno.js";
import type { IrqDesc, IrqTable } from "../irq/desc.js";
import { handleIrq } from "../irq/flow.js";
import type { CpuList } from "../irq/types.js";
import type { VectorHandler } from "./apic-cpu.js";
import type { LocalApics } from "./local-apics.js";

const VECTORS = 256;
/** Vector 0x20 was long the cleanup of moved interrupts. */
const FIRST_DEVICE = HostVector.FIRST_EXTERNAL + 1;

/**
 * The root of all interrupts of an x86 host: from a vector of a CPU to the descriptor (arch/x86/kernel/apic/vector.c).
 * Every CPU has its own vectors; an interrupt has one on the CPU of its effective affinity.
 */
export class VectorDomain implements VectorHandler {
  readonly lock: Spinlock;
  /** vector_irq of each CPU. Written under the lock, read by the CPU itself without. */
  private readonly table: readonly (IrqDesc | null)[][];

  constructor(
    private readonly irqs: IrqTable,
    readonly apics: LocalApics,
  ) {
    this.lock = new Spinlock(irqs.sim, "vector_lock");
    this.table = Array.from({ length: apics.cpus }, () => new Array<IrqDesc | null>(VECTORS).fill(null));
  }

  /** The flow handler of what the CPU has acknowledged; a vector without an interrupt is ended at once. */
  *handle(cpu: number, vector: number): Step<void> {
    yield reads(this, "table");
    const desc = this.table[cpu][vector];
    if (desc === null) {
      yield* this.end();
      this.irqs.warn(0, `common_interrupt: ${cpu}.${vector} No irq handler for vector`);
      return;
    }
    desc.countTaken(cpu);
    yield* handleIrq(desc);
  }

  /** The EOI of this CPU's local APIC. */
  *end(): Step<void> {
    const { cpu } = current();
    const { sim } = this.irqs;
    const vector = yield* this.apics.of(cpu).endOfInterrupt();
    sim.charge(Cost.irqEoi);
    sim.emit(Ev.host_eoi, cpu, vector);
  }

  /** The interrupt behind a vector, for inspection. */
  *descOf(cpu: number, vector: number): Step<IrqDesc | null> {
    yield reads(this, "table");
    return this.table[cpu][vector];
  }

  /** The CPU of the mask with the most free vectors, the first of several. -ENOSPC: all are taken. Lock held. */
  *bestCpu(mask: CpuList): Step<number> {
    yield reads(this, "table");
    let best = -ENOSPC;
    let most = 0;
    for (const cpu of mask) {
      const free = this.table[cpu].reduce((count, desc, vector) => count + (desc === null && isDeviceVector(vector) ? 1 : 0), 0);
      if (free <= most) continue;
      best = cpu;
      most = free;
    }
    return best;
  }

  /** Gives the interrupt the lowest free vector of the CPU. Lock held. */
  *take(cpu: number, desc: IrqDesc): Step<number> {
    yield writes(this, "table");
    const vector = this.table[cpu].findIndex((each, n) => each === null && isDeviceVector(n));
    if (vector < 0) return -ENOSPC;
    this.table[cpu][vector] = desc;
    return vector;
  }

  /** Lock held. */
  *release(cpu: number, vector: number): Step<void> {
    yield writes(this, "table");
    this.table[cpu][vector] = null;
  }
}
shared(VectorDomain, "table");

function isDeviceVector(vector: number): boolean {
  return vector >= FIRST_DEVICE && vector < HostVector.FIRST_SYSTEM && vector !== HostVector.INT80;
}

/** One interrupt's vector: what the levels further out act on. */
export class VectorIrq {
  /** -1 while it has none. */
  private cpu = -1;
  private vector = -1;
  /** Where it was before a move, until it has come once at the new place: one may still be on its way. */
  private oldCpu = -1;
  private oldVector = -1;

  constructor(private readonly domain: VectorDomain) {}

  get lock(): Spinlock {
    return this.domain.lock;
  }

  /** apic_ack_edge, and the first half of a level interrupt's end: the first interrupt at the new place ends a move. */
  *ack(): Step<void> {
    yield* this.completeMove();
    yield* this.domain.end();
  }

  private *completeMove(): Step<void> {
    const { lock } = this.domain;
    yield* lock.lock();
    if (this.oldVector >= 0 && this.cpu === current().cpu) {
      yield* this.domain.release(this.oldCpu, this.oldVector);
      this.oldVector = -1;
    }
    yield* lock.unlock();
  }

  /** A vector on a CPU of the mask: that CPU; -EBUSY while an earlier move is not complete, -EINVAL for an empty mask. */
  *assign(desc: IrqDesc, mask: CpuList): Step<number> {
    const { lock } = this.domain;
    yield* lock.lock();
    const chosen = yield* this.place(desc, mask);
    yield* lock.unlock();
    return chosen;
  }

  private *place(desc: IrqDesc, mask: CpuList): Step<number> {
    if (mask.length === 0) return -EINVAL;
    if (this.vector >= 0 && mask.includes(this.cpu)) return this.cpu;
    if (this.oldVector >= 0) return -EBUSY;
    const cpu = yield* this.domain.bestCpu(mask);
    if (cpu < 0) return cpu;
    const vector = yield* this.domain.take(cpu, desc);
    this.oldCpu = this.cpu;
    this.oldVector = this.vector;
    this.cpu = cpu;
    this.vector = vector;
    return cpu;
  }

  *free(): Step<void> {
    const { lock } = this.domain;
    yield* lock.lock();
    if (this.vector >= 0) yield* this.domain.release(this.cpu, this.vector);
    if (this.oldVector >= 0) yield* this.domain.release(this.oldCpu, this.oldVector);
    this.vector = this.oldVector = -1;
    yield* lock.unlock();
  }

  /** The APIC id and the vector that messages must carry; -1 while there is none. */
  *target(): Step<{ readonly destination: number; readonly vector: number }> {
    const { lock, apics } = this.domain;
    yield* lock.lock();
    const target = { destination: this.vector < 0 ? -1 : apics.of(this.cpu).id, vector: this.vector };
    yield* lock.unlock();
    return target;
  }

  /** An IPI of the same vector to the CPU that has it. */
  *retrigger(): Step<boolean> {
    const { destination, vector } = yield* this.target();
    if (vector >= 0) yield* this.domain.apics.send(destination, vector);
    return true;
  }
}
guarded(VectorIrq, (irq) => irq.lock, "cpu", "vector", "oldCpu", "oldVector");
