import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { EventName } from "../sim/event.js";
import { KVM_IRQFD } from "../uapi/kvm.js";
import { PROPERTIES, type PropertyMaker } from "./properties/index.js";
import type { Heard } from "./property.js";

const ACTIONS = ["deassign", "work", "close"] as const;

/** The arguments of an event that matter here: two eventfds, two GSIs, two levels and sources. */
function heardOf(name: EventName, context: string, [a, b, c]: readonly number[]): Heard {
  if (name === "irqfd_deactivate") return { name, context, args: [ACTIONS[c % ACTIONS.length], a, b] };
  if (name === "sys_ioctl") return { name, context, args: [0, KVM_IRQFD, 0] };
  return { name, context, args: [a, b, c] };
}

const eventOf = (names: readonly EventName[], contexts: readonly string[]): fc.Arbitrary<Heard> =>
  fc.tuple(fc.constantFrom(...names), fc.constantFrom(...contexts), fc.tuple(fc.nat(1), fc.nat(1), fc.nat(1))).map(([name, context, args]) => heardOf(name, context, args));

/** Does it find anything wrong, on the way or at the end? */
function isBroken(maker: PropertyMaker, events: readonly Heard[]): boolean {
  const property = maker.make();
  for (const event of events) if (property.hears?.includes(event.name) && (property.hear?.(event) ?? null) !== null) return true;
  return (property.end?.() ?? null) !== null;
}

describe.each(PROPERTIES.filter((maker) => maker.make().anyOrder !== undefined))("$name", (maker) => {
  const { hears = [], anyOrder = [] } = maker.make();
  const some = fc.array(eventOf(hears, ["x", "y", "z"]), { maxLength: 6 });

  it("names in anyOrder only what it hears", () => {
    for (const list of anyOrder.flat()) for (const name of list) expect(hears).toContain(name);
  });

  it.each(anyOrder.map(([ones, others]) => [ones.join(" or "), others.join(" or "), ones, others] as const))("answers the same whether %s of one context comes before %s of another, or after", (_one, _other, ones, others) => {
    fc.assert(
      fc.property(some, eventOf(ones, ["x"]), eventOf(others, ["y"]), some, (before, one, other, after) => {
        expect(isBroken(maker, [...before, one, other, ...after])).toBe(isBroken(maker, [...before, other, one, ...after]));
      }),
      { numRuns: 2_000, seed: 4 },
    );
  });
});
