import type { EventArgument, EventName } from "../sim/event.js";

/** An event as a property hears it. */
export interface Heard {
  readonly name: EventName;
  /** The context in which it happened. */
  readonly context: string;
  /** In the order of the vocabulary (sim/event.ts). */
  readonly args: readonly EventArgument[];
}

/** Tells properties what happened before they could hear it: while their program was set up. The first that breaks, or null. */
export function tell(properties: readonly Property[], events: readonly Heard[]): string | null {
  for (const event of events)
    for (const property of properties) {
      const broken = property.hears?.includes(event.name) ? property.hear?.(event) : null;
      if (broken) return broken;
    }
  return null;
}

/**
 * What must hold of a program, whatever the interleaving. One object serves one execution. Each method gives null, or the
 * sentence that says what does not hold.
 */
export interface Property {
  /** Words joined by hyphens: "no-interrupt-lost". */
  readonly name: string;
  /** What it promises, as a person reads it. */
  readonly sentence: string;
  /**
   * The events it hears. A reduction takes two accesses that emit heard events of one property for dependent: their
   * order is never merged away.
   */
  readonly hears?: readonly EventName[];
  /**
   * Pairs of lists of heard events: one of the first list and one of the second, of two contexts, may come in either order, and
   * it answers the same in the end. A reduction then merges these orders.
   */
  readonly anyOrder?: readonly (readonly [readonly EventName[], readonly EventName[]])[];
  hear?(event: Heard): string | null;
  /**
   * After every access. Under a reduction it may rest only on state that the program's own accesses put in order (what one
   * lock protects, what one object holds); what spans several objects listens to events instead.
   */
  check?(): string | null;
  /** When everything has ended. */
  end?(): string | null;
}
