import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { parseConformanceFile } from "../vector.js";
import { X86Calls } from "./calls.js";
import { ModelSystem } from "./model.js";
import { runX86Vector } from "./runner.js";
import type { X86Vector } from "./vector.js";

const file = "test/conformance/kvm-x86-found.json";
const vectors = parseConformanceFile(readFileSync(new URL(`../../../../${file}`, import.meta.url), "utf8"), file) as X86Vector[];

/** What `virq conform --diff --random` found, shrunk, with the answers of the kernel (6.18.44, kvm-pvm). */
describe("where the model once differed from the running kernel, it answers as that did", () => {
  it.each(vectors.map((vector) => [vector.id, vector.title, vector] as const))("%s: %s", (_id, _title, vector) => {
    const model = new ModelSystem({ endsAtAcceptance: vector.flavour === "pvm" });
    const { outcome, difference } = runX86Vector(vector, new X86Calls(model), "model");
    expect({ outcome, difference }).toEqual({ outcome: "passed", difference: null });
  });
});
