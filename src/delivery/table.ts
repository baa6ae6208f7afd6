import { isDirect } from "../board/assign.js";
import { COST_PROFILES, NO_FIGURE } from "../scenario/profiles.js";
import { PRIMITIVE_MEANING } from "../sim/cost.js";
import type { Comparison, DmaFaultCount, MechanismResult } from "./result.js";
import type { Distribution } from "./samples.js";
import { NEIGHBOUR_NS } from "./sharing.js";
import { VCPU_STATES } from "./vcpu-state.js";

/** One line of the table: a label, and what it shows of a mechanism. */
export interface Row {
  readonly label: string;
  readonly value: (result: MechanismResult) => string;
  /** For charts: the number behind the text. */
  readonly number?: (result: MechanismResult) => number | null;
}

const whole = (value: number | null): string => (value === null ? "-" : String(value));
const ratio = (value: number | null): string => (value === null ? "-" : value.toFixed(2));

export function nanoseconds(ns: number): string {
  if (ns < 1000) return `${Math.round(ns)} ns`;
  if (ns < 1e6) return `${(ns / 1000).toFixed(2)} us`;
  return `${(ns / 1e6).toFixed(2)} ms`;
}

const time = (of: Distribution | null, which: keyof Distribution): string => (of === null ? "-" : nanoseconds(of[which]));

/** Interrupts were delivered, and the profile charges nothing on their way. */
const isUnpublished = (m: MechanismResult): boolean => m.latencyNs === null && (m.delivered ?? 0) > 0;

/** The rows of a comparison: exits by reason as far as any mechanism had that reason. */
export function rowsOf(comparison: Comparison): Row[] {
  const reasons = [...new Set(comparison.mechanisms.flatMap((m) => Object.keys(m.exitsByReason ?? {})))].sort();
  const isChoice = comparison.interrupts.length > 1;
  return [
    ...(isChoice ? [{ label: "interrupts served", value: (m: MechanismResult) => m.irqs.join(",") }] : []),
    ...(isX86Run(comparison) ? [{ label: "APICv", value: (m: MechanismResult) => (m.apicv ? "on" : "off") }] : []),
    count("raised", (m) => m.raised),
    count("delivered", (m) => m.delivered),
    count("coalesced", (m) => m.coalesced),
    count("lost", (m) => m.lost),
    count("spurious", (m) => m.spurious),
    count("host interrupts", (m) => m.hostInterrupts),
    per("exits per interrupt", (m) => m.exitsPerInterrupt),
    ...reasons.map((reason) => per(`  ${reason}`, (m) => (m.exitsByReason === null ? null : (m.exitsByReason[reason] ?? 0)))),
    per("  to user space", (m) => m.userExitsPerInterrupt),
    ...(isPowerRun(comparison) ? [per("hypercalls", (m) => m.hypercallsPerInterrupt), per("  in real mode", (m) => m.realModeHypercallsPerInterrupt)] : []),
    per("IPIs", (m) => m.ipisPerInterrupt),
    per("host masks", (m) => m.hostMasksPerInterrupt),
    per("host unmasks", (m) => m.hostUnmasksPerInterrupt),
    per("eventfd signals", (m) => m.eventfdSignalsPerInterrupt),
    per("resamplefd signals", (m) => m.resamplefdSignalsPerInterrupt),
    ...directRows(comparison),
    ...(comparison.mechanisms.some((m) => (m.notificationsPerInterrupt ?? 0) > 0) ? [per("posted notifications", (m) => m.notificationsPerInterrupt)] : []),
    per("ioctls", (m) => m.ioctlsPerInterrupt),
    per("user-space wake-ups", (m) => m.wakeupsPerInterrupt),
    per("context switches", (m) => m.contextSwitchesPerInterrupt),
    ...(["min", "p50", "p99", "max"] as const).map((which) => ({
      label: `latency ${which}`,
      value: (m: MechanismResult) => (isUnpublished(m) ? "n/a" : time(m.latencyNs, which)),
      number: (m: MechanismResult) => m.latencyNs?.[which] ?? null,
    })),
    ...stateRows(comparison),
    { label: "EOI to unmask p50", value: (m) => time(m.eoiToUnmaskNs, "p50"), number: (m) => m.eoiToUnmaskNs?.p50 ?? null },
  ];
}

const count = (label: string, of: (m: MechanismResult) => number | null): Row => ({ label, value: (m) => whole(of(m)), number: of });
const per = (label: string, of: (m: MechanismResult) => number | null): Row => ({ label, value: (m) => ratio(of(m)), number: of });

/** What GICv4 does beside, and what sharing a CPU does. */
function directRows({ mechanisms, workload }: Comparison): Row[] {
  const hasDirect = mechanisms.some((m) => m.applicable && isDirect(m.mechanism));
  return [
    ...(hasDirect || workload.cpus !== undefined ? [per("preemptions", (m) => m.preemptionsPerInterrupt)] : []),
    ...(hasDirect ? [per("doorbells", (m) => m.doorbellsPerInterrupt), per("vPE moves", (m) => m.vpeMovesPerInterrupt)] : []),
    ...(hasDirect || mechanisms.some((m) => (m.itsCommandsPerInterrupt ?? 0) > 0) ? [per("ITS commands", (m) => m.itsCommandsPerInterrupt)] : []),
  ];
}

/** Latency by where its vCPU was, where they are told apart. */
function stateRows({ mechanisms, workload }: Comparison): Row[] {
  if (workload.cpus === undefined && !mechanisms.some((m) => m.applicable && isDirect(m.mechanism))) return [];
  return VCPU_STATES.flatMap((state) => [
    count(`vCPU ${state}`, (m) => m.byState?.[state].interrupts ?? null),
    ...(["p50", "p99"] as const).map((which) => ({ label: `  latency ${which}`, value: (m: MechanismResult) => time(m.byState?.[state].latencyNs ?? null, which) })),
  ]);
}

function isPowerRun(comparison: Comparison): boolean {
  return comparison.mechanisms.some((m) => m.realMode !== null);
}

function isX86Run(comparison: Comparison): boolean {
  return comparison.mechanisms.some((m) => m.apicv !== null);
}

/** What stands above and below the table, as plain sentences. */
export function headLines(comparison: Comparison): string[] {
  const { workload: w } = comparison;
  const irqs = comparison.interrupts.map((i) => `interrupt ${i.index}: ${i.number === null ? "message" : `number ${i.number}`}${i.intid === null ? "" : `, INTID ${i.intid}`}, ${i.trigger}`);
  return [
    `${comparison.board}  ${comparison.device}  ${irqs.join("; ")}`,
    `${w.interrupts} interrupts, ${w.ratePerSecond}/s in bursts of ${w.burst}, seed ${w.seed}; ${w.vcpus} vCPU${w.vcpus > 1 ? "s" : ""}, guest waits by ${w.wait}, ${w.accessesPerService} access${w.accessesPerService === 1 ? "" : "es"} and ${w.handlerNs} ns per handler${isX86Run(comparison) ? `, EOI by ${w.eoi}` : ""}${isPowerRun(comparison) ? `, hypercalls in ${w.realMode ? "real mode where it can" : "virtual mode"}` : ""}`,
    `Counts come from the run and are exact; times are modelled under the cost profile ${comparison.profile}.`,
    ...(w.compat === "newest" ? [] : [`KVM's virtual GIC is that of ${w.compat === "v5-2017" ? "the GICv4 series of October 2017 (v5)" : "Linux 6.1"}.`]),
    ...sharingLines(comparison),
    ...(comparison.assumedIommu ? ["The tree names no IOMMU for this device: one is assumed (--assume-iommu)."] : []),
  ];
}

/** Who shares CPUs with whom. */
function sharingLines({ workload: w, mechanisms }: Comparison): string[] {
  const busy = w.others === "spin" && w.vcpus > w.targets ? "; the other vCPUs keep their CPUs busy" : "";
  const has = (name: MechanismResult["mechanism"]): boolean => mechanisms.some((m) => m.applicable && m.mechanism === name);
  return [
    ...(w.cpus === undefined ? [] : [`The vCPUs have ${w.cpus} CPU${w.cpus === 1 ? "" : "s"} by turns of ${nanoseconds(w.sliceNs)}, those that slept first${busy}.`]),
    ...(w.cpus === undefined && busy !== "" ? [`${busy.slice(2, 3).toUpperCase()}${busy.slice(3)}.`] : []),
    ...(has("direct:runnable") ? [NEIGHBOUR] : []),
    ...(has("direct:blocked") ? ["direct:blocked: the guest waits by WFI, and a neighbour is busy on its CPU, so that the WFI traps."] : []),
  ];
}

const NEIGHBOUR = `direct:runnable: a neighbour takes the CPU shortly before each interrupt and keeps it for ${nanoseconds(NEIGHBOUR_NS)}: the exit is that preemption's.`;

/** What has no figure, and why mechanisms do not fit: one line for all where the reason is the same. */
export function footLines(comparison: Comparison): string[] {
  const [first] = comparison.mechanisms;
  if (comparison.mechanisms.every((m) => !m.applicable && m.why === first.why)) return [`No mechanism fits: ${first.why ?? ""}.`];
  const perMechanism = comparison.mechanisms.flatMap((m) => {
    const alike = comparison.mechanisms.filter((each) => !each.applicable && each.why === m.why);
    if (!m.applicable) return alike[0] === m ? [`${alike.map((each) => each.mechanism).join(", ")} ${alike.length > 1 ? "do" : "does"} not fit: ${m.why ?? ""}`] : [];
    return isUnpublished(m) ? [`${m.mechanism}: latency n/a: no published figure for any step of its way (${comparison.profile}).`] : [];
  });
  return [...perMechanism, ...faultLines(comparison.mechanisms.map((m) => [m.mechanism, m.dmaFaults])), ...unpricedExits(comparison), ...unpricedInjection(comparison)];
}

/** DMA that an IOMMU ended, a line for those that have the same to say. */
export function faultLines(runs: readonly (readonly [name: string, faults: DmaFaultCount])[]): string[] {
  const names = new Map<string, string[]>();
  for (const [name, faults] of runs) if (faults !== null) names.set(faultText(faults), [...(names.get(faultText(faults)) ?? []), name]);
  return [...names].map(([text, alike]) => `${[...new Set(alike)].join(", ")}: ${text}.`);
}

const faultText = ({ count, first: { iova, write, reason } }: NonNullable<DmaFaultCount>): string =>
  `${count} DMA fault${count === 1 ? "" : "s"}, the first a ${write ? "write" : "read"} at 0x${iova.toString(16)} (${reason})`;

/** Whose times are too short, where the profile has no figure for what they have and others have not. */
function unpricedExits({ mechanisms, profile }: Comparison): string[] {
  const source = COST_PROFILES.find(({ name }) => name === profile)?.primitives.userExit.source ?? "";
  const names = mechanisms.filter((m) => (m.userExitsPerInterrupt ?? 0) > 0).map((m) => m.mechanism);
  if (!source.startsWith(NO_FIGURE) || names.length === 0) return [];
  return [`${names.join(", ")}: times leave out what ${PRIMITIVE_MEANING.userExit} cost: no published figure (${profile}).`];
}

function unpricedInjection({ mechanisms, profile }: Comparison): string[] {
  const names = mechanisms.filter((m) => m.applicable && isDirect(m.mechanism)).map((m) => m.mechanism);
  return names.length === 0 ? [] : [`${names.join(", ")}: times leave out what the ITS, the redistributor and a vPE's change of residency take: no published figure (${profile}).`];
}

/** The comparison as aligned text, mechanisms side by side. */
export function comparisonText(comparison: Comparison): string {
  if (comparison.mechanisms.every((m) => !m.applicable)) return [headLines(comparison)[0], ...footLines(comparison), ""].join("\n");
  const rows = rowsOf(comparison).map((row) => [row.label, ...comparison.mechanisms.map((m) => (m.applicable ? row.value(m) : "-"))]);
  const table = [["", ...comparison.mechanisms.map((m) => m.mechanism)], ...rows];
  const widths = table[0].map((_, column) => Math.max(...table.map((line) => line[column].length)));
  const lines = table.map((line) => line.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join("  ").trimEnd());
  return [...headLines(comparison), "", ...lines, "", ...footLines(comparison)].join("\n").trimEnd() + "\n";
}
