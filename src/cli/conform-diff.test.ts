import { describe, expect, it } from "vitest";
import type { X86Answer, X86Call, X86Target } from "../conform/x86-vector.js";
import type { Step } from "../sim/step.js";
import { Comparison } from "./conform-diff.js";
import { conformDiffOutput } from "./conform-diff-schema.js";
import { diffText } from "./conform-diff-text.js";

/** Answers 0 to everything; an NMI by what it is told. */
class Answers implements X86Target {
  constructor(private readonly nmi: number) {}
  *perform({ op }: X86Call): Step<X86Answer> {
    return { ret: op === "nmi" ? this.nmi : 0 };
  }
  *chips(): Step<object> {
    return {};
  }
  *close(): Step<void> {}
}

const calls: X86Call[] = [{ op: "createVm", args: {} }, { op: "createIrqchip", args: {} }, { op: "nmi", args: {} }, { op: "getVcpuEvents", args: {} }];

/** The n-th kernel answers an NMI with the n-th number, the last with all that follow. */
function compared(...kernels: number[]) {
  let opened = 0;
  const comparison = new Comparison({ model: () => new Answers(0), kernel: () => new Answers(kernels[Math.min(opened++, kernels.length - 1)]) });
  comparison.add({ name: "cpu 0", calls });
  comparison.add({ name: "cpu 1", calls: calls.slice(0, 2) });
  return conformDiffOutput.parse({ source: "random", seed: 1, compat: null, leftOut: 0, backend: { endsAtAcceptance: false }, sequences: 2, ...comparison.result() });
}

describe("a comparison of model and kernel", () => {
  it("a difference that shows again is shrunk, and becomes a vector with the kernel's answers", () => {
    const output = compared(1);
    expect(output).toMatchObject({ same: 1, different: 1, unsteady: [] });
    expect(output.differences[0]).toMatchObject({ shrunkFrom: 3, at: [{ path: "ret", model: "0", kernel: "1" }], vector: { steps: [{ op: "nmi", args: {}, expect: { ret: 1 } }] } });
    expect(diffText(output)).toContain("2 sequences, 5 steps: 1 same, 0 known, 0 unsteady, 1 different");
  });

  it("one that does not show again is counted apart, and named", () => {
    const output = compared(1, 0);
    expect(output).toMatchObject({ same: 1, different: 0, differences: [], unsteady: [{ name: "cpu 0", at: [{ path: "ret", model: "0", kernel: "1" }] }] });
    expect(diffText(output)).toMatch(/^unsteady cpu 0: differed once \(ret: model 0, kernel 1\) and not again/m);
  });
});
