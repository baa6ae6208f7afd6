import { describe, expect, it } from "vitest";
import { ENXIO } from "../../uapi/errno.js";
import { TraceBuffer } from "../../sim/event.js";
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

  it("SPVE has 16 bits, and is what an acknowledge of nothing gives; VIR reads 0", () => {
    const h = new MpicHarness();
    h.write(0x10e0, 0xabcd_1234);
    expect([h.read(0x10e0), h.iack(), h.read(0x1080)]).toEqual(["0x00001234", 0x1234, "0x00000000"]);
  });

  it("a reset of GCR ignores its other bits, and touches what 5.8 names alone", () => {
    const h = v42();
    h.write(0x1020, 0x6000_0000);
    h.write(0x10e0, 0x55);
    h.write(0x10f0, 0x66);
    h.write(0x1740, 0x2500_0000); // MSIIR
    h.set(5, 9, 0x45, 1);
    h.write(0x10018 + 0x20 * 5, Output.CINT);
    h.drive(5, 1);
    h.set(20, 8, 0x50, 1);
    h.write(0x10018 + 0x20 * 20, Output.CINT);
    h.drive(20, 1);
    h.write(0x1020, 0xffff_ffff);
    const cpu = h.mpic.cpus[0];
    expect([h.read(0x1020), h.read(0x10e0), h.read(0x10f0), h.mpic.msir[1], cpu.active[Output.CINT], cpu.ctpr]).toEqual(["0x00000000", "0x0000ffff", "0x00000000", 1 << 5, 1, 15]);
  });

  it("ILR: an output modulo 3, which is told, on v4.2; on v2.0 it is none", () => {
    const trace = new TraceBuffer();
    const h = new MpicHarness({ model: MPIC_42, trace });
    h.write(0x10078, 4);
    expect([h.read(0x10078), trace.lines("mpic_odd")]).toEqual(["0x00000001", ["mpic_odd(ILR,3,4)"]]);
    const older = new MpicHarness();
    older.write(0x10078, 1);
    expect([older.mpic.output[3], older.read(0x10078)]).toEqual([Output.INT, "0xffffffff"]);
  });

  it("a counter of active sources that wraps is told (M4)", () => {
    const trace = new TraceBuffer();
    const h = new MpicHarness({ model: MPIC_42, trace });
    h.set(20, 8, 0x50, 1);
    h.drive(20, 1);
    h.write(0x10018 + 0x20 * 20, Output.CINT);
    h.drive(20, 0);
    expect([h.mpic.cpus[0].active[Output.CINT], trace.lines("mpic_odd")]).toEqual([0xffff_ffff, ["mpic_odd(M4,20,0)"]]);
  });

  it("IPIDR takes CPUs that are not there, too; a block of nobody's CPU is not written", () => {
    const h = new MpicHarness();
    h.write(0x20050, 0x8000_0004);
    expect(h.mpic.destination[257] >>> 0).toBe(0x8000_0004);
    h.set(3, 8, 0x43, 1);
    h.edge(3);
    h.iack();
    h.write(0xb0, 0); // by nobody: no EOI of CPU 0
    h.write(0x40, 1);
    expect([h.mpic.cpus[0].servicing.has(3), h.mpic.destination[256]]).toEqual([true, 0]);
  });

  it("an IPI to others that was masked meanwhile stays active for them (5.4 step 5)", () => {
    const h = new MpicHarness();
    h.write(0x10b0, 0x000a_0061);
    h.write(0x20050, 3);
    h.mpic.ivpr[257] |= 1 << 31; // the mask alone, as a write would have it before its update
    expect([h.iack(0), h.ivpr(257)]).toEqual([0x61, "0xc00a0061"]);
  });

  it("a proxy is GCR's mode 3 alone, which v2.0 has not", () => {
    const proxied = (h: MpicHarness, gcr: number): boolean => {
      h.write(0x1020, gcr);
      return h.mpic.isProxied;
    };
    expect([proxied(new MpicHarness(), 0x6000_0000), ...[0x2000_0000, 0x4000_0000, 0x6000_0000].map((gcr) => proxied(v42(), gcr))]).toEqual([false, false, false, true]);
  });

  it("what no region has is ENXIO; low bits read ones; the summary reads zero", () => {
    const h = new MpicHarness();
    expect([h.read(0x5000), h.write(0x5000, 1), h.read(0x1004), h.read(0x1604), h.read(0x3800), h.read(0x10008), h.read(0x10018)]).toEqual([-ENXIO, -ENXIO, "0xffffffff", -ENXIO, "0x00000000", "0xffffffff", "0xffffffff"]);
  });
});
