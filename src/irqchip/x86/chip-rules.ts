/** A change of Linux's that changes what a caller or a guest sees of the x86 controllers: when it came, and what it says. */
interface Row {
  /** 604 is 6.4; {@link KERNEL_2026} is what was announced in January 2026. */
  readonly since: number;
  readonly rule: string;
}

const KERNEL_2026 = 700;
/** The newest kernel that was recorded and asked: 6.18.44. */
const NEWEST = 618;

/**
 * x86-irqchip.md 15, one switch a change. Two of its rows change nothing that anybody sees: 5.17's wake-up list (the same
 * vCPUs wake) and 6.17's fixed source ids (those that were given out before: 0, 1, and 2 for the PIT).
 */
export const CHIP_RULE_ROWS = {
  ignoresPolarity: { since: 309, rule: "an IOAPIC entry's polarity is stored and ignored; before, it inverted the line" },
  tracksRtcEoi: { since: 310, rule: "a tick of pin 8 asked for with status is coalesced until every receiver of the last one has ended it" },
  exitsByBitmap: { since: 310, rule: "a vCPU tells the IOAPIC of the ends of its handled vectors; before, of every end" },
  pausesEoiStorm: { since: 315, rule: "the 10,000th EOI in a row that finds the line high delays the next delivery" },
  hasSplitIrqchip: { since: 404, rule: "KVM_CAP_SPLIT_IRQCHIP" },
  hasX2apicApi: { since: 408, rule: "KVM_CAP_X2APIC_API" },
  unmaskAsksResampler: { since: 604, rule: "a level entry that a write leaves unmasked asks its resampler before it is serviced, and only if it could be" },
  pollHasBit7: { since: 605, rule: "a successful PIC poll has bit 7 set" },
  mergesPirForRoutes: { since: 611, rule: "split mode, too, merges the PIR before it looks which vectors are handled" },
  refusesReservedIcrBits: { since: 611, rule: "reserved bits in an x2APIC's ICR are a general protection fault" },
  keepsX2apicId: { since: 611, rule: "KVM_SET_LAPIC does not change an x2APIC's id; before, bits 31:24 of the record became it" },
  rescansStaleRouting: { since: 615, rule: "the EOI of a vector that is handled only because it was pending asks for a rescan" },
  wakesOnlyWhenRaised: { since: 615, rule: "the PIC wakes a vCPU only when its output became 1, no longer when it merely was 0" },
  hasEoiBroadcastFlags: { since: 618, rule: "KVM_CAP_X2APIC_API has the flags about suppressed EOI broadcasts (2026, and 6.18's stable releases)" },
  remoteIrrOnlyWhenAccepted: { since: KERNEL_2026, rule: "a level delivery that nobody matched leaves remote IRR clear" },
  levelWriteClearsDelivered: { since: KERNEL_2026, rule: "a write that leaves an entry level forgets that an edge was sent" },
} as const satisfies Readonly<Record<string, Row>>;

export type ChipRule = keyof typeof CHIP_RULE_ROWS;
/** Where kernels differ in what PIC, IOAPIC and local APICs do: true from the kernel on that brought the change. */
export type ChipRules = Readonly<Record<ChipRule, boolean>>;

/** Whose rules hold: the newest recorded kernel's (6.18), those of a version as "linux-6.1", or those announced for 2026. */
export type X86Compat = "newest" | "linux-2026" | `linux-${number}.${number}`;

const OLDEST = 309;
export const isX86Compat = (text: string): text is X86Compat => text === "newest" || text === "linux-2026" || (VERSION.test(text) && versionOf(text as X86Compat) >= OLDEST && versionOf(text as X86Compat) <= NEWEST);

const VERSION = /^linux-(\d)\.(\d{1,2})$/;
const made = new Map<number, ChipRules>();

/** The switches of a kernel, or those given. Versions between two rows have those of the earlier one; the oldest with any is 3.9. */
export function chipRules(compat: X86Compat | ChipRules): ChipRules {
  if (typeof compat !== "string") return compat;
  const version = versionOf(compat);
  let rules = made.get(version);
  if (rules === undefined) {
    rules = Object.fromEntries(Object.entries(CHIP_RULE_ROWS).map(([name, { since }]) => [name, since <= version])) as ChipRules;
    made.set(version, rules);
  }
  return rules;
}

function versionOf(compat: X86Compat): number {
  if (compat === "newest") return NEWEST;
  if (compat === "linux-2026") return KERNEL_2026;
  const [, major, minor] = VERSION.exec(compat) ?? [];
  if (major === undefined || minor === undefined) throw new Error(`"${compat}" names no kernel: "newest", "linux-2026", or a version as "linux-6.1"`);
  return Number(major) * 100 + Number(minor);
}
