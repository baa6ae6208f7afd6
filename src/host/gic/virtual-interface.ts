import { LrState, SPURIOUS_INTID, type VirtualInterface } from "../../arch/gic/contract.js";
import { EOI_COUNT_SHIFT, IchHcr, IchMisr, IchVmcr } from "../../arch/gic/gich.js";
import { LR_V3, type LrLayout } from "../../arch/gic/list-register.js";
import { ActivePriorities, IDLE_PRIORITY, PriorityRules, priorityMask } from "../../arch/gic/priority.js";
import { writes } from "../../sim/access.js";
import type { Step } from "../../sim/step.js";
import type { BestLpi } from "./its/lpi-set.js";
import { MAINTENANCE_INTID } from "./physical-gic.js";

/** The physical side of one CPU's virtual interface: where HW list registers and the maintenance interrupt end. */
export interface HardwareSide {
  deactivateHw(cpu: number, intid: number): Step<void>;
  setPpi(cpu: number, intid: number, isHigh: boolean): Step<void>;
}

/** The vLPIs of the vPE that is resident on the CPU (GICv4), the best of all itself: parts of accesses of the GIC. */
export interface VirtualLpis extends BestLpi {
  /** The best of these groups alone. */
  bestIn(groups: number): BestLpi | null;
  change(intid: number, isPending: boolean): boolean;
}

/** First LPI. */
const LPI = 8192;
const FIRST_PPI = 16;
const FIRST_SPECIAL = 1020;
/** VMCR bits that the rules do not use and that are kept as written. */
const VMCR_STORED = IchVmcr.ACK_CTL | IchVmcr.FIQ_EN;
/** Enables of the maintenance conditions that a state of the list registers or of VMCR gives rise to. */
const STATE_ENABLES = IchHcr.UIE | IchHcr.LRENPIE | IchHcr.NPIE | IchHcr.VGRP0EIE | IchHcr.VGRP0DIE | IchHcr.VGRP1EIE | IchHcr.VGRP1DIE;
/** Those among them that count list registers. */
const COUNT_ENABLES = IchHcr.UIE | IchHcr.NPIE;

/**
 * The virtual CPU interface of one physical CPU: list registers, and the guest's acknowledge, end and deactivate on them
 * (gic-v3.md A10.3-A10.6, host-irq.md 2.4, 2.5). The layout of the list registers is the subclass's. Only the CPU
 * itself reaches this state, so that it needs no access points; what reaches the physical side has them there.
 */
export abstract class VirtualInterfaceBase implements VirtualInterface {
  abstract readonly version: 2 | 3;
  abstract readonly vtr: number;
  readonly lrLo: Int32Array;
  readonly lrHi: Int32Array;
  hcr = 0;
  protected readonly rules: PriorityRules;
  /** The words that hold the states: `lrHi` in GICv3, `lrLo` in GICv2. */
  private readonly words: Int32Array;
  private readonly layout: LrLayout;
  private readonly stateShift: number;
  private readonly groupShift: number;
  /** State, HW and EOI bits; a list register with just EOI of them has ended and asks for maintenance. */
  private readonly endedMask: number;
  private readonly maskBits: number;
  /** ENG0, ENG1 as a group mask. */
  private groups = 0;
  private isEoiSplit = false;
  private stored = 0;
  private maintenance = false;
  /** 1: of equal priorities the vLPI's comes first. */
  private readonly tie: number;

  constructor(
    private readonly hardware: HardwareSide,
    readonly cpu: number,
    readonly listRegisters: number,
    readonly ap0r: Int32Array,
    readonly ap1r: Int32Array,
    layout: LrLayout,
    priorityBits: number,
    preemptionBits: number,
    private readonly vlpis: VirtualLpis | null = null,
    vlpiWinsTie = false,
  ) {
    this.tie = vlpiWinsTie ? 1 : 0;
    this.lrLo = new Int32Array(listRegisters);
    this.lrHi = new Int32Array(listRegisters);
    this.words = layout === LR_V3 ? this.lrHi : this.lrLo;
    this.layout = layout;
    this.stateShift = layout.stateShift;
    this.groupShift = layout.groupShift;
    this.endedMask = (3 << layout.stateShift) | layout.hw | layout.eoi;
    this.rules = new PriorityRules(new ActivePriorities(ap0r, ap1r, preemptionBits), preemptionBits);
    this.maskBits = priorityMask(priorityBits);
  }

  /** What IAR returns for a list register, and EOIR and DIR find it by. */
  protected abstract iarOf(index: number): number;
  /** Physical INTID of a HW list register. */
  protected abstract pintidOf(index: number): number;

  protected stateOf(index: number): LrState {
    return (this.words[index] >>> this.stateShift) & 3;
  }

  protected groupOf(index: number): 0 | 1 {
    return ((this.words[index] >>> this.groupShift) & 1) as 0 | 1;
  }

  protected priorityOf(index: number): number {
    const { layout } = this;
    return ((this.words[index] >>> layout.priorityShift) & layout.priorityMask) << layout.priorityScale;
  }

  private setState(index: number, state: LrState): void {
    this.words[index] = (this.words[index] & ~(3 << this.stateShift)) | (state << this.stateShift);
  }

  /** Binary points below the implementation's minimum are raised to it (A10.1). */
  get vmcr(): number {
    const { rules } = this;
    const common = rules.isCommon ? IchVmcr.CBPR : 0;
    const split = this.isEoiSplit ? IchVmcr.EOIM : 0;
    const points = (rules.bpr1 << IchVmcr.BPR1_SHIFT) | (rules.bpr0 << IchVmcr.BPR0_SHIFT);
    return this.groups | this.stored | common | split | points | (rules.mask << IchVmcr.PMR_SHIFT);
  }

  set vmcr(value: number) {
    const { rules } = this;
    this.groups = value & (IchVmcr.ENG0 | IchVmcr.ENG1);
    this.stored = value & VMCR_STORED;
    rules.isCommon = (value & IchVmcr.CBPR) !== 0;
    this.isEoiSplit = (value & IchVmcr.EOIM) !== 0;
    rules.bpr1 = value >>> IchVmcr.BPR1_SHIFT;
    rules.bpr0 = value >>> IchVmcr.BPR0_SHIFT;
    rules.mask = (value >>> IchVmcr.PMR_SHIFT) & this.maskBits;
  }

  *acknowledge(group: 0 | 1): Step<number> {
    if (this.vlpis !== null) yield writes(this.hardware, "GIC");
    const index = this.candidate();
    const vlpi = this.vlpiBefore(index);
    if (vlpi !== null) return this.takeVlpi(vlpi, group);
    if (index < 0 || this.groupOf(index) !== group || !this.rules.lets(this.priorityOf(index), group)) return SPURIOUS_INTID;
    return yield* this.take(index);
  }

  *endOfInterrupt(group: 0 | 1, iar: number): Step<void> {
    if (this.isSpecial(iar)) return;
    const dropped = this.rules.active.drop();
    if (dropped === IDLE_PRIORITY) return;
    const index = this.findActive(iar);
    if (index < 0) {
      if (iar >= LPI || this.isEoiSplit || this.isVsgi(iar)) return;
      this.countEoi();
    } else if (!this.isEoiSplit || iar >= LPI) {
      const own = this.groupOf(index);
      if (this.endsGroup(group, own) && this.rules.preemption(this.priorityOf(index), own) === dropped) yield* this.finish(index);
    }
    yield* this.update();
  }

  *deactivate(iar: number): Step<void> {
    if (!this.isEoiSplit || iar >= LPI || this.isSpecial(iar)) return;
    const index = this.findActive(iar);
    if (index < 0) this.countEoi();
    else yield* this.finish(index);
    yield* this.update();
  }

  highestPending(group: 0 | 1): number {
    const index = this.candidate();
    const vlpi = this.vlpiBefore(index);
    if (vlpi !== null) return vlpi.group === group ? vlpi.intid : SPURIOUS_INTID;
    return index >= 0 && this.groupOf(index) === group ? this.iarOf(index) : SPURIOUS_INTID;
  }

  runningPriority(): number {
    return this.rules.active.running();
  }

  isSignalled(group: 0 | 1): boolean {
    const index = this.candidate();
    const vlpi = this.vlpiBefore(index);
    if (vlpi !== null) return vlpi.group === group && this.rules.lets(vlpi.priority, group);
    if (index < 0) return false;
    const own = this.groupOf(index);
    return this.signalOf(own) === group && this.rules.lets(this.priorityOf(index), own);
  }

  misr(): number {
    const ended = this.hasEnded() ? IchMisr.EOI : 0;
    return (this.hcr & STATE_ENABLES) === 0 ? ended : ended | this.stateConditions();
  }

  private stateConditions(): number {
    const { hcr } = this;
    let misr = (hcr & COUNT_ENABLES) === 0 ? 0 : this.countConditions();
    if ((hcr & IchHcr.LRENPIE) !== 0 && hcr >>> EOI_COUNT_SHIFT !== 0) misr |= IchMisr.LRENP;
    const isOn0 = (this.groups & IchVmcr.ENG0) !== 0;
    const isOn1 = (this.groups & IchVmcr.ENG1) !== 0;
    return misr | (hcr & (isOn0 ? IchHcr.VGRP0EIE : IchHcr.VGRP0DIE)) | (hcr & (isOn1 ? IchHcr.VGRP1EIE : IchHcr.VGRP1DIE));
  }

  private countConditions(): number {
    const { hcr } = this;
    let valid = 0;
    let pending = 0;
    for (let i = 0; i < this.listRegisters; i++) {
      const state = this.stateOf(i);
      if (state !== LrState.INVALID) valid++;
      if (state === LrState.PENDING) pending++;
    }
    const underflow = (hcr & IchHcr.UIE) !== 0 && valid <= 1 ? IchMisr.U : 0;
    return (hcr & IchHcr.NPIE) !== 0 && pending === 0 ? underflow | IchMisr.NP : underflow;
  }

  eisr(): number {
    return this.endedWord(0);
  }

  elrsr(): number {
    return this.emptyWord(0);
  }

  /** List registers 32 to 63: GICH_EISR1. */
  eisrHigh(): number {
    return this.listRegisters > 32 ? this.endedWord(32) : 0;
  }

  /** GICH_ELRSR1. */
  elrsrHigh(): number {
    return this.listRegisters > 32 ? this.emptyWord(32) : 0;
  }

  *update(): Step<void> {
    const isHigh = (this.hcr & IchHcr.EN) !== 0 && this.misr() !== 0;
    if (isHigh === this.maintenance) return;
    this.maintenance = isHigh;
    yield* this.hardware.setPpi(this.cpu, MAINTENANCE_INTID, isHigh);
  }

  /** The list register the guest would be given first: pending, its group enabled; ties by index. -1: none. */
  protected candidate(): number {
    if ((this.hcr & IchHcr.EN) === 0) return -1;
    const { words, stateShift, groupShift, groups } = this;
    let best = -1;
    let priority = 0x100;
    for (let i = 0; i < words.length; i++) {
      const word = words[i];
      if (((word >>> stateShift) & 3) !== LrState.PENDING || ((groups >>> ((word >>> groupShift) & 1)) & 1) === 0) continue;
      const own = this.priorityOf(i);
      if (own >= priority) continue;
      best = i;
      priority = own;
    }
    return best;
  }

  /** The vLPI that comes before the list register. Of equals the list register does, where the implementation has not chosen otherwise. */
  private vlpiBefore(index: number): BestLpi | null {
    const { vlpis } = this;
    if (vlpis === null || vlpis.intid < 0 || (this.hcr & IchHcr.EN) === 0) return null;
    const best = ((this.groups >>> vlpis.group) & 1) === 0 ? vlpis.bestIn(this.groups) : vlpis;
    return best === null || (index >= 0 && best.priority >= this.priorityOf(index) + this.tie) ? null : best;
  }

  /** No active state: it is pending no more, and its priority runs. */
  private takeVlpi(best: BestLpi, group: 0 | 1): number {
    const { intid, priority } = best;
    if (this.vlpis === null || best.group !== group || !this.rules.lets(priority, group)) return SPURIOUS_INTID;
    this.rules.active.activate(group, this.rules.preemption(priority, group));
    this.vlpis.change(intid, false);
    return intid;
  }

  /** Pending to active, running priority raised. */
  protected *take(index: number): Step<number> {
    const group = this.groupOf(index);
    this.setState(index, LrState.ACTIVE);
    this.rules.active.activate(group, this.rules.preemption(this.priorityOf(index), group));
    if ((this.hcr & IchHcr.NPIE) !== 0) yield* this.update(); // of the conditions only "none pending" can begin to hold
    return this.iarOf(index);
  }

  /** May a write to the EOIR of `register` end an interrupt of `own`? */
  protected endsGroup(register: 0 | 1, own: 0 | 1): boolean {
    return register === own;
  }

  /** The signal of a group: 1 IRQ, 0 FIQ. */
  protected signalOf(group: 0 | 1): 0 | 1 {
    return group;
  }

  private isSpecial(iar: number): boolean {
    const intid = this.version === 2 ? iar & 0x3ff : iar;
    return intid >= FIRST_SPECIAL && intid < LPI;
  }

  private findActive(iar: number): number {
    const { words } = this;
    const active = LrState.ACTIVE << this.stateShift;
    for (let i = 0; i < words.length; i++) if ((words[i] & active) !== 0 && this.iarOf(i) === iar) return i;
    return -1;
  }

  private *finish(index: number): Step<void> {
    this.setState(index, this.stateOf(index) & ~LrState.ACTIVE);
    if ((this.words[index] & this.layout.hw) !== 0) yield* this.hardware.deactivateHw(this.cpu, this.pintidOf(index));
  }

  /** GICv4.1: the hypervisor asks not to count the ends of SGIs, which have no active state either. */
  private isVsgi(iar: number): boolean {
    return iar < FIRST_PPI && (this.hcr & IchHcr.VSGI_EOI_COUNT) !== 0;
  }

  private countEoi(): void {
    this.hcr = (this.hcr + (1 << EOI_COUNT_SHIFT)) | 0;
  }

  private isEnded(index: number): boolean {
    return (this.words[index] & this.endedMask) === this.layout.eoi;
  }

  private hasEnded(): boolean {
    const { words, endedMask } = this;
    const { eoi } = this.layout;
    for (let i = 0; i < words.length; i++) if ((words[i] & endedMask) === eoi) return true;
    return false;
  }

  private endedWord(first: number): number {
    let word = 0;
    const end = Math.min(first + 32, this.listRegisters);
    for (let i = first; i < end; i++) if (this.isEnded(i)) word |= 1 << (i & 31);
    return word;
  }

  private emptyWord(first: number): number {
    let word = 0;
    const end = Math.min(first + 32, this.listRegisters);
    for (let i = first; i < end; i++) if (this.stateOf(i) === LrState.INVALID && !this.isEnded(i)) word |= 1 << (i & 31);
    return word;
  }
}
