import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { PersonError } from "../sim/person-error.js";
import { reasonToSkip } from "./left-out.js";
import { count, countsLine, runVector } from "./runner.js";
import { type AnyVector, parseConformanceFile } from "./vector.js";
import { hexOf, highOf, lowOf } from "./word.js";

const file = "test/conformance/qemu-gicv3.json.gz";
const vectors = parseConformanceFile(gunzipSync(readFileSync(new URL(`../../../${file}`, import.meta.url))).toString(), file);

describe("the physical GICv3 answers as QEMU did", () => {
  it.each(vectors.map((vector) => [vector.id, vector] as const))("%s", (_id, vector) => {
    const { outcome, reason, difference } = runVector(vector, { target: "physical" });
    expect({ outcome, reason, difference }).toEqual({ outcome: "passed", reason: null, difference: null });
  });
});

describe("the virtual GICv3 answers as Linux 6.1's KVM did", () => {
  it.each(vectors.map((vector) => [vector.id, vector] as const))("%s", (_id, vector) => {
    const { target, outcome, reason, difference } = runVector(vector);
    expect({ target, outcome, reason, difference }).toEqual({ target: "virtual", outcome: "passed", reason: null, difference: null });
  });

  it("and so does the newest kernel: nothing recorded here tells them apart (gic.md D7)", () => {
    const failed = vectors.map((vector) => runVector(vector, { compat: "newest" })).filter((result) => result.outcome !== "passed");
    expect(failed).toEqual([]);
  });
});

const machine = { machine: "virt,gic-version=3,its=on", cpus: 1, oracle: ["qemu-7.2"] };
const one = (steps: object[], more: object = {}): AnyVector => parseConformanceFile(JSON.stringify([{ id: "x", title: "t", ...machine, ...more, steps }]), "f.json")[0];
const pmr = { op: "sysRead", reg: "ICC_PMR_EL1", cpu: 0 };

describe("the runner", () => {
  it("shows the first step that differs", () => {
    const result = runVector(one([{ ...pmr, expect: "0x0" }, { op: "read", reg: "GICD_CTLR", off: "0x0", size: 4, cpu: 0, expect: "0x51" }, { ...pmr, expect: "0x7" }]));
    expect(result).toMatchObject({ outcome: "failed", target: "physical", difference: { step: 1, text: "cpu 0 reads GICD_CTLR (4 bytes)", expected: "0x51", got: "0x50" } });
  });

  it("compares drained INTIDs in their order", () => {
    expect(runVector(one([{ op: "drain", cpu: 0, expect: [40] }])).difference).toEqual({ step: 0, text: "cpu 0 acknowledges and ends until nothing is left", expected: "[40]", got: "[]" });
  });

  it("takes the virtual target for a vector that a kernel answered, the physical one for others", () => {
    const its = [{ op: "msi", deviceId: 1, eventId: 2 }];
    expect(runVector(one(its, { oracle: ["qemu-7.2", "linux-6.1-kvm"] })).target).toBe("virtual");
    expect(runVector(one(its)).target).toBe("physical");
  });

  it("refuses a flavour that there is not, rather than to leave the vector out", () => {
    const text = JSON.stringify([{ id: "x", title: "t", flavour: "quirky", steps: [{ op: "createVm", expect: { ret: "fd" } }] }]);
    expect(() => parseConformanceFile(text, "f.json")).toThrow('f.json: vector 0 (x): unknown flavour "quirky"; there are any, version, build, quirk, pvm');
  });

  it("skips by rules on operation, register and flavour, and counts that apart", () => {
    const vector = (steps: object[], more?: object): string | null => reasonToSkip(one(steps, more), "physical");
    expect(vector([{ ...pmr, reg: "TPIDR_EL1", expect: "0x0" }])).toBe("the register is not modelled (register TPIDR_EL1)");
    expect(vector([{ ...pmr, reg: "CNTV_CTL_EL0", expect: "0x0" }])).toBe("of the virtual timer only the line is modelled (read of CNTV_CTL_EL0)");
    expect(reasonToSkip(one([{ ...pmr, expect: "0x0" }], { machine: "virt,gic-version=4,virtualization=on" }), "virtual")).toBe("a guest of KVM's sees no GICv4");
    expect(vector([{ op: "hcall" }], { machine: "s390-ccw-virtio" })).toBe("of QEMU's machines only virt, pc, pseries and powernv are modelled");
    expect(vector([pmr].map((step) => ({ ...step, expect: "0x0" })))).toBeNull();
    const results = [runVector(one([{ op: "hcall" }], { machine: "s390-ccw-virtio" })), runVector(one([{ ...pmr, expect: "0x0" }])), runVector(one([{ ...pmr, expect: "0x1" }]))];
    expect(countsLine(count(results))).toBe("1 passed, 1 failed, 1 skipped");
  });

  it("says where a file is wrong, in one sentence", () => {
    const wrong = (text: string): unknown => {
      try {
        return parseConformanceFile(text, "f.json");
      } catch (error) {
        return error;
      }
    };
    const vector = { id: "a", title: "t", ...machine, steps: [{ ...pmr, expect: "0x0" }] };
    const cases: readonly [unknown, RegExp][] = [
      [wrong(JSON.stringify([{ ...vector, steps: [] }])), /^f\.json: vector 0 \(a\): it has no steps, and would pass whatever happens; give it some, or take it out$/],
      [wrong(JSON.stringify([vector, { ...vector, id: "b" }, vector])), /^f\.json: vectors 0 and 2 have one id, a; give each its own$/],
      [wrong("{"), /^f\.json: not JSON/],
      [wrong('[{"id": "a"}]'), /^f\.json: at 0\.title \(a\): /],
      [wrong(JSON.stringify([{ id: "a", title: "t", ...machine, steps: [{ op: "jump" }] }])), /^f\.json: vector 0 \(a\), step 0: unknown operation "jump"/],
      [wrong(JSON.stringify([{ id: "a", title: "t", ...machine, steps: [{ ...pmr, expect: "7" }] }])), /step 0 \(sysRead\): at expect: a hexadecimal string/],
      [wrong(JSON.stringify([{ id: "a", title: "t", ...machine, steps: [{ ...pmr, cpu: 1, expect: "0x7" }] }])), /CPU 1 of a machine with 1/],
    ];
    for (const [error, sentence] of cases) {
      expect(error).toBeInstanceOf(PersonError);
      expect(String((error as Error).message)).toMatch(sentence);
    }
  });

  it("a byte order mark before the text is no fault of it", () => {
    const text = JSON.stringify([{ id: "a", title: "t", ...machine, steps: [{ ...pmr, expect: "0x0" }] }]);
    expect(parseConformanceFile(`\uFEFF${text}`, "f.json")).toEqual(parseConformanceFile(text, "f.json"));
  });

  it("carries 64-bit values as halves", () => {
    expect([lowOf("0x180000001"), highOf("0x180000001"), lowOf("0xffffffff"), hexOf(-1, 0), hexOf(1, 0x1), hexOf(0)]).toEqual([-0x7fffffff, 1, -1, "0xffffffff", "0x100000001", "0x0"]);
  });
});
