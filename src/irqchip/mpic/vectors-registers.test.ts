import { describe, expect, it } from "vitest";
import { ENXIO } from "../../uapi/errno.js";
import { MPIC_42, Output } from "./constants.js";
import { MpicHarness } from "./mpic.fixture.js";

const v42 = (cpus = 2): MpicHarness => new MpicHarness({ cpus, model: MPIC_42 });

describe("mpic.md 11: registers", () => {
  it("1, 2: FRR and BRR1", () => {
    expect([new MpicHarness({ cpus: 1 }).read(0x1000), new MpicHarness().read(0x1000), v42(1).read(0x1000)]).toEqual(["0x004f0002", "0x004f0102", "0x00c30002"]);
    expect([new MpicHarness().read(0), v42().read(0)]).toEqual(["0x00400200", "0x00400402"]);
  });

  it("3, 4: IVPR after reset, and its writable bits, by type", () => {
    const h = new MpicHarness();
    const all = (): (string | number)[] => [3, 20, 256].map((irq) => h.ivpr(irq));
    expect(all()).toEqual(["0x80000000", "0x80800000", "0x80000000"]);
    for (const offset of [0x10060, 0x10280, 0x10a0]) h.write(offset, 0xffff_ffff);
    expect(all()).toEqual(["0x80cfffff", "0x808fffff", "0x800fffff"]);
  });

  it("5: IDR of both models", () => {
    const h = new MpicHarness();
    h.write(0x10070, 0xffff_ffff);
    expect([h.read(0x10070), h.mpic.output[3], h.mpic.destination[3]]).toEqual(["0xe0000003", Output.CINT, 3]);
    const newer = v42();
    newer.write(0x10070, 0xffff_ffff);
    expect(newer.read(0x10070)).toBe("0x00000003");
  });

  it("28: reads of timers are skewed by one register", () => {
    const h = new MpicHarness();
    h.write(0x1110, 0x12345678);
    h.write(0x1120, 0x00050099);
    h.write(0x1130, 2);
    expect([h.read(0x1100), h.read(0x1110), h.read(0x1120), h.read(0x1130)]).toEqual(["0x12345678", "0x00050099", "0x00000002", "0x00000000"]);
    h.write(0x10f0, 0x77);
    expect(h.read(0x10f0)).toBe("0x00000077");
  });

  it("34: GCR keeps its mode bits", () => {
    for (const [h, mode] of [[new MpicHarness(), "0x20000000"], [v42(), "0x60000000"]] as const) {
      h.write(0x1020, 0x7fff_ffff);
      expect(h.read(0x1020)).toBe(mode);
    }
  });

  it("43: WHOAMI by region, IPIDR reads ones", () => {
    const h = new MpicHarness();
    expect([h.read(0x21090), h.read(0x20040)]).toEqual(["0x00000001", "0xffffffff"]);
  });

  it("what no region has is ENXIO; low bits read ones; the summary reads zero", () => {
    const h = new MpicHarness();
    expect([h.read(0x5000), h.write(0x5000, 1), h.read(0x1004), h.read(0x1604), h.read(0x3800), h.read(0x10008), h.read(0x10018)]).toEqual([-ENXIO, -ENXIO, "0xffffffff", -ENXIO, "0x00000000", "0xffffffff", "0xffffffff"]);
  });
});
