import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { runVector } from "../runner.js";
import { parseConformanceFile } from "../vector.js";
import { X86Calls } from "./calls.js";
import { ModelSystem } from "./model.js";
import { runX86Vector } from "./runner.js";
import type { X86Vector } from "./vector.js";

const file = "test/conformance/kvm-x86-irq.json.gz";
const vectors = parseConformanceFile(gunzipSync(readFileSync(new URL(`../../../../${file}`, import.meta.url))).toString(), file) as X86Vector[];

describe("the x86 model answers as Linux 6.18's KVM did", () => {
  it.each(vectors.filter(({ flavour }) => flavour !== "pvm").map((vector) => [vector.id, vector] as const))("%s", (_id, vector) => {
    const { target, outcome, reason, difference } = runVector(vector);
    expect({ target, outcome, reason, difference }).toEqual({ target: "model", outcome: "passed", reason: null, difference: null });
  });

  it("all 353 vectors are here; the ten of flavour pvm, and no others, are left out, with a reason", () => {
    const left = vectors.map((vector) => [vector.flavour, vector.flavour === "pvm" ? runVector(vector) : null] as const).filter(([, result]) => result !== null);
    expect([vectors.length, left.length]).toEqual([353, 10]);
    for (const [, result] of left) expect(result).toMatchObject({ outcome: "skipped", reason: expect.stringMatching(/kvm-pvm/) });
  });
});

describe("the x86 model, told to end a local APIC's interrupt as the guest takes it, answers as kvm-pvm did", () => {
  it.each(vectors.filter(({ flavour }) => flavour === "pvm").map((vector) => [vector.id, vector] as const))("%s", (_id, vector) => {
    const { outcome, difference } = runX86Vector(vector, new X86Calls(new ModelSystem({ endsAtAcceptance: true })), "model");
    expect({ outcome, difference }).toEqual({ outcome: "passed", difference: null });
  });
});
