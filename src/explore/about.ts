import { EVENT_NAMES, type EventName } from "../sim/event.js";
import { explore, rerun, STEPS } from "./explorer.js";
import type { Property } from "./property.js";
import type { Protocol } from "./protocol.js";
import type { ShownStep } from "./show.js";
import type { Program } from "./trial.js";

/** Executions, with up to two preemptions each, within which an event that its program is about must happen. */
const PATIENCE = 10_000;

/** What {@link witnessed} answers when its event has happened. */
const HAPPENS = "it happens";

/**
 * The first of what a protocol says that it is about which does not happen with every rule in force; null when all of it does.
 * An access must happen when the program is run to completion; an event, in some execution.
 */
export function missingFrom(protocol: Protocol): string | null {
  const { about = [] } = protocol;
  if (about.length === 0) return null;
  const { steps } = rerun(() => protocol.program(), [], STEPS);
  return about.find((each) => !steps.some((step) => shows(step, each)) && !(isEvent(each) && happens(protocol, each))) ?? null;
}

const isEvent = (name: string): name is EventName => EVENT_NAMES.some((known) => known === name);

function shows({ kind, object, field, events }: ShownStep, what: string): boolean {
  return events.some((event) => event.startsWith(`${what}(`)) || `${kind} ${object.replace(/ .*$/, "")}.${field}` === what;
}

/** Is there an execution with this event? */
function happens(protocol: Protocol, event: EventName): boolean {
  const found = explore(() => witnessed(protocol.program(), event), { preemptions: 2, limit: PATIENCE });
  return found.verdict === "violation" && found.message === HAPPENS;
}

/** The same program, of which nothing is asked but whether an event happens. */
function witnessed(program: Program, event: EventName): Program {
  let isSeen = false;
  const witness: Property = {
    name: "witness",
    sentence: `${event} happens`,
    hears: [event],
    hear() {
      isSeen = true;
      return null;
    },
  };
  function end(): string | null {
    program.end?.();
    return isSeen ? HAPPENS : null;
  }
  return { sim: program.sim, contexts: program.contexts, properties: [witness], check: () => null, end };
}
