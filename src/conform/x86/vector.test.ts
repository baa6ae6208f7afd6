import { describe, expect, it } from "vitest";
import { PersonError } from "../../sim/person-error.js";
import { parseConformanceFile } from "../vector.js";
import { readX86Vector } from "./vector.js";

const of = (...steps: object[]): object => ({ id: "x-1", title: "t", kind: "line", flavour: "any", steps });
const createVm = { op: "createVm", args: {}, expect: { ret: "fd" } };

describe("a vector of calls to /dev/kvm", () => {
  it("is read as it stands", () => {
    const vector = of(createVm, { op: "irqLineStatus", args: { gsi: 4, level: 1 }, expect: { ret: 0, status: 2 } });
    expect(readX86Vector(vector)).toEqual(vector);
    expect(parseConformanceFile(JSON.stringify([vector]), "f.json")).toEqual([vector]);
  });

  it.each([
    [of({ op: "jump", args: {}, expect: {} }), /^step 0: unknown operation "jump"; there are createVm, /],
    [of(createVm, { op: "irqLine", args: { level: 1 }, expect: { ret: 0 } }), /^step 1 \(irqLine\): at args\.gsi: /],
    [of({ op: "setIrqchip", args: { chip: "picMaster", state: { imrr: 1 } }, expect: { ret: 0 } }), /^step 0 \(setIrqchip\): at args\.state: /],
    [of(createVm, { op: "irqLine", args: { gsi: 4, level: 1, leval: 0 }, expect: { ret: 0 } }), /^step 1 \(irqLine\): at args: Unrecognized key: "leval"$/],
    [of({ op: "setLapic", args: { state: { tprr: 1 } }, expect: { ret: 0 } }), /^step 0 \(setLapic\): at args\.state: Unrecognized key: "tprr"$/],
    [of({ op: "signalMsi", args: { addressLo: 0, data: 0 }, expect: { rett: 0 } }), /^step 0 \(signalMsi\): at expect: Unrecognized key: "rett"$/],
    [of({ ...createVm, after: {} }), /^step 0 \(createVm\): Unrecognized key: "after"$/],
    [of({ op: "guest", args: { do: "fly" }, expect: { ret: 0 } }), /^step 0 \(guest\): at args\.do: /],
    [of({ op: "checkExtension", args: { cap: "NOSUCH" }, expect: { ret: 0 } }), /^step 0 \(checkExtension\): at args\.cap: /],
    [of({ op: "createDevice", args: { type: "constructor" }, expect: { ret: 0 } }), /^step 0 \(createDevice\): at args\.type: /],
    [of({ op: "signalMsi", args: { addressLo: -1, data: 0 }, expect: { ret: 0 } }), /^step 0 \(signalMsi\): at args\.addressLo: /],
    [of({ op: "ioeventfd", args: { fd: "e", addr: -1, len: 4 }, expect: { ret: 0 } }), /^step 0 \(ioeventfd\): at args\.addr: /],
    [of({ op: "setApicBase", args: { value: -5 }, expect: { ret: 0 } }), /^step 0 \(setApicBase\): at args\.value: /],
    [of({ op: "enableCap", args: { cap: "X2APIC_API", args: [1, 2, 3, 4, 5] }, expect: { ret: 0 } }), /^step 0 \(enableCap\): at args\.args: /],
    [of({ op: "setIrqchip", args: { chip: "ioapic", state: { redirtbl: { 24: { vector: 3 } } } }, expect: { ret: 0 } }), /^step 0 \(setIrqchip\): at args\.state: /],
    [of({ op: "setIrqchip", args: { chip: "ioapic", state: { redirtbl: { 3: { otherBits: "zz" } } } }, expect: { ret: 0 } }), /^step 0 \(setIrqchip\): at args\.state: /],
    [of({ op: "setGsiRouting", args: { entries: { count: 4_000_000_000, firstGsi: 0, template: { type: "msi" } } }, expect: { ret: 0 } }), /^step 0 \(setGsiRouting\): at args\.entries\.count: /],
    [{ ...of(), flavour: "sweet" }, /^at flavour: /],
  ])("that is wrong is refused with its place", (vector, sentence) => {
    expect(readX86Vector(vector)).toMatch(sentence);
  });

  it("that is wrong is refused with its file", () => {
    expect(() => parseConformanceFile(JSON.stringify([of({ op: "jump", args: {}, expect: {} })]), "f.json")).toThrow(PersonError);
    expect(() => parseConformanceFile(JSON.stringify([of({ op: "jump", args: {}, expect: {} })]), "f.json")).toThrow(/^f\.json: vector 0 \(x-1\), step 0: unknown operation "jump"/);
  });
});
