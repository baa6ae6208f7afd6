import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import type { X86Compat } from "./chip-rules.js";
import { PcChips, type PcVector } from "./pc.fixture.js";

const recorded = (name: string): PcVector[] => JSON.parse(gunzipSync(readFileSync(new URL(`../../../../test/conformance/${name}.json.gz`, import.meta.url))).toString());

/** That kernel ran on an emulated AMD CPU, where CR8 carries the TPR (7.3). */
const losesTprLowNibble = true;

/** "step 7: 0x84, recorded 0x04"; null when every step shows what Linux 6.1's KVM did. */
function firstDifference(vector: PcVector, compat: X86Compat): string | null {
  const pc = new PcChips(vector.cpus, compat, losesTprLowNibble);
  for (const [i, step] of vector.steps.entries()) {
    const shown = JSON.stringify(pc.perform(step));
    const wanted = step.expectKvm ?? step.expect;
    if (wanted !== undefined && shown !== JSON.stringify(wanted)) return `step ${i} (${step.op}): ${shown}, recorded ${JSON.stringify(wanted)}`;
  }
  return null;
}

describe.each([
  ["qemu-pic", 74],
  ["qemu-ioapic", 64],
  ["qemu-lapic", 43],
] as const)("%s: the chips answer as Linux 6.1's KVM did", (name, count) => {
  const vectors = recorded(name);
  it("is whole", () => expect(vectors).toHaveLength(count));
  it.each(vectors.map((vector) => [`${vector.id}: ${vector.title}`, vector] as const))("%s", (_title, vector) => expect(firstDifference(vector, "linux-6.1")).toBe(null));
});

describe("what later kernels changed", () => {
  it("shows in the recorded sequences where something is polled, and nowhere else (15)", () => {
    const differing = ["qemu-pic", "qemu-ioapic"].flatMap((name) => recorded(name).filter((vector) => firstDifference(vector, "newest") !== null));
    const polls = (vector: PcVector): boolean => vector.steps.some((step) => step.op === "picWrite" && (Number(step.port) & 1) === 0 && (Number(step.value) & 0x1c) === 0x0c);
    expect(differing.length).toBeGreaterThan(0);
    expect(differing.filter((vector) => !polls(vector)).map((vector) => vector.id)).toEqual([]);
  });
});
