import { CHIP_RULE_ROWS, type ChipRule, chipRules } from "../../irqchip/x86/chip-rules.js";
import { NO_PROBE, PROBES } from "./probes.js";
import type { KnownSwitch } from "./known.js";
import type { Backend } from "./targets.js";

// The rows of the table for which the model has a switch: it can be put where a kernel stands.

/** "6.18" for 618. */
const release = (version: number): string => `${Math.floor(version / 100)}.${version % 100}`;
const NEWEST = chipRules("newest");

const withRule = (backend: Backend, rule: ChipRule): Backend => {
  const rules = chipRules(backend.compat ?? "newest");
  return { ...backend, compat: { ...rules, [rule]: !rules[rule] } };
};

/** A row of x86-irqchip.md 15. */
function versionRow(rule: ChipRule): KnownSwitch {
  const { since, rule: what } = CHIP_RULE_ROWS[rule];
  const probe = PROBES[rule];
  return {
    name: rule,
    flavour: "version",
    where: NEWEST[rule] ? `kernels before ${release(since)}` : "kernels of 2026",
    reason: `since ${NEWEST[rule] ? release(since) : "2026"}: ${what}`,
    model: `as the kernel that --compat names; 6.18, where none is named: ${NEWEST[rule] ? "so" : "as before"}`,
    ...(probe === undefined ? { unasked: NO_PROBE[rule] ?? "" } : { probe }),
    flip: (backend) => withRule(backend, rule),
  };
}

export const ENDS_AT_ACCEPTANCE: KnownSwitch = {
  name: "an interrupt ends as the guest takes it",
  flavour: "pvm",
  where: "kvm-pvm",
  reason: "an EOI goes to the local APIC as soon as the guest takes any interrupt, and of the guest, whose instructions it emulates, it looks for what else could be taken only where it is entered",
  model: "keeps the in-service bit until the guest's EOI, as the architecture has it; follows the kernel when compared with it",
  isOfMachine: true,
  probe: PROBES.endsAtAcceptance,
  shows: ({ kernel }) => kernel.events?.some(({ type }) => type === "intr") ?? false,
  flip: (backend) => ({ ...backend, endsAtAcceptance: !backend.endsAtAcceptance }),
};

export const SWITCHES: readonly KnownSwitch[] = [
  ENDS_AT_ACCEPTANCE,
  {
    name: "the low nibble of the TPR",
    flavour: "build",
    where: "AMD processors without AVIC",
    reason: "CR8 carries the TPR across every entry of the guest, and has four bits",
    model: "keeps the nibble; follows the kernel when compared with it",
    isOfMachine: true,
    kept: "Linux 6.1 on AMD showed it (qemu-lapic.json); the kernel that was compared since keeps the nibble",
    probe: PROBES.losesTprLowNibble,
    flip: (backend) => ({ ...backend, losesTprLowNibble: !(backend.losesTprLowNibble ?? false) }),
  },
  {
    name: "one eventfd, irqfds of several VMs",
    flavour: "version",
    where: "kernels before 6.17",
    reason: "they look among the irqfds of one VM whether the eventfd is taken, not in its wait queue (H31)",
    model: "one eventfd has one irqfd, whatever the VM; follows the kernel when compared with it",
    probe: PROBES.busyByList,
    flip: (backend) => ({ ...backend, hazards: { ...backend.hazards, busyByList: !(backend.hazards?.busyByList ?? false) } }),
  },
  ...(Object.keys(CHIP_RULE_ROWS) as ChipRule[]).map(versionRow),
];
