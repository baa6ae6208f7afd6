import { describe, expect, it } from "vitest";
import { run } from "../../../sim/step.js";
import { DeliveryMode } from "../contract.js";
import { LapicHarness } from "./lapic.fixture.js";
import { APIC_REGISTERS, ApicReg } from "./registers.js";

const split = { mode: "split" } as const;

describe("registers (7.1)", () => {
  it("reads reset values as the table says", () => {
    const h = new LapicHarness({ ids: [0, 3] });
    const own: Record<string, number> = { ID: 0x03000000, LVR: 0x00050014 };
    for (const { name, offset, count, xapic, reset } of APIC_REGISTERS)
      for (let i = 0; i < count; i++) {
        const isThere = xapic.startsWith("R") && name !== "LVTCMCI";
        expect([name, h.read(1, offset + i * 16)]).toEqual([name, isThere ? (own[name] ?? reset) >>> 0 : 0]);
      }
  });

  it("56: a write changes the bits that the register has", () => {
    const h = new LapicHarness().enable();
    const write = (offset: number): number => {
      h.write(0, offset, 0xffffffff);
      return h.read(0, offset);
    };
    expect([ApicReg.LVT0, ApicReg.LVTERR, ApicReg.LVTT, ApicReg.LVTTHMR, ApicReg.LVTPC].map(write)).toEqual([0x1f7ff, 0x110ff, 0x310ff, 0x117ff, 0x117ff]);
    expect([ApicReg.SPIV, ApicReg.TPR, ApicReg.ICR2, ApicReg.TDCR, ApicReg.LDR].map(write)).toEqual([0x3ff, 0xff, 0xff000000, 0xb, 0xff000000]);
    expect([ApicReg.LVR, ApicReg.APR, ApicReg.TMCCT, ApicReg.ESR, ApicReg.ISR, ApicReg.TMR, ApicReg.IRR].map(write)).toEqual([0x50014, 0, 0, 0, 0, 0, 0]);
  });

  it("a guest without CPUID has no timer mode bits, one with TSC-deadline has both", () => {
    const modes = (h: LapicHarness): number => {
      h.enable().write(0, ApicReg.LVTT, 0x60041);
      return h.read(0, ApicReg.LVTT);
    };
    const bare = new LapicHarness();
    bare.at(0).cpuid = null;
    expect([modes(bare), modes(new LapicHarness()), modes(new LapicHarness({ tscDeadline: true }))]).toEqual([0x41, 0x20041, 0x60041]);
  });

  it("57: software disable masks every LVT and rejects vectors, not NMIs", () => {
    const h = new LapicHarness().enable();
    const lvts = [ApicReg.LVTT, ApicReg.LVTTHMR, ApicReg.LVTPC, ApicReg.LVT0, ApicReg.LVT1, ApicReg.LVTERR];
    for (const lvt of lvts) h.write(0, lvt, 0x41);
    h.write(0, ApicReg.SPIV, 0xff);
    expect(lvts.map((lvt) => h.read(0, lvt))).toEqual(lvts.map(() => 0x10041));
    expect(h.deliver({ vector: 0x41 })).toBe(0);
    expect(h.deliver({ mode: DeliveryMode.NMI })).toBe(1);
    expect([h.vcpu(0).nmis, h.requested(0x41)]).toEqual([1, []]);
    for (const lvt of lvts) h.write(0, lvt, 0x42);
    expect(h.read(0, ApicReg.LVT1)).toBe(0x10042);
  });

  it("58: DFR keeps its high nibble alone", () => {
    const h = new LapicHarness();
    h.write(0, ApicReg.DFR, 0);
    expect(h.read(0, ApicReg.DFR)).toBe(0x0fffffff);
  });

  it("66: full mode has no directed EOI", () => {
    const h = new LapicHarness({ x2apic: true });
    h.write(0, ApicReg.SPIV, 0x11ff);
    expect([h.read(0, ApicReg.LVR), h.read(0, ApicReg.SPIV)]).toEqual([0x00050014, 0x1ff]);
  });

  it("67: split mode offers the directed EOI to a guest with x2APIC", () => {
    const h = new LapicHarness({ ...split, x2apic: true });
    h.write(0, ApicReg.SPIV, 0x11ff);
    expect([h.read(0, ApicReg.LVR), h.read(0, ApicReg.SPIV)]).toEqual([0x01050014, 0x11ff]);
    expect(new LapicHarness(split).read(0, ApicReg.LVR)).toBe(0x00050014);
  });

  it("a load stays inside one register, and one that no register takes gives nothing", () => {
    const h = new LapicHarness();
    h.write(0, ApicReg.LVT0, 0x1a7c3);
    expect([h.read(0, 0x350, 1), h.read(0, 0x351, 1), h.read(0, 0x350, 2), h.read(0, 0x352, 2), h.read(0, 0x353, 2)]).toEqual([0xc3, 0xa7, 0xa7c3, 0x1, 0]);
    expect([h.read(0, 0x350, 8), h.read(0, ApicReg.EOI), h.read(0, 0x40), h.read(0, 0x400)]).toEqual([0, 0, 0, 0]);
    expect(h.read(0, ApicReg.LVTCMCI)).toBe(0);
    expect(new LapicHarness({ hasCmci: true }).read(0, ApicReg.LVTCMCI)).toBe(0x10000);
  });

  it("a store other than four aligned bytes is ignored", () => {
    const h = new LapicHarness();
    h.write(0, ApicReg.TPR, 0x40, 1);
    h.write(0, ApicReg.TPR + 4, 0x50);
    h.write(0, ApicReg.TPR, 0x60, 8);
    expect(h.read(0, ApicReg.TPR)).toBe(0);
  });

  it("CR8 is the high nibble of TPR; where CR8 carries it, the low one is lost at the next exit", () => {
    const h = new LapicHarness();
    h.write(0, ApicReg.TPR, 0x5b);
    run(h.at(0).syncCr8());
    expect([h.at(0).cr8(), h.read(0, ApicReg.TPR), h.read(0, ApicReg.PPR)]).toEqual([5, 0x5b, 0x5b]);
    run(h.at(0).setCr8(0x7));
    expect(h.read(0, ApicReg.TPR)).toBe(0x70);
    const amd = new LapicHarness({ losesTprLowNibble: true });
    amd.write(0, ApicReg.TPR, 0x5b);
    run(amd.at(0).syncCr8());
    expect([amd.read(0, ApicReg.TPR), amd.read(0, ApicReg.PPR)]).toEqual([0x50, 0x50]);
  });
});

describe("x2APIC and the APIC base (7.1, 7.2)", () => {
  const ENABLED = 0xfee00800;

  it("59: the id is the vCPU's, the logical id follows from it", () => {
    const h = new LapicHarness({ ids: [0, 0x25], x2apic: true }).x2apic();
    expect([h.rdmsr(1, 0x802), h.rdmsr(1, 0x80d)]).toEqual(["25", "20020"]);
    const record = new Int32Array(256);
    run(h.at(1).get(record));
    expect(record[ApicReg.ID >> 2]).toBe(0x25000000);
    h.set.enableX2apicApi(1);
    run(h.at(1).get(record));
    expect(record[ApicReg.ID >> 2]).toBe(0x25);
  });

  it("60: modes change by the allowed transitions alone", () => {
    const h = new LapicHarness({ ids: [1], x2apic: true });
    const set = (low: number): string => h.wrmsr(0, 0x1b, low);
    expect([set(ENABLED | 0x400), set(ENABLED), set(0xfee00000), set(0xfee00400), set(0xfee00c00), set(ENABLED | 1), set(0xfed40800)]).toEqual(
      ["ok", "#GP", "ok", "#GP", "#GP", "#GP", "ok"],
    );
    expect([h.at(0).hasAddress(0xfee00020), h.at(0).hasAddress(0xfed40020), h.at(0).hasAddress(0xfed41000)]).toEqual([false, true, false]);
    expect(run(h.set.inhibits.has("APIC_BASE_MODIFIED"))).toBe(true);
    expect([h.wrmsr(0, 0x1b, ENABLED, 0x4000), h.wrmsr(0, 0x1b, ENABLED, 0x3fff)]).toEqual(["#GP", "ok"]);
    expect(h.wrmsr(0, 0x1b, 0xfee00c00, 0, true)).toBe("ok");
    expect(h.wrmsr(0, 0x1b, ENABLED, 0, true)).toBe("ok");
    expect(new LapicHarness({ ids: [1] }).wrmsr(0, 0x1b, ENABLED | 0x400)).toBe("#GP");
  });

  it("enabling sets the xAPIC id again", () => {
    const h = new LapicHarness({ ids: [3] });
    h.write(0, ApicReg.ID, 0x55ffffff);
    expect(h.read(0, ApicReg.ID)).toBe(0x55000000);
    h.wrmsr(0, 0x1b, 0xfee00000);
    h.wrmsr(0, 0x1b, ENABLED);
    expect(h.read(0, ApicReg.ID)).toBe(0x03000000);
  });

  it("61: what an x2APIC register cannot take is a #GP", () => {
    const h = new LapicHarness({ x2apic: true }).x2apic();
    const faults = [h.wrmsr(0, 0x83f, 0x1f1), h.wrmsr(0, 0x828, 1), h.wrmsr(0, 0x830, 1 << 13), h.wrmsr(0, 0x802, 0), h.rdmsr(0, 0x831)];
    expect(faults).toEqual(["#GP", "#GP", "#GP", "#GP", "#GP"]);
    const others = [
      h.wrmsr(0, 0x80d, 0),
      h.wrmsr(0, 0x80e, 0),
      h.rdmsr(0, 0x80e),
      h.rdmsr(0, 0x809),
      h.rdmsr(0, 0x80b),
      h.rdmsr(0, 0x83f),
      h.wrmsr(0, 0x808, 0, 1),
      h.wrmsr(0, 0x803, 0),
      h.wrmsr(0, 0x810, 0),
      h.rdmsr(0, 0x8ff),
      h.wrmsr(0, 0x830, 1 << 20),
      h.wrmsr(0, 0x830, 1 << 16),
    ];
    expect(others).toEqual(others.map(() => "#GP"));
    expect([h.wrmsr(0, 0x828, 0), h.wrmsr(0, 0x83f, 0xf1), h.wrmsr(0, 0x80b, 0)]).toEqual(["ok", "ok", "ok"]);
  });

  it("ICR is one register of 64 bits, without its status bit", () => {
    const h = new LapicHarness({ x2apic: true }).x2apic();
    expect(h.wrmsr(0, 0x830, 0x1041, 0x123)).toBe("ok");
    expect(h.rdmsr(0, 0x830)).toBe("123_00000041");
  });

  it("the MSRs are there in x2APIC mode only, the window in xAPIC mode only", () => {
    const h = new LapicHarness({ x2apic: true });
    expect([h.rdmsr(0, 0x802), h.wrmsr(0, 0x808, 0)]).toEqual(["#GP", "#GP"]);
    h.x2apic().write(0, ApicReg.TPR, 0x30);
    expect([h.rdmsr(0, 0x808), h.read(0, ApicReg.TPR), h.read(0, ApicReg.TPR, 1)]).toEqual(["0", 0xffffffff, 0xff]);
    const strict = new LapicHarness({ x2apic: true, disabledWindowQuirk: false }).x2apic();
    expect([strict.at(0).hasAddress(0xfee00080), h.at(0).hasAddress(0xfee00080)]).toEqual([false, true]);
  });
});
