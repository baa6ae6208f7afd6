import { type Access, AccessKind } from "../sim/access.js";
import { EVENT_NAMES, type EventArgument, type EventSink } from "../sim/event.js";
import { POINT_SITES } from "../sim/point-sites.js";
import type { Sim } from "../sim/sim.js";
import type { Actor } from "./actor.js";
import type { Recorder, Trial } from "./trial.js";

const VERBS = ["reads", "counts", "writes", "acquires", "releases", "waits for"] as const;

/** One step of an execution, as a person reads it. */
export interface ShownStep {
  /** Place among the execution's contexts. */
  readonly actor: number;
  readonly context: string;
  readonly kind: (typeof VERBS)[number] | "enters";
  /** The class of what is accessed, and a number where the execution touches several of it; "" for an entry. */
  readonly object: string;
  readonly field: string;
  /** "src/kvm/irqfd.ts:41", or "" where the build numbered nothing. */
  readonly site: string;
  /** Where a point of the ground (src/sim) was reached from; "" where that is not known. */
  readonly caller: string;
  /** Events of this step: "kvm_set_irq(5,1,0)". */
  readonly events: readonly string[];
}

interface Seen {
  readonly actor: number;
  readonly context: string;
  readonly kind: AccessKind | -1;
  readonly object: object | null;
  readonly field: string;
  readonly site: number;
  readonly caller: string;
  readonly events: string[];
}

/** Tells where an access was reached from. */
export type CallerOf = (access: Access) => string;

/** Keeps what each step of one execution does, and names the objects at the end. */
export class Showing implements Recorder, EventSink {
  private readonly seen: Seen[] = [];
  private next: EventSink | null = null;

  constructor(private readonly callerOf: CallerOf = () => "") {}

  /** Hears the trial's events, beside its properties. */
  listen(trial: Trial): void {
    this.next = trial.program.sim.traceTo(this);
  }

  step(actor: Actor, seat: number): void {
    const access = actor.isUnderWay ? actor.pending : null;
    const { kind, object, field, site } = access ?? { kind: -1 as const, object: null, field: "", site: 0 };
    const caller = access === null ? "" : this.callerOf(access);
    this.seen.push({ actor: seat, context: actor.context.name, kind, object, field, site, caller, events: [] });
  }

  event(sim: Sim, id: number, cause: number, kind: number, a?: EventArgument, b?: EventArgument, c?: EventArgument, d?: EventArgument, e?: EventArgument, f?: EventArgument): void {
    this.next?.event(sim, id, cause, kind, a, b, c, d, e, f);
    this.seen.at(-1)?.events.push(`${EVENT_NAMES[kind]}(${[a, b, c, d, e].filter((arg) => arg !== undefined).join(",")})`);
  }

  steps(): ShownStep[] {
    const names = nameObjects(this.seen);
    return this.seen.map(({ actor, context, kind, object, field, site, caller, events }) => ({
      actor,
      context,
      kind: kind === -1 ? "enters" : VERBS[kind],
      object: object === null ? "" : (names.get(object) ?? ""),
      field,
      site: POINT_SITES[site] ?? "",
      caller,
      events,
    }));
  }
}

/** "Irqfd", or "Irqfd 2" where there are several, in the order in which the execution comes to them; a lock by its class too. */
function nameObjects(seen: readonly Seen[]): Map<object, string> {
  const byKind = new Map<string, object[]>();
  for (const { object } of seen) {
    if (object === null) continue;
    const kind = kindOf(object);
    const known = byKind.get(kind) ?? [];
    if (!known.includes(object)) known.push(object);
    byKind.set(kind, known);
  }
  const names = new Map<object, string>();
  for (const [name, objects] of byKind) objects.forEach((object, i) => names.set(object, objects.length === 1 ? name : `${name} ${i + 1}`));
  return names;
}

function kindOf(object: object): string {
  const { name } = object.constructor;
  return "lockClass" in object && typeof object.lockClass === "string" ? `${name} ${object.lockClass}` : name;
}

/** Steps that a round of a livelock may have to be seen as one. */
const LONGEST = 1_000;

const isSame = (a: ShownStep, b: ShownStep): boolean => a.actor === b.actor && a.site === b.site && a.kind === b.kind && a.object === b.object && a.field === b.field;

/** Of steps that come to go round: those before that, and one round. All, where none is seen. */
export function oneRound(steps: readonly ShownStep[]): readonly ShownStep[] {
  const last = steps.length - 1;
  const from = (period: number): number => {
    let i = last;
    while (i >= period && isSame(steps[i], steps[i - period])) i--;
    return i + 1;
  };
  for (let period = 1; period <= Math.min(LONGEST, steps.length >> 1); period++) {
    const begin = from(period);
    if (begin <= steps.length - 2 * period) return steps.slice(0, begin);
  }
  return steps;
}

/** "raise: src/host/eventfd.ts:101 writes EventfdContext.count", a line for each access; which of several objects, no line says. */
export function describeSteps(steps: readonly ShownStep[]): string[] {
  const accesses = steps.filter(({ kind }) => kind !== "enters");
  return accesses.map(({ context, site, kind, object, field }) => `${context}: ${site} ${kind} ${object.replace(/ .*$/, "")}${field === "" ? "" : `.${field}`}`.replace(/ {2,}/g, " "));
}
