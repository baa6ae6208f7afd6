// Fields of list registers as int32 (halves): ICH_LR<n>_EL2 (gic-v3.md A9.7) and GICH_LR<n> (host-irq.md 2.3).

/** High half of ICH_LR. */
export const enum LrV3 {
  PINTID_MASK = 0x3ff,
  /** With HW=0: an end-of-interrupt maintenance request. */
  EOI = 1 << 9,
  PRIORITY_SHIFT = 16,
  GROUP1 = 1 << 28,
  HW = 1 << 29,
  PENDING = 1 << 30,
  ACTIVE = 1 << 31,
  STATE_SHIFT = 30,
}

/** GICH_LR. */
export const enum LrV2 {
  VINTID_MASK = 0x3ff,
  CPUID_SHIFT = 10,
  CPUID_MASK = 7 << 10,
  PINTID_SHIFT = CPUID_SHIFT,
  /** With HW=0: an end-of-interrupt maintenance request. */
  EOI = 1 << 19,
  /** Holds bits [7:3] of the priority. */
  PRIORITY_SHIFT = 23,
  PENDING = 1 << 28,
  ACTIVE = 1 << 29,
  STATE_SHIFT = 28,
  GROUP1 = 1 << 30,
  HW = 1 << 31,
}

/**
 * Where a list register's fields are in the word that holds its state: the high half in GICv3, the only word in GICv2.
 */
export interface LrLayout {
  readonly stateShift: number;
  readonly groupShift: number;
  readonly priorityShift: number;
  /** Of the field, before it is scaled to 8 bits. */
  readonly priorityMask: number;
  readonly priorityScale: number;
  readonly hw: number;
  readonly eoi: number;
}

export const LR_V3: LrLayout = {
  stateShift: LrV3.STATE_SHIFT,
  groupShift: 28,
  priorityShift: LrV3.PRIORITY_SHIFT,
  priorityMask: 0xff,
  priorityScale: 0,
  hw: LrV3.HW,
  eoi: LrV3.EOI,
};

export const LR_V2: LrLayout = {
  stateShift: LrV2.STATE_SHIFT,
  groupShift: 30,
  priorityShift: LrV2.PRIORITY_SHIFT,
  priorityMask: 0x1f,
  priorityScale: 3,
  hw: LrV2.HW,
  eoi: LrV2.EOI,
};

/** What the guest acknowledges with GICv2: INTID with the source CPU of an SGI. */
const V2_IAR_MASK = 0x1fff;

export const lrPintid = (hi: number): number => hi & LrV3.PINTID_MASK;
export const lr2Vintid = (lr: number): number => lr & LrV2.VINTID_MASK;
export const lr2Pintid = (lr: number): number => (lr >>> LrV2.PINTID_SHIFT) & 0x3ff;
/** INTID with the source CPU where there is one (HW=0). */
export const lr2Iar = (lr: number): number => lr & (lr < 0 ? LrV2.VINTID_MASK : V2_IAR_MASK);
