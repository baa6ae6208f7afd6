import { reads, shared, writes } from "../../sim/access.js";
import type { Step } from "../../sim/step.js";

/** Why hardware may not virtualise the local APICs of a VM (x86-irqchip.md 11). */
export type ApicvInhibit =
  | "DISABLE"
  | "PHYSICAL_ID_ALIASED"
  | "LOGICAL_ID_ALIASED"
  | "APIC_ID_MODIFIED"
  | "APIC_BASE_MODIFIED"
  | "IRQWIN"
  | "NESTED"
  | "PIT_REINJ"
  | "HYPERV"
  | "BLOCKIRQ"
  | "X2APIC";

const BITS: Readonly<Record<ApicvInhibit, number>> = {
  DISABLE: 1,
  HYPERV: 2,
  NESTED: 4,
  IRQWIN: 8,
  PIT_REINJ: 16,
  BLOCKIRQ: 32,
  PHYSICAL_ID_ALIASED: 64,
  LOGICAL_ID_ALIASED: 128,
  APIC_ID_MODIFIED: 256,
  APIC_BASE_MODIFIED: 512,
  X2APIC: 1024,
};

/** What inhibits posted interrupts on Intel; the rest concerns AVIC alone. */
const INTEL = BITS.DISABLE | BITS.HYPERV | BITS.BLOCKIRQ | BITS.PHYSICAL_ID_ALIASED | BITS.APIC_ID_MODIFIED | BITS.APIC_BASE_MODIFIED;

/** Whose hardware virtualises. */
export type ApicvVendor = "intel" | "amd";

/** Told when the reasons have changed: every vCPU that uses such hardware has to look. */
export interface InhibitWatcher {
  inhibitsChanged(): Step<void>;
}

/** kvm->arch.apicv_inhibit_reasons. */
export class Inhibits {
  reasons = 0;
  private readonly users = new Map<number, number>();

  constructor(private readonly watcher: InhibitWatcher) {}

  *set(reason: ApicvInhibit, isThere: boolean): Step<void> {
    const bit = BITS[reason];
    yield reads(this, "reasons");
    if (((this.reasons & bit) !== 0) === isThere) return;
    yield writes(this, "reasons");
    this.reasons = isThere ? this.reasons | bit : this.reasons & ~bit;
    yield* this.watcher.inhibitsChanged();
  }

  *add(reason: ApicvInhibit): Step<void> {
    yield* this.set(reason, true);
  }

  /** One user of a reason more (1) or less (-1): it holds while there is any. */
  *count(reason: ApicvInhibit, change: 1 | -1): Step<void> {
    const bit = BITS[reason];
    const users = (this.users.get(bit) ?? 0) + change;
    this.users.set(bit, users);
    yield* this.set(reason, users > 0);
  }

  *isInhibited(vendor: ApicvVendor): Step<boolean> {
    yield reads(this, "reasons");
    return (this.reasons & (vendor === "intel" ? INTEL : -1)) !== 0;
  }

  *has(reason: ApicvInhibit): Step<boolean> {
    yield reads(this, "reasons");
    return (this.reasons & BITS[reason]) !== 0;
  }
}
shared(Inhibits, "reasons");
