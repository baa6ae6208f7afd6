import { describe, expect, it } from "vitest";
import { parseConformanceFile } from "../conform/vector.js";
import { X86Calls } from "../conform/x86/calls.js";
import { ENDS_AT_ACCEPTANCE, SWITCHES } from "../conform/x86/known-switches.js";
import { runX86Vector } from "../conform/x86/runner.js";
import { type Backend, X86_MODEL } from "../conform/x86/targets.js";
import type { X86Answer, X86Call, X86Target, X86Vector } from "../conform/x86/vector.js";
import type { Step } from "../sim/step.js";
import { Comparison } from "./conform-comparison.js";
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
  return conformDiffOutput.parse({ source: "random", seed: 1, compat: null, leftOut: 0, sequences: 2, ...comparison.result() });
}

describe("a comparison of model and kernel", () => {
  it("a difference that shows again is shrunk, and becomes a vector with the kernel's answers", () => {
    const output = compared(1);
    expect(output).toMatchObject({ same: 1, different: 1, unsteady: [] });
    expect(output.differences[0]).toMatchObject({ shrunkFrom: 3, at: [{ path: "ret", model: "0", kernel: "1" }], vector: { steps: [{ op: "nmi", args: {}, expect: { ret: 1 } }] } });
    expect(diffText(output)).toContain("2 sequences, 5 steps: 1 same, 0 ended by a known difference, 0 unsteady, 1 different");
  });

  it("each sequence that differs in the same way is named", () => {
    const comparison = new Comparison({ model: () => new Answers(0), kernel: () => new Answers(1) });
    for (const name of ["first", "second", "third"]) comparison.add({ name, calls });
    const output = conformDiffOutput.parse({ source: "f.json", seed: null, compat: null, leftOut: 0, sequences: 3, ...comparison.result() });
    expect(output).toMatchObject({ different: 3, differences: [{ name: "first", alike: ["second", "third"] }] });
    expect(diffText(output)).toContain("; like it: second, third\n");
  });

  it("one that does not show again is counted apart, and named", () => {
    const output = compared(1, 0);
    expect(output).toMatchObject({ same: 1, different: 0, differences: [], unsteady: [{ name: "cpu 0", at: [{ path: "ret", model: "0", kernel: "1" }] }] });
    expect(diffText(output)).toMatch(/^unsteady cpu 0: differed once \(ret: model 0, kernel 1\) and not again/m);
  });

  it("a difference in the chips alone is in the exported vector, which fails where it was found", () => {
    const kernel = { ...BACKEND, hazards: { serviceOnUnmask: true } };
    const comparison = new Comparison({ model: () => machine(BACKEND), kernel: () => machine(kernel) });
    comparison.add({ name: "unmask 0", calls: unmasked });
    const [{ vector: exported, at }] = conformDiffOutput.parse({ source: "random", seed: 1, compat: null, leftOut: 0, sequences: 1, ...comparison.result() }).differences;
    const [vector] = parseConformanceFile(JSON.stringify([exported]), "exported.json") as X86Vector[];
    expect(at.length).toBeGreaterThan(0);
    expect(at.every(({ path }) => /^(ioapic|lapic)\./.test(path))).toBe(true);
    expect([vector.lapics, Object.keys(vector.steps.at(-1)?.expect?.after ?? {})]).toEqual([["vcpu0"], ["picMaster", "picSlave", "ioapic", "lapic"]]);
    expect(runX86Vector(vector, machine(kernel), "model").outcome).toBe("passed");
    expect(runX86Vector(vector, machine(BACKEND), "model")).toMatchObject({ outcome: "failed", difference: { step: vector.steps.length - 1 } });
  });

  it("calls and answers stand whole in the text, and places beyond the first eight are counted", () => {
    const output = compared(1);
    const call = `setGsiRouting entries=${"x".repeat(300)}`;
    const [found] = output.differences;
    const at = Array.from({ length: 11 }, (_, i) => ({ path: `p${i}`, model: "0", kernel: "1" }));
    const text = diffText({ ...output, differences: [{ ...found, at, steps: [{ call, model: "m".repeat(200), kernel: "k" }] }] });
    expect(text).toContain(`> 0 ${call}\n      model   ${"m".repeat(200)}\n      kernel  k\n`);
    expect(text).toContain("and 3 more places; --json has them all");
  });

  it("a switch of the machine that the model follows is counted where it is met, one that is unclear is told", () => {
    const pvm = { endsAtAcceptance: true };
    const comparison = new Comparison({ model: (flipped = []) => machine(flipped.reduce<Backend>((backend, each) => each.flip(backend), pvm)), kernel: () => machine(pvm), followed: [ENDS_AT_ACCEPTANCE], unclear: [SWITCHES[2]] });
    comparison.add({ name: "taken", calls: ENDS_AT_ACCEPTANCE.probe ?? [] });
    comparison.add({ name: "not taken", calls: unmasked });
    const output = conformDiffOutput.parse({ source: "random", seed: 1, compat: null, leftOut: 0, sequences: 2, ...comparison.result() });
    expect(output.known[0]).toMatchObject({ name: ENDS_AT_ACCEPTANCE.name, sequences: 1, kernel: "followed" });
    expect(diffText(output)).toMatch(/^known {4}in 1 sequences, where the model follows the kernel: an interrupt ends as the guest takes it \(pvm; kvm-pvm\)/m);
    expect(diffText(output)).toMatch(/^known {4}answered by the kernel as by neither side of the model, so that it explains nothing: one eventfd/m);
  });
});

const BACKEND: Backend = { endsAtAcceptance: false };
const machine = (backend: Backend): X86Calls => new X86Calls(X86_MODEL(backend));
const [unmaskProbe] = SWITCHES.filter(({ name }) => name === "unmaskAsksResampler");
const unmasked = (unmaskProbe.probe ?? []).slice(0, -1);
