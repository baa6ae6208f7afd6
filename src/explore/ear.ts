import { current } from "../sim/context.js";
import { EVENT_NAMES, type EventArgument, type EventName, type EventSink } from "../sim/event.js";
import type { Sim } from "../sim/sim.js";
import type { Property } from "./property.js";

/** Hands the world's events to the properties that hear them. */
export class Ear implements EventSink {
  /** The first sentence that a property answered with. */
  broken: string | null = null;
  private readonly hearers: readonly (readonly Property[])[];

  constructor(properties: readonly Property[]) {
    this.hearers = EVENT_NAMES.map((name: EventName) => properties.filter(({ hears }) => hears?.includes(name)));
  }

  event(_sim: Sim, _id: number, _cause: number, kind: number, ...args: (EventArgument | undefined)[]): void {
    const known = args.filter((arg) => arg !== undefined);
    for (const property of this.hearers[kind]) this.broken ??= property.hear?.({ name: EVENT_NAMES[kind], context: current().name, args: known }) ?? null;
  }
}
