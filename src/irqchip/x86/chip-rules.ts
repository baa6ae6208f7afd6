/** Where kernels differ in what PIC and IOAPIC do (x86-irqchip.md 15). */
export interface ChipRules {
  /** 6.4: a level entry that a write leaves unmasked asks its resampler before it is serviced, and only if it could be. */
  readonly unmaskAsksResampler: boolean;
  /** 6.5: a successful PIC poll has bit 7 set. */
  readonly pollHasBit7: boolean;
  /** 6.15: the PIC wakes a vCPU only when its output became 1, no longer when it merely was 0. */
  readonly wakesOnlyWhenRaised: boolean;
  /** 2026: a level delivery that nobody matched leaves remote IRR clear. */
  readonly remoteIrrOnlyWhenAccepted: boolean;
  /** 2026: a write that leaves an entry level forgets that an edge was sent. */
  readonly levelWriteClearsDelivered: boolean;
}

/** Whose rules hold: the newest recorded kernel's (6.18), those of 6.1, or those announced for 2026. */
export type X86Compat = "newest" | "linux-6.1" | "linux-2026";

const LINUX_6_18: ChipRules = {
  unmaskAsksResampler: true,
  pollHasBit7: true,
  wakesOnlyWhenRaised: true,
  remoteIrrOnlyWhenAccepted: false,
  levelWriteClearsDelivered: false,
};

export const CHIP_RULES: Readonly<Record<X86Compat, ChipRules>> = {
  "linux-6.1": { ...LINUX_6_18, unmaskAsksResampler: false, pollHasBit7: false, wakesOnlyWhenRaised: false },
  newest: LINUX_6_18,
  "linux-2026": { ...LINUX_6_18, remoteIrrOnlyWhenAccepted: true, levelWriteClearsDelivered: true },
};
