import { describe, expect, it } from "vitest";
import type { Hazards } from "../../sim/hazards.js";
import { STRAIGHT } from "../../sim/step.js";
import { settled, soakOrders } from "./orders.soak.js";

const PATIENCE = 240_000;

describe.skipIf(STRAIGHT)("random calls of several contexts, in every order of their accesses with two preemptions (`node tools/soak/xics-orders.js` has more)", () => {
  it.each([
    ["virtual mode", false, 1, 7],
    ["real mode", true, 17, 19],
  ])("%s: each answers and leaves what some order of whole calls does", (_name, isRealMode, from, to) => {
    const { interleavings, outcomes, faults } = soakOrders(from, to, { isRealMode, limit: 2_000 });
    expect(faults).toEqual([]);
    expect(interleavings).toBeGreaterThan(1_000);
    expect(outcomes).toBeGreaterThan(3 * (to - from));
  }, PATIENCE);

  // That it can fail: a program that needs each of these rules; with all of them it is among the first ten.
  it.each<readonly [keyof Hazards, number]>([
    ["forgetMasked", 3],
    ["forgetConsumedNote", 4],
    ["lowerForeign", 4],
  ])("without %s, program %i ends as no order of whole calls does", (hazard, seed) => {
    expect(soakOrders(seed, seed, { hazards: { [hazard]: true } }).faults).not.toEqual([]);
  }, PATIENCE);
});

describe("what is compared of a state", () => {
  const source = (irq: number, server: number, marks: string): string => `${irq}: true false ${server} 5 5 P- ${marks}`;

  it("a mark keeps its server's note and its block's bit, and only those", () => {
    expect(settled(`0: 0 255 255 0 true false false [1 2]\n1: 0 255 255 0 true false false [1]\n${source(0x400, 0, "true false")}`)).toBe(
      `0: 0 255 255 0 true false - [1]\n1: 0 255 255 0 false false - []\n${source(0x400, 0, "true false")}`,
    );
  });

  it("of a masked source's marks there is one kind, and neither needs a note", () => {
    const held = (marks: string): string => settled(`0: 0 255 255 0 true false false [1]\n1024: true false 0 255 5 P- ${marks}`);
    expect([held("true false"), held("true true")]).toEqual([held("false true"), held("false true")]);
    expect(held("false true")).toBe("0: 0 255 255 0 false false - []\n1024: true false 0 255 5 P- held");
    expect(held("false false")).not.toBe(held("false true"));
  });

  it("an external interrupt counts where something is to be accepted", () => {
    expect(settled("0: 255 255 5 1024 false true false []")).toBe("0: 255 255 5 1024 false true false []");
    expect(settled("0: 255 255 255 0 false false true []")).toBe("0: 255 255 255 0 false false - []");
  });
});
