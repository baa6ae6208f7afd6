import { faultLines, nanoseconds } from "../table.js";
import type { Distribution } from "../samples.js";
import type { BackendComparison, BackendResult } from "./result.js";

const whole = (value: number | null): string => (value === null ? "-" : String(value));
const ratio = (value: number | null): string => (value === null ? "-" : value.toFixed(2));
const isUnpublished = (r: BackendResult): boolean => r.latencyNs === null && (r.delivered ?? 0) > 0;
const time = (of: Distribution | null, which: keyof Distribution): string => (of === null ? "-" : nanoseconds(of[which]));
const ROWS: readonly (readonly [string, (result: BackendResult) => string])[] = [
  ["interrupt", (r) => r.signal],
  ["told by", (r) => r.notification],
  ["raised", (r) => whole(r.raised)],
  ["delivered", (r) => whole(r.delivered)],
  ["coalesced", (r) => whole(r.coalesced)],
  ["lost", (r) => whole(r.lost)],
  ["spurious", (r) => whole(r.spurious)],
  ["host handlers", (r) => whole(r.hostHandlers)],
  ["masked until served by", (r) => r.maskedBy ?? "-"],
  ["  at host's controller", (r) => whole(r.lineMasks)],
  ["  by DisINTx", (r) => whole(r.pinMasks)],
  ["opened again by", (r) => r.endedBy ?? "-"],
  ["  EOIs of the guest's", (r) => whole(r.guestEnds)],
  ["eventfd signals per interrupt", (r) => ratio(r.eventfdSignalsPerInterrupt)],
  ["resamplefd signals per interrupt", (r) => ratio(r.resamplefdSignalsPerInterrupt)],
  ["upcalls past the host", (r) => whole(r.upcalls)],
  ...(["min", "p50", "p99", "max"] as const).map((which) => [`latency ${which}`, (r: BackendResult) => (isUnpublished(r) ? "n/a" : time(r.latencyNs, which))] as const),
  ["EOI to unmask p50", (r) => time(r.eoiToUnmaskNs, "p50")],
  ["SET_IRQS MASK", (r) => (r.heldByMask === true ? "holds" : (r.mask ?? "-"))],
  ["SET_IRQS UNMASK eventfd", (r) => (r.unmaskEventfd === "0" ? "yes" : (r.unmaskEventfd ?? "-"))],
];

/** The comparison as aligned text: a column for each backend and kind of interrupt, what IRQ_INFO says below. */
export function backendText({ board, workload: w, profile, backends }: BackendComparison): string {
  const fitting = backends.filter((each) => each.applicable);
  const lines = [`${board}: the same guest over each device backend; ${w.interrupts} conditions, ${w.ratePerSecond}/s in bursts of ${w.burst}, seed ${w.seed}`, ""];
  if (fitting.length > 0) lines.push(...table([["", ...fitting.map((each) => each.backend)], ...ROWS.map(([label, value]) => [label, ...fitting.map(value)])]), "");
  for (const each of fitting) lines.push(`${each.backend}, ${each.signal}: ${each.device} interrupt ${each.irq}; GET_IRQ_INFO: ${each.irqInfo.join(" ") || "no flags"}`);
  lines.push(...faultLines(fitting.map((each) => [`${each.backend} (${each.signal})`, each.dmaFaults])));
  if (fitting.some(isUnpublished)) lines.push(`Latency n/a: no published figure for any step of the way (${profile}).`);
  for (const each of backends) if (!each.applicable) lines.push(`${each.backend}, ${each.signal}, does not fit: ${each.why}`);
  return `${[...new Set(lines.slice(2))].reduce((text, line) => `${text}\n${line}`, lines[0])}\n`;
}

function table(rows: readonly string[][]): string[] {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  return rows.map((row) => row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join("  ").trimEnd());
}
