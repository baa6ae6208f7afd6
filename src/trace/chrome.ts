import { EVENT_ARGUMENTS, EVENT_NAMES, type TraceEvent } from "../sim/event.js";

interface ChromeEvent {
  name: string;
  ph: "X" | "M" | "s" | "f";
  pid: number;
  tid: number;
  /** Microseconds of virtual time. */
  ts?: number;
  dur?: number;
  id?: number;
  cat?: string;
  bp?: "e";
  args?: Record<string, string | number>;
}

const SHORTEST_US = 0.001;

/**
 * A trace in the Chrome trace-event format (JSON object form), which Perfetto's viewer opens: one process per physical
 * CPU, one thread per context, a slice per event up to the next event of its context, and an arrow from each event to
 * the events it caused in other contexts.
 */
export function traceChrome(events: readonly TraceEvent[]): { displayTimeUnit: "ns"; traceEvents: ChromeEvent[] } {
  const threads = new Map<string, number>();
  const byId = new Map(events.map((event) => [event.id, event]));
  const out: ChromeEvent[] = [];
  const threadOf = (event: TraceEvent): number => {
    const key = `${event.cpu} ${event.context}`;
    const known = threads.get(key);
    if (known !== undefined) return known;
    const tid = threads.size + 1;
    threads.set(key, tid);
    out.push({ name: "process_name", ph: "M", pid: event.cpu, tid, args: { name: `cpu${event.cpu}` } });
    out.push({ name: "thread_name", ph: "M", pid: event.cpu, tid, args: { name: event.context } });
    return tid;
  };
  const ends = sliceEnds(events);
  events.forEach((event, i) => {
    const place = { pid: event.cpu, tid: threadOf(event), ts: event.timeNs / 1000 };
    const dur = Math.max(SHORTEST_US, ends[i] / 1000 - place.ts);
    out.push({ name: event.name, ph: "X", ...place, dur, cat: "virq", args: { ...named(event), id: event.id, cause: event.cause } });
    const cause = byId.get(event.cause);
    if (cause === undefined || cause.context === event.context) return;
    const from = { pid: cause.cpu, tid: threadOf(cause), ts: cause.timeNs / 1000 };
    out.push({ name: "causes", ph: "s", ...from, id: event.id, cat: "cause" });
    out.push({ name: "causes", ph: "f", bp: "e", ...place, id: event.id, cat: "cause" });
  });
  return { displayTimeUnit: "ns", traceEvents: out };
}

/** Where each event's slice ends: at the next event that it caused in its own context, or where it began. */
function sliceEnds(events: readonly TraceEvent[]): number[] {
  const index = new Map(events.map((event, i) => [event.id, i]));
  const ends = events.map((event) => event.timeNs);
  for (const event of events) {
    const before = index.get(event.cause);
    if (before !== undefined && events[before].context === event.context) ends[before] = event.timeNs;
  }
  return ends;
}

function named(event: TraceEvent): Record<string, string | number> {
  const names = EVENT_ARGUMENTS[EVENT_NAMES.indexOf(event.name)];
  return Object.fromEntries(event.args.map((value, i) => [names[i] ?? String(i), value]));
}
