import { describe, expect, it } from "vitest";
import type { EventArgument, EventName } from "../sim/event.js";
import { PersonError } from "../sim/person-error.js";
import { ruleProperty } from "./rule.js";

type Event = readonly [EventName, ...EventArgument[]];

/** What the rule says of these events in this order, then of their end. */
function judge(rule: string, ...events: readonly Event[]): string | null {
  const property = ruleProperty(rule);
  for (const [name, ...args] of events) {
    if (!property.hears?.includes(name)) continue;
    const broken = property.hear?.({ name, context: "test", args }) ?? null;
    if (broken !== null) return broken;
  }
  return property.end?.() ?? null;
}

const raise = (gsi: number): Event => ["kvm_set_irq", gsi, 1, 0];
const lower = (gsi: number): Event => ["kvm_set_irq", gsi, 0, 0];
const free = (gsi: number): Event => ["irqfd_free", 1, gsi];
const assign = (gsi: number): Event => ["irqfd_assign", 1, gsi];

describe("a rule in one sentence", () => {
  it("never EVENT: the event itself breaks it, another does not", () => {
    expect(judge("never kvm_set_irq(gsi=5, level=1)", lower(5), raise(4))).toBe(null);
    expect(judge("never kvm_set_irq(gsi=5, level=1)", lower(5), raise(5))).toBe("never kvm_set_irq(gsi=5, level=1): kvm_set_irq(5,1,0)");
  });

  it("never EVENT after EVENT until EVENT: with a variable, of the same value only", () => {
    const rule = "never kvm_set_irq(gsi=$g) after irqfd_free(gsi=$g) until irqfd_assign(gsi=$g)";
    expect(judge(rule, raise(5), free(5), raise(6), assign(5), raise(5))).toBe(null);
    expect(judge(rule, raise(5), free(5), assign(6), raise(5))).toBe(`${rule}: kvm_set_irq(5,1,0) after irqfd_free(1,5)`);
    expect(judge("never kvm_set_irq after irqfd_free", free(5), raise(6))).toMatch(/after irqfd_free\(1,5\)$/);
  });

  it("never EVENT before EVENT: only the first, of the same value, opens the way", () => {
    const rule = "never guest_eoi(intid=$i) before guest_ack(intid=$i)";
    expect(judge(rule, ["guest_ack", 0, 40], ["guest_eoi", 0, 40])).toBe(null);
    expect(judge(rule, ["guest_ack", 0, 40], ["guest_eoi", 0, 41])).toBe(`${rule}: guest_eoi(0,41)`);
  });

  it("every EVENT is followed by EVENT: asked at the end", () => {
    const rule = "every irqfd_assign(gsi=$g) is followed by irqfd_free(gsi=$g)";
    expect(judge(rule, assign(5), assign(6), free(6), free(5))).toBe(null);
    expect(judge(rule, assign(5), assign(6), free(5))).toBe(`${rule}: nothing followed irqfd_assign(1,6)`);
    expect(judge(rule, free(5), assign(5))).toBe(`${rule}: nothing followed irqfd_assign(1,5)`);
  });

  it("at most N EVENT between EVENT and EVENT: counted anew each time, and not outside", () => {
    const rule = "at most 1 kvm_set_irq(level=0) between kvm_ack_irq and eventfd_signal";
    const [ack, told]: Event[] = [["kvm_ack_irq", 0, 5], ["eventfd_signal", 1]];
    expect(judge(rule, lower(5), lower(5), ack, lower(5), told, lower(5), ack, lower(5))).toBe(null);
    expect(judge(rule, ack, lower(5), raise(5), lower(5))).toBe(`${rule}: kvm_set_irq(5,0,0) is number 2`);
    expect(judge("at most 0 kvm_ack_irq", ack)).toMatch(/is number 1$/);
  });

  it("at least N EVENT: asked at the end", () => {
    expect(judge("at least 2 kvm_ack_irq", ["kvm_ack_irq", 0, 5])).toBe("at least 2 kvm_ack_irq: there were 1");
    expect(judge("at least 1 kvm_ack_irq", ["kvm_ack_irq", 0, 5])).toBe(null);
  });

  it.each([
    ["no interrupt is ever lost", /is not a rule: write never EVENT; or never EVENT before EVENT; or/],
    ["never kvm_sat_irq", /^there is no event kvm_sat_irq: virq explore --list names them$/],
    ["never kvm_set_irq(pin=5)", /^kvm_set_irq has no argument pin: it has gsi, level, source$/],
    ["never kvm_set_irq(5)", /^"5" is no argument of kvm_set_irq: write one as in gsi=1$/],
  ])("%s: what is no rule is refused in one sentence", (text, sentence) => {
    expect(() => ruleProperty(text)).toThrow(PersonError);
    expect(() => ruleProperty(text)).toThrow(sentence);
  });
});
