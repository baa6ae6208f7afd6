/**
 * Priority arithmetic of a CPU interface, physical or virtual (gic-v3.md A10.3). Priorities are 8-bit numbers, lower
 * is more urgent; BPRs are the register values.
 */

/** Running priority when nothing is active. */
export const IDLE_PRIORITY = 0xff;

/** Smallest BPR1 of an interface with this many preemption bits; BPR0 goes one lower. */
export const minimumBpr1 = (preemptionBits: number): number => 8 - preemptionBits;

/** What a write of `value` to BPR0 or BPR1 leaves in it. */
export function clampBpr(value: number, minimum: number): number {
  const bpr = value & 7;
  return bpr < minimum ? minimum : bpr;
}

/** What BPR1 reads while CBPR is set. */
export const commonBpr1 = (bpr0: number): number => (bpr0 >= 7 ? 7 : bpr0 + 1);

/**
 * Group priority: the bits of a priority that decide preemption. With CBPR the binary point of group 0 rules both, so 7
 * leaves no bit to either; BPR1, which has no 8, reads 7 then (Arm IHI 0069; gic-v3.md A10.3 has min(BPR0+1, 7)).
 */
export function groupPriority(priority: number, group: 0 | 1, bpr0: number, bpr1: number, isCommon: boolean): number {
  const lowest = group === 0 || isCommon ? bpr0 + 1 : bpr1;
  return priority & (0xff << lowest) & 0xff;
}

/** Keeps the implemented upper bits of a priority. */
export const priorityMask = (bits: number): number => (0xff << (8 - bits)) & 0xff;

/** Number of 32-bit active-priorities registers per group. */
export const activeRegisters = (preemptionBits: number): number => (preemptionBits <= 5 ? 1 : 1 << (preemptionBits - 5));

/**
 * The active-priorities registers of one CPU interface. GICv2 has one set for both groups: give the same array twice.
 */
export class ActivePriorities {
  private readonly shift: number;
  private readonly count: number;

  constructor(
    readonly group0: Int32Array,
    readonly group1: Int32Array,
    preemptionBits: number,
  ) {
    this.shift = minimumBpr1(preemptionBits);
    this.count = activeRegisters(preemptionBits);
  }

  /** Running priority: the most urgent active group priority, {@link IDLE_PRIORITY} when none. */
  running(): number {
    for (let i = 0; i < this.count; i++) {
      const word = this.group0[i] | this.group1[i];
      if (word !== 0) return ((i << 5) + (31 - Math.clz32(word & -word))) << this.shift;
    }
    return IDLE_PRIORITY;
  }

  /** Group of the running priority, -1 when nothing is active. Group 0 first, should both hold the same bit. */
  runningGroup(): -1 | 0 | 1 {
    for (let i = 0; i < this.count; i++) {
      const word = this.group0[i] | this.group1[i];
      if (word !== 0) return (this.group0[i] & word & -word) !== 0 ? 0 : 1;
    }
    return -1;
  }

  activate(group: 0 | 1, priority: number): void {
    const bit = priority >>> this.shift;
    const words = group === 0 ? this.group0 : this.group1;
    words[bit >>> 5] |= 1 << (bit & 31);
  }

  /**
   * Drops the running priority, in whichever group it is: an EOIR does not say which (A10.5). The result is the priority
   * dropped, {@link IDLE_PRIORITY} when nothing was active.
   */
  drop(): number {
    for (let i = 0; i < this.count; i++) {
      const word = this.group0[i] | this.group1[i];
      if (word === 0) continue;
      const bit = word & -word;
      if ((this.group0[i] & bit) !== 0) this.group0[i] &= ~bit;
      else this.group1[i] &= ~bit;
      return ((i << 5) + (31 - Math.clz32(bit))) << this.shift;
    }
    return IDLE_PRIORITY;
  }
}

/** What one CPU interface lets through: priority mask, binary points, active priorities. */
export class PriorityRules {
  /** PMR. */
  mask = 0;
  readonly minimum: number;
  private point0: number;
  private point1: number;
  private common = false;
  /** The bits of a group 0 and of a group 1 priority that decide preemption. */
  private bits0 = 0;
  private bits1 = 0;

  constructor(
    readonly active: ActivePriorities,
    preemptionBits: number,
  ) {
    this.minimum = minimumBpr1(preemptionBits);
    this.point0 = this.minimum - 1;
    this.point1 = this.minimum;
    this.cut();
  }

  get bpr0(): number {
    return this.point0;
  }

  set bpr0(value: number) {
    this.point0 = clampBpr(value, this.minimum - 1);
    this.cut();
  }

  get bpr1(): number {
    return this.point1;
  }

  set bpr1(value: number) {
    this.point1 = clampBpr(value, this.minimum);
    this.cut();
  }

  /** CBPR: BPR0 governs group 1 too. */
  get isCommon(): boolean {
    return this.common;
  }

  set isCommon(value: boolean) {
    this.common = value;
    this.cut();
  }

  /** BPR1 as it reads. */
  effectiveBpr1(): number {
    return this.common ? commonBpr1(this.point0) : this.point1;
  }

  /** The part of a priority that decides preemption. */
  preemption(priority: number, group: 0 | 1): number {
    return priority & (group === 0 ? this.bits0 : this.bits1);
  }

  /** Is an interrupt of this priority signalled (its group being enabled)? Both comparisons are strict. */
  lets(priority: number, group: 0 | 1): boolean {
    return priority < this.mask && this.preemption(priority, group) < this.active.running();
  }

  private cut(): void {
    this.bits0 = groupPriority(0xff, 0, this.point0, this.point1, this.common);
    this.bits1 = groupPriority(0xff, 1, this.point0, this.point1, this.common);
  }
}
