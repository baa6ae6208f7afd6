import { guarded } from "../../sim/access.js";
import { Ev } from "../../sim/event.js";
import type { Hazards } from "../../sim/hazards.js";
import { Lifetime } from "../../sim/lifetime.js";
import { Spinlock } from "../../sim/lock.js";
import type { Step } from "../../sim/step.js";
import {
  EXTERNAL_PROXY,
  FIRST_INTERNAL,
  FIRST_IPI,
  FIRST_MSI,
  FIRST_TIMER,
  GCR_RESET,
  Ivpr,
  MASKED_PRIORITY,
  MPIC_CPUS,
  MPIC_INTERRUPTS,
  MPIC_SOURCES,
  type MpicModel,
  type MpicProfile,
  MSI_REGISTERS,
  Output,
  OUTPUTS,
} from "./constants.js";
import type { MpicVcpu, MpicVm } from "./contract.js";
import { IrqQueue } from "./irq-queue.js";

const SPURIOUS = 0xffff;
const TIMERS = 4;
/** The bit of IDR for CPU 0's critical line; CPU n's is n below it. */
const CRITICAL_SHIFT = 30;
const EXTERNAL_PIN = 1 << 31;

function ivprAfterReset(): Int32Array {
  return new Int32Array(MPIC_INTERRUPTS).fill(Ivpr.MASK).fill(Ivpr.MASK | Ivpr.POLARITY, FIRST_INTERNAL, MPIC_SOURCES);
}

/** The line after a write of CTPR, by the best that is raised and the best in service: null, as it was. */
function lineUnder(ctpr: number, raised: number, servicing: number): boolean | null {
  if (raised <= ctpr) return false;
  return raised > servicing ? true : null;
}

/** What one CPU has of the controller. */
export class MpicCpu {
  vcpu: MpicVcpu | null = null;
  ctpr = MASKED_PRIORITY;
  readonly raised = new IrqQueue();
  readonly servicing = new IrqQueue();
  /** Active sources by output; unsigned, and it wraps where one was moved while active (M4). */
  readonly active = new Uint32Array(OUTPUTS);
  isLineHigh = false;
}

/**
 * The MPIC of Freescale as KVM emulates it (mpic.md): larger priorities are more urgent, the controller itself keeps what is
 * in service, an EOI names nothing. One lock, dropped around acknowledge listeners. The profile "fixed" repairs M1, M3, M5,
 * M6, M7 and the reads of timers (12), and tells each repair as `mpic_repair`.
 */
export class Mpic {
  readonly lock: Spinlock;
  readonly lifetime = new Lifetime("MPIC");
  readonly ivpr = ivprAfterReset();
  readonly idr = new Int32Array(MPIC_INTERRUPTS).fill(1);
  /** CPUs that are really targeted: only a write of IDR changes it, or an IPI (M1). */
  readonly destination: Int32Array;
  readonly output = new Uint8Array(MPIC_INTERRUPTS);
  readonly pending = new Uint8Array(MPIC_INTERRUPTS);
  /** Internal sources are always levels, IPIs and timers never; of external ones their IVPR says. */
  readonly isLevel = new Uint8Array(MPIC_INTERRUPTS).fill(1, FIRST_INTERNAL, MPIC_SOURCES);
  /** The mask bit does not count. */
  readonly isUnmaskable = new Uint8Array(MPIC_INTERRUPTS);
  readonly cpus: readonly MpicCpu[] = Array.from({ length: MPIC_CPUS }, () => new MpicCpu());
  readonly msir = new Int32Array(MSI_REGISTERS);
  readonly timerCount = new Int32Array(TIMERS);
  readonly timerBase = new Int32Array(TIMERS).fill(1 << 31);
  timerFrequency = 0;
  spuriousVector = SPURIOUS;
  gcr = 0;
  /** One above the highest number that a vCPU was connected under. */
  nbCpus = 0;
  readonly isFixed: boolean;
  private readonly hazards: Hazards;

  constructor(
    readonly vm: MpicVm,
    readonly model: MpicModel,
    profile: MpicProfile = "strict",
  ) {
    this.lock = new Spinlock(vm.sim, "openpic.lock");
    this.lifetime.spans(this, this.lock);
    this.hazards = vm.sim.hazards;
    this.isFixed = profile === "fixed";
    this.destination = new Int32Array(MPIC_INTERRUPTS).fill(this.isFixed ? 1 : 0, 0, MPIC_SOURCES);
  }

  /** Says that the profile "fixed" has done other than KVM does. */
  repaired(rule: string, irq: number, cpu: number): void {
    if (this.vm.sim.tracing) this.vm.sim.emit(Ev.mpic_repair, rule, irq, cpu);
  }

  /** Says that software did what no hardware defines: an output of ILR that is none, or one that went while its source was active (M4). */
  private odd(what: string, irq: number, value: number): void {
    if (this.vm.sim.tracing) this.vm.sim.emit(Ev.mpic_odd, what, irq, value);
  }

  /** What IDR says after a reset holds (M1). */
  private targetAsRead(): void {
    this.destination.fill(1, 0, MPIC_SOURCES);
    this.output.fill(Output.INT, 0, MPIC_SOURCES);
    this.isUnmaskable.fill(0, 0, MPIC_SOURCES);
    this.repaired("M1", -1, 0);
  }

  /** 5.8: what is not named here keeps what it has, targets and lines too. */
  reset(): void {
    if (this.isFixed) this.targetAsRead();
    this.spuriousVector = SPURIOUS;
    this.timerFrequency = 0;
    this.gcr = 0;
    this.ivpr.set(ivprAfterReset());
    this.isLevel.fill(0, 0, FIRST_INTERNAL);
    this.idr.fill(1);
    this.timerCount.fill(0);
    this.timerBase.fill(1 << 31);
    for (const cpu of this.cpus) {
      cpu.ctpr = MASKED_PRIORITY;
      cpu.raised.reset();
      cpu.servicing.reset();
    }
  }

  priorityOf(irq: number): number {
    return (this.ivpr[irq] & Ivpr.PRIORITY_MASK) >> Ivpr.PRIORITY_SHIFT;
  }

  // All below: lock held.

  *writeGcr(value: number): Step<void> {
    if ((value & GCR_RESET) !== 0) this.reset();
    else this.gcr = value & this.model.modeMask;
  }

  /** 5.1 */
  *writeIvpr(irq: number, value: number): Step<void> {
    let ivpr = (this.ivpr[irq] & Ivpr.ACTIVITY) | (value & Ivpr.WRITABLE);
    if (irq >= FIRST_IPI) ivpr &= ~(Ivpr.POLARITY | Ivpr.LEVEL);
    else if (irq >= FIRST_INTERNAL) ivpr &= ~Ivpr.LEVEL;
    else this.isLevel[irq] = (ivpr & Ivpr.LEVEL) !== 0 ? 1 : 0;
    this.ivpr[irq] = ivpr;
    if (!this.hazards.quietPriority) yield* this.update(irq); // M20
  }

  /** Targets change; nothing is delivered, and nothing taken back, before the next update (M2, M3). */
  *writeIdr(irq: number, value: number): Step<void> {
    const before = this.targetsOfInt(irq);
    this.setTargets(irq, value);
    if (!this.isFixed) return;
    const left = before & ~this.targetsOfInt(irq);
    for (let cpu = 0; cpu < MPIC_CPUS; cpu++) if ((left & (1 << cpu)) !== 0) yield* this.withdraw(cpu, irq);
  }

  /** CPUs whose INT line it may raise. */
  private targetsOfInt(irq: number): number {
    return this.output[irq] === Output.INT ? this.destination[irq] : 0;
  }

  /** The repair of M3: a CPU that is no target any more has nothing raised. */
  private *withdraw(number: number, irq: number): Step<void> {
    const cpu = this.cpus[number];
    if (!cpu.raised.has(irq)) return;
    cpu.raised.remove(irq);
    cpu.raised.refresh(this.ivpr);
    cpu.servicing.refresh(this.ivpr);
    yield* this.lowerUnlessDue(cpu);
    this.repaired("M3", irq, number);
  }

  private setTargets(irq: number, value: number): void {
    const normal = this.nbCpus === MPIC_CPUS ? -1 : (1 << this.nbCpus) - 1;
    if (!this.model.hasCriticalTargets) {
      this.idr[irq] = this.destination[irq] = value & normal;
      return;
    }
    let critical = 0;
    let targets = 0;
    for (let cpu = 0; cpu < this.nbCpus && cpu <= CRITICAL_SHIFT; cpu++) {
      critical |= 1 << (CRITICAL_SHIFT - cpu);
      if ((value & (1 << (CRITICAL_SHIFT - cpu))) !== 0) targets |= 1 << cpu;
    }
    this.idr[irq] = value & (normal | critical | EXTERNAL_PIN);
    const isCritical = targets !== 0;
    this.output[irq] = isCritical ? Output.CINT : Output.INT;
    this.isUnmaskable[irq] = isCritical ? 1 : 0;
    this.destination[irq] = isCritical ? targets : value & normal;
  }

  /** ILR of v4.2; what is no output wraps round (mpic.md 4). */
  writeIlr(irq: number, value: number): void {
    if (this.model.hasCriticalTargets) return;
    const output = value & 0xff;
    if (output >= OUTPUTS) this.odd("ILR", irq, output);
    this.output[irq] = output % OUTPUTS;
  }

  /** 5.2: a source's state has changed; every target hears. */
  private *update(irq: number): Step<void> {
    const isMasked = (this.ivpr[irq] & Ivpr.MASK) !== 0 && this.isUnmaskable[irq] === 0;
    const isActive = this.pending[irq] !== 0 && !isMasked;
    const wasActive = (this.ivpr[irq] & Ivpr.ACTIVITY) !== 0;
    if (!isActive && !wasActive) return;
    this.ivpr[irq] = isActive ? this.ivpr[irq] | Ivpr.ACTIVITY : this.ivpr[irq] & ~Ivpr.ACTIVITY;
    const targets = this.destination[irq];
    if (targets === 1) yield* this.pipe(0, irq, isActive, wasActive);
    else for (let cpu = 0; cpu < this.nbCpus; cpu++) if ((targets & (1 << cpu)) !== 0) yield* this.pipe(cpu, irq, isActive, wasActive);
  }

  /** 5.3 */
  private *pipe(number: number, irq: number, isActive: boolean, wasActive: boolean): Step<void> {
    const cpu = this.cpus[number];
    const output = this.output[irq];
    if (output !== Output.INT) {
      if (isActive && !wasActive) cpu.active[output]++;
      else if (!isActive && wasActive) {
        if (cpu.active[output] === 0) this.odd("M4", irq, number);
        cpu.active[output]--;
      }
      return;
    }
    const priority = this.priorityOf(irq);
    if (isActive) cpu.raised.add(irq);
    else if (!this.hazards.keepFallenLevel) cpu.raised.remove(irq); // M11
    cpu.raised.refresh(this.ivpr);
    cpu.servicing.refresh(this.ivpr);
    if (isActive && priority > cpu.ctpr) {
      if (cpu.servicing.next < 0 || priority > cpu.servicing.priority) yield* this.setLine(cpu, true);
    } else yield* this.lowerUnlessDue(cpu);
  }

  /** By the queues as they were last refreshed. */
  private *lowerUnlessDue(cpu: MpicCpu): Step<void> {
    if (cpu.raised.priority <= cpu.ctpr || cpu.raised.priority <= cpu.servicing.priority) yield* this.setLine(cpu, false);
  }

  private *setLine(cpu: MpicCpu, isHigh: boolean): Step<void> {
    cpu.isLineHigh = isHigh;
    if (cpu.vcpu === null) return;
    if (isHigh) yield* cpu.vcpu.raiseInterrupt();
    else yield* cpu.vcpu.lowerInterrupt();
  }

  /** An input: the last who drives it wins (M18). */
  *drive(irq: number, isHigh: boolean): Step<void> {
    if (this.isLevel[irq] !== 0) {
      this.pending[irq] = isHigh ? 1 : 0;
      yield* this.update(irq);
      return;
    }
    if (isHigh) {
      this.pending[irq] = 1;
      yield* this.update(irq);
    }
    if (this.output[irq] === Output.INT) return;
    this.pending[irq] = 0;
    yield* this.update(irq);
  }

  /** What a source's word says: pending or not, of a level as of an edge, whatever its output is. */
  *setPending(irq: number, isPending: boolean): Step<void> {
    this.pending[irq] = isPending ? 1 : 0;
    yield* this.update(irq);
  }

  /** 5.4: the vector, or the spurious one. */
  *acknowledge(number: number): Step<number> {
    const cpu = this.cpus[number];
    yield* this.setLine(cpu, false);
    const irq = cpu.raised.refresh(this.ivpr);
    if (irq < 0) return this.spuriousVector;
    let vector = this.spuriousVector;
    const isActive = (this.ivpr[irq] & Ivpr.ACTIVITY) !== 0;
    const isHidden = this.priorityOf(irq) <= cpu.ctpr;
    if (!isActive || isHidden) yield* this.update(irq);
    else {
      cpu.servicing.add(irq);
      vector = this.ivpr[irq] & Ivpr.VECTOR_MASK;
    }
    if (this.isFixed && isActive && isHidden) {
      this.repaired("M5", irq, number);
      return vector;
    }
    // An edge is used up whether or not its vector was given (M5), for every CPU (M13).
    if (this.isLevel[irq] === 0 && !this.hazards.keepEdgeActive) {
      this.ivpr[irq] &= ~Ivpr.ACTIVITY;
      this.pending[irq] = 0;
      cpu.raised.remove(irq);
    }
    if (irq >= FIRST_IPI && irq < FIRST_TIMER) yield* this.passOn(number, irq);
    return vector;
  }

  /** An IPI to others, too, is driven again for them (M12). */
  private *passOn(number: number, irq: number): Step<void> {
    this.destination[irq] &= ~(1 << number);
    if (this.destination[irq] === 0 || this.hazards.forgetOtherTargets) return;
    yield* this.drive(irq, true);
    yield* this.drive(irq, false);
    this.ivpr[irq] |= Ivpr.ACTIVITY;
  }

  /** 5.5: the best in service ends, whichever was acknowledged last (M8). The lock is dropped for the listeners (M15). */
  *endOfInterrupt(number: number): Step<void> {
    const cpu = this.cpus[number];
    const { ackUnderLock, settleAfterAck } = this.hazards;
    const ended = cpu.servicing.refresh(this.ivpr);
    if (ended < 0) return;
    if (!settleAfterAck) cpu.servicing.remove(ended);
    yield* this.raiseNext(cpu, number);
    if (!ackUnderLock) yield* this.lock.unlock();
    yield* this.vm.acks.notifyAcked(0, ended);
    if (!ackUnderLock) yield* this.lock.lock();
    if (settleAfterAck) cpu.servicing.remove(ended);
  }

  /** What waits behind what has ended; CTPR is not asked (M7). */
  private *raiseNext(cpu: MpicCpu, number: number): Step<void> {
    cpu.servicing.refresh(this.ivpr);
    const next = cpu.raised.refresh(this.ivpr);
    if (next < 0 || (cpu.servicing.next >= 0 && cpu.raised.priority <= cpu.servicing.priority)) return;
    if (this.isFixed && cpu.raised.priority <= cpu.ctpr) this.repaired("M7", next, number);
    else yield* this.setLine(cpu, true);
  }

  /** By what the queues had cached, which may be stale (M6). */
  *writeCtpr(number: number, value: number): Step<void> {
    const cpu = this.cpus[number];
    cpu.ctpr = value & 0xf;
    let isHigh = lineUnder(cpu.ctpr, cpu.raised.priority, cpu.servicing.priority);
    if (this.isFixed) {
      const isReallyHigh = lineUnder(cpu.ctpr, cpu.raised.bestPriority(this.ivpr), cpu.servicing.bestPriority(this.ivpr));
      if (isReallyHigh !== isHigh) this.repaired("M6", cpu.raised.next, number);
      isHigh = isReallyHigh;
    }
    if (isHigh !== null) yield* this.setLine(cpu, isHigh);
  }

  /** 5.6: targets are added, existing or not. */
  *sendIpi(n: number, targets: number): Step<void> {
    this.destination[FIRST_IPI + n] |= targets;
    yield* this.drive(FIRST_IPI + n, true);
    yield* this.drive(FIRST_IPI + n, false);
  }

  /** 5.7: a write of MSIIR. */
  *message(value: number): Step<void> {
    const register = value >>> 29;
    this.msir[register] |= 1 << ((value >>> 24) & 0x1f);
    yield* this.drive(FIRST_MSI + register, true);
  }

  /** A read of MSIR takes its bits. */
  *readMsir(register: number): Step<number> {
    const bits = this.msir[register];
    this.msir[register] = 0;
    yield* this.drive(FIRST_MSI + register, false);
    return bits;
  }

  /** Do processors take their vectors from EPR? */
  get isProxied(): boolean {
    return this.gcr === EXTERNAL_PROXY;
  }
}
guarded(Mpic, (mpic) => mpic.lock, "ivpr", "idr", "destination", "output", "pending", "isLevel", "isUnmaskable", "cpus", "msir", "timerCount", "timerBase", "timerFrequency", "spuriousVector", "gcr");
