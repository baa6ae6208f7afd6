import type { PhysicalGic } from "../../arch/gic/contract.js";
import { block, writes } from "../../sim/access.js";
import { Context } from "../../sim/context.js";
import type { Step } from "../../sim/step.js";
import type { Vcpu } from "./vcpu.js";

/** CNTV_CTL_EL0 */
const ENABLE = 1;
const IMASK = 2;
const ISTATUS = 4;
const NS_PER_S = 1_000_000_000;

/**
 * One timer of one vCPU: its registers and, while the vCPU is loaded, the comparator of the physical CPU that they are
 * in. The comparator is the context: it drives the PPI by itself (host-irq.md 2.5, 2.6).
 */
export class ArchTimer extends Context {
  private ctl = 0;
  /** Counter ticks. */
  private compare = 0;
  /** The physical count less this is what the guest reads. */
  private countOffset = 0;
  private isHigh = false;
  private isLoaded = false;

  constructor(
    private readonly vcpu: Vcpu,
    /** The PPI, virtual and physical alike. */
    readonly intid: number,
  ) {
    super(`timer ${intid} of vcpu${vcpu.id}`, "hardware", 0);
  }

  *readControl(): Step<number> {
    yield writes(this, "CNT_CTL");
    const isMet = (this.ctl & ENABLE) !== 0 && this.count() >= this.compare;
    return this.ctl | (isMet ? ISTATUS : 0);
  }

  *writeControl(value: number): Step<void> {
    yield writes(this, "CNT_CTL");
    this.ctl = value & (ENABLE | IMASK);
    yield* this.settle();
  }

  *readCompare(): Step<number> {
    yield writes(this, "CNT_CVAL");
    return this.compare;
  }

  *writeCompare(ticks: number): Step<void> {
    yield writes(this, "CNT_CVAL");
    this.compare = ticks;
    yield* this.settle();
  }

  *readCount(): Step<number> {
    yield writes(this, "CNT");
    return this.count();
  }

  /** Makes the counter read `ticks` now. */
  *writeCount(ticks: number): Step<void> {
    yield writes(this, "CNT");
    this.countOffset += this.count() - ticks;
    yield* this.settle();
  }

  /** When the condition comes true, nanoseconds; Infinity when the timer is off or masked. */
  *deadline(): Step<number> {
    yield writes(this, "CNT");
    return this.deadlineNs();
  }

  /** Is the output up now, wherever the registers are? */
  *hasFired(): Step<boolean> {
    yield writes(this, "CNT");
    return this.vcpu.vm.sim.now() >= this.deadlineNs();
  }

  /**
   * The registers go into the hardware of `cpu`. That CPU's ACTIVE bit of the PPI becomes this vCPU's, to 1 or to 0,
   * whatever the vCPU before it left there (K11, host-irq.md 2.5.6).
   */
  *load(cpu: number, gic: PhysicalGic): Step<void> {
    const { armIrqchip } = this.vcpu.vm;
    let isActive = yield* this.hasFired();
    if (armIrqchip !== null) {
      yield* armIrqchip.inject(this.vcpu.index, this.intid, isActive, this);
      if (!isActive) isActive = yield* armIrqchip.isMappedActive(this.vcpu.index, this.intid);
    }
    if (gic.isActive(cpu, this.intid) !== isActive && !this.vcpu.vm.hazards.keepPpiActive) yield* gic.setActive(cpu, this.intid, isActive);
    yield writes(this, "CNT");
    this.cpu = cpu;
    this.isLoaded = true;
    yield* this.settle();
  }

  /** Saves the registers and switches the hardware's timer off; the PPI's ACTIVE bit stays. */
  *put(): Step<void> {
    yield writes(this, "CNT");
    this.isLoaded = false;
    yield* this.settle();
  }

  /** The host's handler of the PPI: raises the virtual line. The interrupt stays active until the guest ends it. */
  *interrupt(): Step<void> {
    const { armIrqchip } = this.vcpu.vm;
    const hasFired = yield* this.hasFired();
    if (hasFired && armIrqchip !== null) yield* armIrqchip.inject(this.vcpu.index, this.intid, true, this);
  }

  /** The comparator matched. */
  override *body(): Step<void> {
    yield writes(this, "CNT");
    yield* this.settle();
  }

  /** Brings the PPI's level and the comparator up to date. The caller's point covers the registers. */
  private *settle(): Step<void> {
    const { sim, host } = this.vcpu.vm;
    const deadline = this.isLoaded ? this.deadlineNs() : Infinity;
    const isHigh = sim.now() >= deadline;
    const changes = isHigh !== this.isHigh;
    this.isHigh = isHigh;
    sim.cancel(this);
    if (!isHigh && deadline !== Infinity) sim.wakeAt(this, deadline);
    if (changes && host.gic !== null) yield* host.gic.setPpi(this.cpu, this.intid, isHigh);
  }

  private count(): number {
    const { sim, host } = this.vcpu.vm;
    return Math.floor((sim.now() * host.counterHz) / NS_PER_S) - this.countOffset;
  }

  private deadlineNs(): number {
    if ((this.ctl & (ENABLE | IMASK)) !== ENABLE) return Infinity;
    return Math.ceil(((this.compare + this.countOffset) * NS_PER_S) / this.vcpu.vm.host.counterHz);
  }
}
block(ArchTimer, "ctl", "compare", "countOffset", "isHigh", "isLoaded");
