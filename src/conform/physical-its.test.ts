import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { runVector } from "./runner.js";
import { parseConformanceFile } from "./vector.js";

const read = (file: string) => parseConformanceFile(gunzipSync(readFileSync(new URL(`../../../${file}`, import.meta.url))).toString(), file);

describe.each([
  ["ITS", read("test/conformance/qemu-its.json.gz"), 154],
  ["GICv4", read("test/conformance/qemu-gicv4.json.gz"), 89],
])("the physical %s answers as QEMU did", (_name, vectors, all) => {
  it("every recorded vector is there", () => {
    expect(vectors.length).toBe(all);
  });

  it.each(vectors.map((vector) => [vector.id, vector] as const))("%s", (_id, vector) => {
    const { outcome, reason, difference } = runVector(vector, { target: "physical" });
    expect({ outcome, reason, difference }).toEqual({ outcome: "passed", reason: null, difference: null });
  });
});
