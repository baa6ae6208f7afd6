import type { ChipRules, X86Compat } from "../chip-rules.js";

/** What the VM decided about its local APICs (x86-irqchip.md 14.3). */
export interface LapicOptions {
  /** Split: no IOAPIC in the kernel; LVR offers the directed EOI, and a handled EOI goes to user space. */
  readonly mode: "full" | "split";
  /** Lowest priority picks by vector (6.3); false: by the arbitration counters. */
  readonly hasVectorHashing: boolean;
  /** False forces the slow scan of 6.2. */
  readonly hasOptimizedMap: boolean;
  /** A seventh LVT entry. */
  readonly hasCmci: boolean;
  /** KVM_CAP_X86_APIC_BUS_CYCLES_NS. */
  readonly busCycleNs: number;
  /** kvm.min_timer_period_us. */
  readonly minPeriodNs: number;
  /** Guest TSC, cycles per second: 10^9 makes a cycle a nanosecond. */
  readonly tscHz: number;
  /** The boot CPU starts with LINT0 as ExtINT. */
  readonly lint0Quirk: boolean;
  /** The window of an APIC that is disabled or in x2APIC mode reads ones; off: it is user space's. */
  readonly disabledWindowQuirk: boolean;
  /** AMD without AVIC: the low nibble of TPR is lost at the next guest entry (7.3). */
  readonly losesTprLowNibble: boolean;
  /** Which kernel's local APICs (x86-irqchip.md 15). */
  readonly compat: X86Compat | ChipRules;
}

/** What KVM 6.18 does on an Intel processor (x86-irqchip.md 14.3). */
export const LAPIC_DEFAULTS: LapicOptions = {
  mode: "full",
  hasVectorHashing: true,
  hasOptimizedMap: true,
  hasCmci: false,
  busCycleNs: 1,
  minPeriodNs: 200_000,
  tscHz: 1_000_000_000,
  lint0Quirk: true,
  disabledWindowQuirk: true,
  losesTprLowNibble: false,
  compat: "newest",
};

/** KVM_CAP_X2APIC_API and the EOI broadcast flags of 2026 (8.5). */
export class X2apicApi {
  use32BitIds = false;
  isBroadcastQuirkDisabled = false;
  /** "legacy": split mode offers SPIV bit 12 and exits all the same. */
  suppression: "legacy" | "enabled" | "disabled" = "legacy";
}
