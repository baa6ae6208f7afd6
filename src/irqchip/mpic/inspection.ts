import { Ivpr, MPIC_INTERRUPTS, Output } from "./constants.js";
import type { Mpic, MpicCpu } from "./mpic.js";

/** What one CPU has of an MPIC (mpic.md 2). */
export interface MpicCpuInspection {
  readonly cpu: number;
  readonly ctpr: number;
  /** Its INT line. */
  readonly line: boolean;
  /** Numbers, ascending. */
  readonly raised: readonly number[];
  readonly servicing: readonly number[];
  /** The priorities that the queues had at their last refresh: stale in between (M6, M7). */
  readonly cachedPriority: { readonly raised: number; readonly servicing: number };
  /** Active sources that are critical, and machine checks. */
  readonly critical: number;
  readonly machineCheck: number;
}

/** One source, IPI (256 to 259) or timer (260 to 263). */
export interface MpicSourceInspection {
  readonly irq: number;
  readonly vector: number;
  /** 15 is the most urgent, 0 is never delivered. */
  readonly priority: number;
  readonly masked: boolean;
  readonly active: boolean;
  readonly level: boolean;
  readonly pending: boolean;
  /** As it reads, and the CPUs that are really targeted: only a write makes them one (M1). */
  readonly idr: number;
  readonly destination: number;
  readonly output: "INT" | "CINT" | "MCP";
}

/** A controller as it stands between two accesses. */
export interface MpicInspection {
  /** u32: the mode bits of GCR, SPVE, and the message registers. */
  readonly gcr: number;
  readonly spuriousVector: number;
  readonly msir: readonly number[];
  readonly cpus: readonly MpicCpuInspection[];
  readonly sources: readonly MpicSourceInspection[];
}

/**
 * The whole state, nothing changed by the look: a register that is read by the attribute has its side effects, IACK
 * acknowledges and MSIR clears (M16).
 */
export function inspectMpic(mpic: Mpic): MpicInspection {
  return {
    gcr: mpic.gcr >>> 0,
    spuriousVector: mpic.spuriousVector,
    msir: [...mpic.msir].map((bits) => bits >>> 0),
    cpus: mpic.cpus.slice(0, mpic.nbCpus).map(inspectCpu),
    sources: Array.from({ length: MPIC_INTERRUPTS }, (_, irq) => inspectSource(mpic, irq)),
  };
}

function inspectCpu({ ctpr, isLineHigh, raised, servicing, active }: MpicCpu, cpu: number): MpicCpuInspection {
  const cachedPriority = { raised: raised.priority, servicing: servicing.priority };
  return { cpu, ctpr, line: isLineHigh, raised: raised.members(), servicing: servicing.members(), cachedPriority, critical: active[Output.CINT], machineCheck: active[Output.MCP] };
}

const OUTPUT_NAMES = ["INT", "CINT", "MCP"] as const;

function inspectSource(mpic: Mpic, irq: number): MpicSourceInspection {
  const ivpr = mpic.ivpr[irq];
  return {
    irq,
    vector: ivpr & Ivpr.VECTOR_MASK,
    priority: mpic.priorityOf(irq),
    masked: (ivpr & Ivpr.MASK) !== 0,
    active: (ivpr & Ivpr.ACTIVITY) !== 0,
    level: mpic.isLevel[irq] !== 0,
    pending: mpic.pending[irq] !== 0,
    idr: mpic.idr[irq] >>> 0,
    destination: mpic.destination[irq] >>> 0,
    output: OUTPUT_NAMES[mpic.output[irq]],
  };
}
