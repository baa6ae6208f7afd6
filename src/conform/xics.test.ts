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

describe.each([
  ["qemu-xics-papr", "virtual", "KVM's XICS answers as Linux 6.1's did"],
  ["qemu-xics-pnv", "physical", "the physical XICS answers as QEMU's did"],
])("%s", (name, on, rule) => {
  it.each(recorded(name).map((vector) => [vector.id, vector] as const))(`${rule}: %s`, (_id, vector) => {
    const { target, outcome, reason, difference } = runVector(vector);
    expect({ target, outcome, reason, difference }).toEqual({ target: on, outcome: "passed", reason: null, difference: null });
  });
});

const papr = { id: "x", title: "t", machine: "pseries,ic-mode=xics", cpus: 1, oracle: ["qemu-7.2", "linux-6.1-kvm"] };
const native = { ...papr, machine: "powernv8", oracle: ["qemu-7.2"] };
const one = (of: object, ...steps: object[]): AnyVector => parseConformanceFile(JSON.stringify([{ ...of, steps }]), "f.json")[0];
const xirr = { op: "hcall", cpu: 0, name: "H_XIRR", args: [] };

describe("vectors of QEMU's POWER boards", () => {
  it("hold KVM's XICS to the kernel's answer where it is another, and show the first step that differs", () => {
    const result = runVector(one(papr, { ...xirr, expect: { rc: 0, ret: ["0x1"] }, expectKvm: { ret: ["0x0"], rc: 0 } }, { ...xirr, expect: { rc: -4 } }));
    expect(result).toMatchObject({ outcome: "failed", compared: { answers: 2, kvmAnswers: 1 }, difference: { step: 1, text: "cpu 0 calls H_XIRR()", expected: '{"rc":-4}', got: '{"rc":0,"ret":["0x0"]}' } });
  });

  it("run where their machine is: hypercalls on KVM's XICS, registers on the physical one", () => {
    expect(runVector(one(papr, { ...xirr, expect: { rc: 0 } }), { target: "physical" })).toMatchObject({ outcome: "skipped", reason: "vectors of pseries,ic-mode=xics run on the virtual XICS alone" });
    const mfrr = { op: "icpRead", server: 0, reg: "MFRR", size: 1, expect: "0xff" };
    expect(runVector(one(native, mfrr), { target: "virtual" }).outcome).toBe("skipped");
    expect(runVector(one(native, mfrr), { target: "model" })).toMatchObject({ outcome: "skipped", reason: "model is x86's target" });
  });

  it("say where they are wrong, in one sentence", () => {
    const cases: readonly [object, object, RegExp][] = [
      [papr, { op: "icpRead" }, /^f\.json: vector 0 \(x\), step 0: unknown operation "icpRead"; on pseries,ic-mode=xics there are hcall, /],
      [native, { op: "hcall" }, /step 0: unknown operation "hcall"; on powernv8 there are icpRead, /],
      [papr, { ...xirr, cpu: 1, expect: { rc: 0 } }, /step 0 \(hcall\): CPU 1 of a machine with 1; give the vector more cpus$/],
      [papr, { ...xirr, name: "H_PUT", expect: { rc: 0 } }, /step 0 \(hcall\): at name: /],
      [papr, { op: "setIrq", level: 1 }, /step 0 \(setIrq\): at irq: /],
      [native, { op: "setIrq", irq: "0x1006", level: 1 }, /step 0 \(setIrq\): the service interface has lines 0x1000 to 0x1005$/],
      [native, { op: "icpWrite", server: 0, reg: "CPPR", size: 2, value: "0x1" }, /step 0 \(icpWrite\): at size: /],
    ];
    for (const [of, step, message] of cases) {
      expect(() => one(of, step)).toThrow(PersonError);
      expect(() => one(of, step)).toThrow(message);
    }
  });
});
