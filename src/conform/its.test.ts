import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { runVector } from "./runner.js";
import { parseConformanceFile } from "./vector.js";

const file = "test/conformance/qemu-its.json.gz";
const vectors = parseConformanceFile(gunzipSync(readFileSync(new URL(`../../../${file}`, import.meta.url))).toString(), file);

describe("the virtual ITS answers as Linux 6.1's KVM did", () => {
  it.each(vectors.map((vector) => [vector.id, vector] as const))("%s", (_id, vector) => {
    const { target, outcome, reason, difference } = runVector(vector);
    expect({ target, outcome, reason, difference }).toEqual({ target: "virtual", outcome: "passed", reason: null, difference: null });
  });

  it("the newest kernel differs in the vectors that gic.md D7 names, and in no other", () => {
    const failed = vectors.filter((vector) => runVector(vector, { compat: "newest" }).outcome !== "passed").map(({ id }) => id);
    expect(failed).toEqual(["qemu-its-repend-0", "qemu-its-repend-1", "qemu-its-repend-2"]);
  });
});
