import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { PersonError } from "../sim/person-error.js";
import { runVector } from "./runner.js";
import { type AnyVector, parseConformanceFile } from "./vector.js";

function recorded(name: string): AnyVector[] {
  const file = `test/conformance/${name}.json.gz`;
  return parseConformanceFile(gunzipSync(readFileSync(new URL(`../../../${file}`, import.meta.url))).toString(), file);
}

describe.each(["qemu-pic", "qemu-ioapic", "qemu-lapic"])("%s: the modelled /dev/kvm answers as Linux 6.1's did", (name) => {
  it.each(recorded(name).map((vector) => [vector.id, vector] as const))("%s", (_id, vector) => {
    const { target, outcome, reason, difference } = runVector(vector);
    expect({ target, outcome, reason, difference }).toEqual({ target: "model", outcome: "passed", reason: null, difference: null });
  });
});

const pc = { id: "x", title: "t", machine: "pc-i440fx-7.2", cpus: 1, oracle: ["qemu-7.2", "linux-6.1-kvm"] };
const one = (steps: object[], more: object = {}): AnyVector => parseConformanceFile(JSON.stringify([{ ...pc, ...more, steps }]), "f.json")[0];

describe("vectors of QEMU's pc", () => {
  it("show the first step that differs", () => {
    const imr = { op: "picRead", reg: "PIC1_DATA", port: "0x21" };
    const result = runVector(one([{ ...imr, expect: "0x0" }, { ...imr, expect: "0x5", expectKvm: "0x0" }, { ...imr, expect: "0xff" }]));
    expect(result).toMatchObject({ outcome: "failed", difference: { step: 2, text: "reads PIC1_DATA", expected: "0xff", got: "0x0" } });
  });

  it("poll without bit 7 by Linux 6.1's rules, and with it by the newest", () => {
    const poll = one([{ op: "setIrq", chip: "pic", pin: 4, level: 1 }, { op: "picWrite", reg: "PIC1_CMD", port: "0x20", value: "0xc" }, { op: "picRead", reg: "PIC1_CMD", port: "0x20", expect: "0x4" }]);
    expect(runVector(poll).outcome).toBe("passed");
    expect(runVector(poll, { compat: "newest" }).difference).toMatchObject({ step: 2, expected: "0x4", got: "0x84" });
  });

  it("are not for Arm's targets, nor for a model of a kernel where only QEMU answered", () => {
    const pin = { op: "setIrq", chip: "pic", pin: 4, level: 1 };
    expect(runVector(one([pin]), { target: "virtual" })).toMatchObject({ outcome: "skipped", reason: "virtual is Arm's target" });
    expect(runVector(one([pin], { oracle: ["qemu-7.2"] }))).toMatchObject({ outcome: "skipped", reason: "no kernel answered, and the model is one" });
  });

  it("say where they are wrong, in one sentence", () => {
    const cases: readonly [object, RegExp][] = [
      [{ op: "picPeek" }, /^f\.json: vector 0 \(x\), step 0: unknown operation "picPeek"; there are picRead, /],
      [{ op: "picWrite", reg: "PIC1_CMD", port: "0x20" }, /^f\.json: vector 0 \(x\), step 0 \(picWrite\): at value: /],
      [{ op: "window", cpu: 1, expect: [] }, /step 0 \(window\): CPU 1 of a machine with 1; give the vector more cpus$/],
      [{ op: "setIrq", chip: "pic", pin: 16, level: 1 }, /step 0 \(setIrq\): the PIC pair has lines 0 to 15$/],
    ];
    for (const [step, message] of cases) {
      expect(() => one([step])).toThrow(PersonError);
      expect(() => one([step])).toThrow(message);
    }
  });
});
