import { EVENT_ARGUMENTS, EVENT_NAMES, type TraceEvent } from "../sim/event.js";

/**
 * A trace as text, one line per event:
 *
 *     id <cause  time  cpu context  name argument=value ...
 *
 * `id` counts from 1; `<cause` names the event that led to this one (`<0`: a first cause); `time` is virtual time in
 * nanoseconds; `cpu` is the physical CPU; the arguments are those of the event's row in sim/event.ts, addresses and
 * register values from 10 on in hexadecimal.
 */
export function traceText(events: readonly TraceEvent[]): string {
  return events.map((event) => `${traceLine(event)}\n`).join("");
}

export function traceLine(event: TraceEvent): string {
  const id = String(event.id).padStart(6);
  const cause = `<${event.cause}`.padEnd(7);
  const time = event.timeNs.toFixed(0).padStart(10);
  return `${id} ${cause} ${time} ns  cpu${event.cpu} ${event.context.padEnd(16)} ${event.name}${namedArguments(event)}`;
}

function namedArguments(event: TraceEvent): string {
  const names = EVENT_ARGUMENTS[EVENT_NAMES.indexOf(event.name)];
  return event.args.map((value, i) => ` ${names[i] ?? i}=${typeof value === "number" && IN_HEX.has(names[i]) ? hex(value) : value}`).join("");
}

/** What manuals give in hexadecimal. */
const IN_HEX: ReadonlySet<string | undefined> = new Set(["address", "iova", "data", "icr", "port", "value"]);

/** Register values are int32; addresses may have more bits. */
const hex = (value: number): string => (value >= 0 && value < 10 ? String(value) : `0x${(value < 0 ? value >>> 0 : value).toString(16)}`);
