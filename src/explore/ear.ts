import { current } from "../sim/context.js";
import { Ev, EVENT_NAMES, type EventArgument, type EventSink } from "../sim/event.js";
import type { Sim } from "../sim/sim.js";
import { bit } from "./footprint.js";
import type { Heard, Property } from "./property.js";

/** Told which properties heard an event. */
export interface Listening {
  /** @param properties by their place, as bits */
  heard(properties: number): void;
}

/** Hands the world's events to the properties that hear them. */
export class Ear implements EventSink {
  /** The first sentence that a property answered with. */
  broken: string | null = null;
  /** Who hears each event, by its number, as bits: one ear serves one execution, and is made as often. */
  private readonly masks = new Int32Array(EVENT_NAMES.length);

  constructor(
    private readonly properties: readonly Property[],
    private readonly listening: Listening,
  ) {
    for (let i = 0; i < properties.length; i++) for (const name of properties[i].hears ?? []) this.masks[Ev[name]] |= bit(i);
  }

  event(_sim: Sim, _id: number, _cause: number, kind: number, ...args: (EventArgument | undefined)[]): void {
    const name = EVENT_NAMES[kind];
    if (this.masks[kind] === 0) return;
    this.listening.heard(this.masks[kind]);
    const heard: Heard = { name, context: current().name, args: args.filter((arg) => arg !== undefined) };
    for (const property of this.properties) if (property.hears?.includes(name)) this.broken ??= property.hear?.(heard) ?? null;
  }
}
