import { block, reads, shared, writes } from "../../../sim/access.js";
import { Context } from "../../../sim/context.js";
import type { Step } from "../../../sim/step.js";
import { ApicReg, LVT_MASKED, LVT_TIMER_PERIODIC, LVT_TIMER_TSC_DEADLINE } from "./registers.js";
import type { Lapic } from "./lapic.js";

const TWO_32 = 4_294_967_296;
const NS_PER_S = 1_000_000_000;
const MODES = LVT_TIMER_PERIODIC | LVT_TIMER_TSC_DEADLINE;

/** 0 -> 2, 1 -> 4, 2 -> 8, 3 -> 16, 8 -> 32, 9 -> 64, 10 -> 128, 11 -> 1. */
export const divisorOf = (config: number): number => 1 << ((((config & 3) | ((config & 8) >> 1)) + 1) & 7);

/**
 * The timer of one local APIC (x86-irqchip.md 7.7) on the virtual clock: the host timer that KVM arms for it is this
 * context. An expiry is remembered as pending; the vCPU turns it into an interrupt in its run loop ({@link inject}).
 */
export class LapicTimer extends Context {
  pending = false;
  /** LVT bits 18:17 as last seen. */
  private mode = 0;
  private divisor = 2;
  /** 0: the count is not running. */
  private periodNs = 0;
  private targetNs = 0;
  /** Guest TSC cycles, 0: disarmed. */
  private deadline = 0;

  constructor(private readonly lapic: Lapic) {
    super(`lapic timer of vcpu${lapic.vcpu.id}`, "timer", 0);
  }

  /** Mode bits that a guest may set: none before CPUID is known, TSC-deadline where CPUID has it. */
  modeMask(): number {
    const { cpuid } = this.lapic;
    if (cpuid === null) return 0;
    return cpuid.hasTscDeadline ? MODES : LVT_TIMER_PERIODIC;
  }

  private isPeriodic(): boolean {
    return this.mode === LVT_TIMER_PERIODIC;
  }

  private isDeadline(): boolean {
    return this.mode === LVT_TIMER_TSC_DEADLINE;
  }

  /** Both mode bits: a count that is written stays, and nothing counts (seen on 6.18). */
  private isNone(): boolean {
    return this.mode === MODES;
  }

  private now(): number {
    return this.lapic.set.vm.sim.now();
  }

  /** LVTT changed: to and from TSC-deadline the timer stops, between the other two it goes on. */
  *modeChanged(): Step<void> {
    yield writes(this, "TIMER");
    const next = this.lapic.page[ApicReg.LVTT >> 2] & this.modeMask();
    if (next === this.mode) return;
    const changesKind = this.isDeadline() !== (next === LVT_TIMER_TSC_DEADLINE);
    if (changesKind) {
      this.disarm();
      this.lapic.page[ApicReg.TMICT >> 2] = 0;
      this.periodNs = 0;
      this.deadline = 0;
    }
    this.mode = next;
    this.limitPeriod();
    if (changesKind) yield* this.forget();
  }

  *writeInitialCount(value: number): Step<void> {
    yield writes(this, "TIMER");
    if (this.isDeadline()) return;
    this.disarm();
    this.lapic.page[ApicReg.TMICT >> 2] = value;
    yield* this.start(ApicReg.TMICT);
  }

  /** The remaining count is scaled to the new divisor. */
  *writeDivide(value: number): Step<void> {
    yield writes(this, "TIMER");
    this.lapic.page[ApicReg.TDCR >> 2] = value;
    const old = this.divisor;
    this.divisor = divisorOf(value);
    if (this.divisor === old || this.periodNs === 0) return;
    this.disarm();
    const remaining = Math.max(0, this.targetNs - this.now());
    this.setPeriod();
    this.targetNs = this.now() + Math.floor((remaining * this.divisor) / old);
    yield* this.restart();
  }

  /** TMCCT. At the very instant of a start, which only virtual time can meet, the whole count remains. */
  *currentCount(): Step<number> {
    yield writes(this, "TIMER");
    if (this.isDeadline() || this.lapic.page[ApicReg.TMICT >> 2] === 0 || this.periodNs === 0) return 0;
    const remaining = Math.max(0, this.targetNs - this.now());
    const left = remaining === this.periodNs ? remaining : remaining % this.periodNs;
    return Math.floor(left / (this.lapic.set.options.busCycleNs * this.divisor)) | 0;
  }

  /** RDMSR 0x6e0: 0 in the other modes, and after expiry. */
  *readDeadline(): Step<void> {
    yield writes(this, "TIMER");
    const value = this.lapic.base.isEnabled() && this.isDeadline() ? this.deadline : 0;
    this.lapic.msrLow = value % TWO_32 | 0;
    this.lapic.msrHigh = Math.floor(value / TWO_32) | 0;
  }

  /** WRMSR 0x6e0: ignored in the other modes; 0 disarms; a time that has passed expires at once. */
  *writeDeadline(low: number, high: number): Step<void> {
    yield writes(this, "TIMER");
    if (!this.lapic.base.isEnabled() || !this.isDeadline()) return;
    this.disarm();
    this.deadline = (high >>> 0) * TWO_32 + (low >>> 0);
    yield* this.start(ApicReg.TMICT);
  }

  /** KVM_SET_LAPIC: everything follows the page, the count goes on from `TMCCT`. */
  *restore(): Step<void> {
    yield writes(this, "TIMER");
    this.disarm();
    yield* this.modeChanged();
    yield writes(this, "TIMER");
    this.divisor = divisorOf(this.lapic.page[ApicReg.TDCR >> 2]);
    yield* this.start(ApicReg.TMCCT);
    this.lapic.page[ApicReg.TMCCT >> 2] = 0;
  }

  /** Reset and INIT. */
  *reset(): Step<void> {
    yield writes(this, "TIMER");
    this.disarm();
    yield* this.modeChanged();
    yield writes(this, "TIMER");
    this.divisor = divisorOf(0);
    yield* this.forget();
  }

  /** A pending expiry is dropped. */
  *forget(): Step<void> {
    yield writes(this, "pending");
    this.pending = false;
  }

  private disarm(): void {
    this.lapic.set.vm.sim.cancel(this);
  }

  /** `count`: TMICT for a start, TMCCT where a saved count goes on. */
  private *start(count: ApicReg.TMICT | ApicReg.TMCCT): Step<void> {
    yield* this.forget();
    yield writes(this, "TIMER");
    if (this.isNone()) return;
    if (!this.isDeadline() && !this.setTarget(count)) return;
    yield* this.restart();
  }

  private countNs(register: number): number {
    return (this.lapic.page[register >> 2] >>> 0) * this.lapic.set.options.busCycleNs * this.divisor;
  }

  private setPeriod(): void {
    this.periodNs = this.countNs(ApicReg.TMICT);
    this.limitPeriod();
  }

  private limitPeriod(): void {
    const { minPeriodNs } = this.lapic.set.options;
    if (this.isPeriodic() && this.periodNs > 0 && this.periodNs < minPeriodNs) this.periodNs = minPeriodNs;
  }

  private setTarget(count: ApicReg.TMICT | ApicReg.TMCCT): boolean {
    this.setPeriod();
    if (this.periodNs === 0) return false;
    let ns = this.periodNs;
    if (count === ApicReg.TMCCT) {
      ns = this.countNs(count);
      if (ns === 0 && this.isPeriodic()) ns = this.periodNs;
      if (ns > this.periodNs) ns = this.periodNs;
    }
    this.targetNs = this.now() + ns;
    return true;
  }

  /** Arms the host timer, or expires at once what is due. */
  private *restart(): Step<void> {
    if (this.isNone()) return;
    const now = this.now();
    if (this.isDeadline()) {
      if (this.deadline === 0) return;
      this.targetNs = (this.deadline * NS_PER_S) / this.lapic.set.options.tscHz;
    }
    if (this.targetNs > now) {
      this.arm(this.targetNs);
      return;
    }
    if (this.isPeriodic()) {
      this.targetNs += this.periodNs;
      this.arm(this.targetNs);
    }
    yield* this.expire();
  }

  private arm(timeNs: number): void {
    const { vcpu } = this.lapic;
    if (vcpu.physicalCpu >= 0) this.cpu = vcpu.physicalCpu;
    this.lapic.set.vm.sim.wakeAt(this, timeNs);
  }

  /** The host timer fires; a periodic one is armed again from its own target, so that it does not drift. */
  override *body(): Step<void> {
    yield writes(this, "TIMER");
    if (this.isPeriodic()) {
      this.targetNs += this.periodNs;
      this.arm(this.targetNs);
    }
    yield* this.expire();
  }

  private *expire(): Step<void> {
    yield writes(this, "pending");
    if (this.pending) return;
    this.pending = true;
    yield* this.lapic.vcpu.requestUnblock();
  }

  /** An expiry waits for the vCPU, and its entry lets it through: kvm_cpu_has_pending_timer. */
  *hasPending(): Step<boolean> {
    yield reads(this, "pending");
    return this.pending && this.lapic.base.isEnabled() && (this.lapic.page[ApicReg.LVTT >> 2] & LVT_MASKED) === 0;
  }

  /** The vCPU's run loop, before it looks for interrupts. While LVTT is masked the expiry goes on waiting (seen on 6.18). */
  *inject(): Step<void> {
    const isDue = yield* this.hasPending();
    if (!isDue) return;
    yield* this.lapic.deliverLocal(ApicReg.LVTT);
    yield writes(this, "TIMER");
    if (this.isDeadline()) this.deadline = 0;
    else if (!this.isPeriodic()) this.targetNs = 0;
    yield* this.forget();
  }
}
block(LapicTimer, "mode", "divisor", "periodNs", "targetNs", "deadline");
shared(LapicTimer, "pending");
