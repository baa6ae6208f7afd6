import { hearing } from "../sim/access.js";
import { current } from "../sim/context.js";
import { Ev, EVENT_NAMES, type EventArgument, type EventName, type EventSink } from "../sim/event.js";
import type { Sim } from "../sim/sim.js";
import { bit } from "./footprint.js";
import type { Heard, Property } from "./property.js";

/** Told what was heard: each event of each property is a bit. */
export interface Listening {
  /** @param minds the bits of events whose order with this one a property tells */
  heard(hears: number, minds: number): void;
}

/** Hands the world's events to the properties that hear them. */
export class Ear implements EventSink {
  /** The first sentence that a property answered with. */
  broken: string | null = null;
  /** By the event's number, those that somebody hears: one ear serves one execution, and is made as often. */
  private readonly hears: number[] = [];
  private readonly minds: number[] = [];
  private count = 0;

  constructor(
    private readonly properties: readonly Property[],
    private readonly listening: Listening,
  ) {
    for (const property of properties) if (property.hears !== undefined) this.lend(property.hears, property.anyOrder ?? []);
  }

  /** Lends the ear to one property. */
  private lend(names: readonly EventName[], anyOrder: NonNullable<Property["anyOrder"]>): void {
    const first = this.count;
    const bits = (list: readonly EventName[]): number => list.reduce((all, name) => all | bit(first + names.indexOf(name)), 0);
    const all = bits(names);
    for (const name of names) {
      let minds = all;
      for (const [ones, others] of anyOrder) {
        if (ones.includes(name)) minds &= ~bits(others);
        if (others.includes(name)) minds &= ~bits(ones);
      }
      this.hears[Ev[name]] = (this.hears[Ev[name]] ?? 0) | bit(this.count++);
      this.minds[Ev[name]] = (this.minds[Ev[name]] ?? 0) | minds;
    }
  }

  event(_sim: Sim, _id: number, _cause: number, kind: number, ...args: (EventArgument | undefined)[]): void {
    const hears = this.hears[kind] ?? 0;
    if (hears === 0) return;
    const name = EVENT_NAMES[kind];
    this.listening.heard(hears, this.minds[kind]);
    const heard: Heard = { name, context: current().name, args: args.filter((arg) => arg !== undefined) };
    for (const property of this.properties) if (property.hears?.includes(name)) this.broken ??= tellOne(property, heard);
  }
}

/** @throws PersonError where it looks at state that contexts share */
function tellOne(property: Property, heard: Heard): string | null {
  hearing(property.name);
  try {
    return property.hear?.(heard) ?? null;
  } finally {
    hearing(null);
  }
}
