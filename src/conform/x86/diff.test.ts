import { describe, expect, it } from "vitest";
import type { Step } from "../../sim/step.js";
import { diffX86, kindOf, shrinkDifference } from "./diff.js";
import type { X86Chips } from "./state.js";
import type { X86Answer, X86Call, X86Target } from "./vector.js";

/** Lines of a VM; with the fault, the third GSI raised after GSI 9 is counted twice. */
class Lines implements X86Target {
  private readonly high = new Set<number>();
  isClosed = false;
  constructor(private readonly isFaulty: boolean) {}
  *perform({ op, args }: X86Call): Step<X86Answer> {
    if (op === "createVm" && args.type === 5) return this.isFaulty ? { errno: "EINVAL" } : { ret: "fd" };
    if (op !== "irqLineStatus") return { ret: 0 };
    if (args.level === 1) this.high.add(args.gsi);
    const extra = this.isFaulty && this.high.has(9) && this.high.size > 2 ? 1 : 0;
    return { ret: 0, status: this.high.size + extra };
  }
  *chips(): Step<X86Chips> {
    return {};
  }
  *close(): Step<void> {
    this.isClosed = true;
  }
}

const raise = (gsi: number): X86Call => ({ op: "irqLineStatus", args: { gsi, level: 1 } });
const calls: X86Call[] = [raise(1), { op: "nmi", args: {} }, raise(2), raise(9), { op: "nmi", args: {} }, raise(4), raise(5), raise(6)];

describe("model and kernel side by side", () => {
  const opened: Lines[] = [];
  const open = (isFaulty: boolean): Lines => (opened.push(new Lines(isFaulty)), opened[opened.length - 1]);
  const sides = { model: () => open(true), kernel: () => open(false) };

  it("stop at the first step whose answers differ", () => {
    const result = diffX86(calls, sides);
    expect(result.outcome).toBe("different");
    expect(result.steps).toHaveLength(4);
    expect(result.steps[3].differences).toEqual([{ path: "status", expected: "3", got: "4" }]);
    expect(diffX86(calls, { model: () => open(false), kernel: () => open(false) }).outcome).toBe("same");
  });

  it("shrink to the fewest steps that differ in the same way, and close all that they opened", () => {
    const result = diffX86(calls, sides);
    const { steps, outcome } = shrinkDifference(calls, result, sides);
    expect(outcome).toBe("different");
    expect(steps.map(({ call }) => call)).toEqual([raise(1), raise(2), raise(9)]);
    expect(kindOf({ ...result, outcome: "same" })).toBe("");
    expect(opened.every(({ isClosed }) => isClosed)).toBe(true);
  });

  it("a declared difference is named, and ends the sequence without a fault", () => {
    const result = diffX86([{ op: "createVm", args: { type: 5 } }, ...calls], sides);
    expect(result.outcome).toBe("known");
    expect(result.known.map(({ name }) => name)).toEqual(["VM types"]);
    expect(result.steps).toHaveLength(1);
  });
});
