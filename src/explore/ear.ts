import { current } from "../sim/context.js";
import { EVENT_NAMES, type EventArgument, type EventName, type EventSink } from "../sim/event.js";
import type { Sim } from "../sim/sim.js";
import { bit } from "./footprint.js";
import type { Property } from "./property.js";

/** Told which properties heard an event. */
export interface Listening {
  /** @param properties by their place, as bits */
  heard(properties: number): void;
}

/** Hands the world's events to the properties that hear them. */
export class Ear implements EventSink {
  /** The first sentence that a property answered with. */
  broken: string | null = null;
  private readonly hearers: readonly (readonly Property[])[];
  /** Who hears each event, as bits. */
  private readonly masks: readonly number[];

  constructor(
    properties: readonly Property[],
    private readonly listening: Listening,
  ) {
    this.hearers = EVENT_NAMES.map((name: EventName) => properties.filter(({ hears }) => hears?.includes(name)));
    this.masks = this.hearers.map((some) => some.reduce((mask, property) => mask | bit(properties.indexOf(property)), 0));
  }

  event(_sim: Sim, _id: number, _cause: number, kind: number, ...args: (EventArgument | undefined)[]): void {
    if (this.masks[kind] === 0) return;
    this.listening.heard(this.masks[kind]);
    const known = args.filter((arg) => arg !== undefined);
    for (const property of this.hearers[kind]) this.broken ??= property.hear?.({ name: EVENT_NAMES[kind], context: current().name, args: known }) ?? null;
  }
}
