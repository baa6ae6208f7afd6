import { describe, expect, it } from "vitest";
import { run } from "../../sim/step.js";
import { DeliveryMode } from "./contract.js";
import { LapicHarness } from "./lapic.fixture.js";
import { APIC_REGISTERS, ApicReg } from "./lapic-registers.js";

const NONE = -1;
const split = { mode: "split" } as const;

/** The local APIC of one vCPU: x86-irqchip.md 7, 8 and the vectors of section 19 that it alone decides. */
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

describe("priority, take and EOI (7.3, 7.4, 8.1)", () => {
  it.each([
    [0x35, [], [0x31], 0x35, NONE],
    [0x35, [], [0x40], 0x35, 0x40],
    [0x30, [0x45], [0x4f], 0x40, NONE],
    [0x30, [0x45], [0x50], 0x40, 0x50],
    [0x50, [0x45], [0x5f], 0x50, NONE],
    [0x4f, [0x45], [0x50], 0x4f, 0x50],
  ])("48: TPR %#x, ISR %j, IRR %j", (tpr, isr, irr, ppr, next) => {
    const h = new LapicHarness().enable();
    for (const vector of isr) {
      h.deliver({ vector });
      h.take();
    }
    for (const vector of irr) h.deliver({ vector });
    h.write(0, ApicReg.TPR, tpr);
    expect([h.read(0, ApicReg.PPR), run(h.at(0).nextInterrupt())]).toEqual([ppr, next]);
  });

  it("62: EOI without a vector in service tells nobody", () => {
    const h = new LapicHarness().enable();
    h.at(0).handled.add(0, false);
    const { events } = h.vcpu(0);
    h.write(0, ApicReg.EOI, 0);
    expect([h.ioapic.eois, h.vcpu(0).events - events]).toEqual([[], 0]);
  });

  it("63: a vector waits while one of the same or a higher block is in service", () => {
    const h = new LapicHarness().enable();
    h.deliver({ vector: 0x41 });
    h.deliver({ vector: 0x51 });
    expect([h.take(), h.take(), h.eoi(), h.take(), h.eoi(), h.eoi()]).toEqual([0x51, NONE, 0x51, 0x41, 0x41, NONE]);
  });

  it("89: a vector accepted before the software disable is still taken", () => {
    const h = new LapicHarness().enable();
    h.deliver({ vector: 0x41 });
    h.write(0, ApicReg.SPIV, 0xff);
    expect(h.take()).toBe(0x41);
    h.deliver({ vector: 0x42 });
    expect(h.take()).toBe(NONE);
    const off = new LapicHarness().enable();
    off.deliver({ vector: 0x41 });
    off.wrmsr(0, 0x1b, 0xfee00000);
    expect(off.take()).toBe(NONE);
  });

  it("TMR follows the trigger of the last delivery and stays after the EOI", () => {
    const h = new LapicHarness().enable();
    h.deliver({ vector: 0x41, isLevel: true });
    h.take();
    h.eoi();
    expect(h.bits(0, ApicReg.TMR)).toEqual([0x41]);
    h.deliver({ vector: 0x41 });
    expect(h.bits(0, ApicReg.TMR)).toEqual([]);
    expect(h.deliver({ vector: 0x50, isLevel: true, isAsserted: false })).toBe(0);
  });

  it("the EOI of a handled vector reaches the IOAPIC with the trigger of its TMR bit (X5)", () => {
    const h = new LapicHarness().enable();
    h.ioapic.entries = [{ destination: 0, isLogical: false, vector: 0x77 }];
    run(h.at(0).handled.rescan());
    h.deliver({ vector: 0x77, isLevel: true });
    h.take();
    h.deliver({ vector: 0x77 });
    h.eoi();
    h.deliver({ vector: 0x77, isLevel: true });
    h.take();
    h.eoi();
    h.deliver({ vector: 0x78, isLevel: true });
    h.take();
    h.eoi();
    expect(h.ioapic.eois).toEqual(["0:77:edge", "0:77:level"]);
    expect(h.trace.lines("kvm_eoi", "handled_vectors")).toEqual([
      "handled_vectors(0,77,)",
      "kvm_eoi(0,119,ioapic)",
      "kvm_eoi(0,119,ioapic)",
      "kvm_eoi(0,120,nobody)",
    ]);
  });

  it("the EOI of a vector whose routing went elsewhere asks for a rescan, once it was the highest such", () => {
    const h = new LapicHarness({ cpus: 2 }).enable();
    h.deliver({ vector: 0x77, isLevel: true });
    h.ioapic.entries = [{ destination: 1, isLogical: false, vector: 0x77 }];
    run(h.at(0).handled.rescan());
    const before = h.vcpu(0).scans;
    h.take();
    h.eoi();
    expect([h.ioapic.eois, h.vcpu(0).scans - before]).toEqual([["0:77:level"], 1]);
    run(h.at(0).handled.rescan());
    expect(h.at(0).handled.has(0x77)).toBe(false);
  });
});

describe("split mode: the EOI exit and its suppression (8.2, 8.5)", () => {
  const cycle = (h: LapicHarness): number[] => {
    h.ioapic.entries = [{ destination: 0, isLogical: false, vector: 0x41 }];
    run(h.at(0).handled.rescan());
    h.deliver({ vector: 0x41, isLevel: true });
    h.take();
    h.eoi();
    return h.vcpu(0).exits;
  };
  const prepare = (flags: number, spiv: number): LapicHarness => {
    const h = new LapicHarness({ ...split, x2apic: true });
    expect(h.set.enableX2apicApi(flags)).toBe(0);
    run(h.at(0).setCpuid({ hasX2apic: true, hasTscDeadline: false, physicalBits: 46 }));
    h.write(0, ApicReg.SPIV, spiv);
    return h;
  };

  it("legacy: the guest's wish is stored and user space exits all the same", () => expect(cycle(prepare(0, 0x11ff))).toEqual([0x41]));
  it("ENABLE: no exit where the guest has asked for none", () => {
    expect(cycle(prepare(4, 0x11ff))).toEqual([]);
    expect(cycle(prepare(4, 0x1ff))).toEqual([0x41]);
  });
  it("DISABLE: the bit is not offered and not stored", () => {
    const h = prepare(8, 0x11ff);
    expect([h.read(0, ApicReg.LVR), h.read(0, ApicReg.SPIV), cycle(h)]).toEqual([0x50014, 0x1ff, [0x41]]);
  });
  it("flags that nobody knows or that contradict are refused, ENABLE outside split mode too", () => {
    const h = new LapicHarness(split);
    expect([h.set.enableX2apicApi(16), h.set.enableX2apicApi(12), new LapicHarness().set.enableX2apicApi(4), h.set.enableX2apicApi(3)]).toEqual([-22, -22, -22, 0]);
  });
  it("X23: routing that changed after the EOI takes the exit back", () => {
    const left = (hazards: boolean): boolean => {
      const h = new LapicHarness({ ...split, hazards: { ...new LapicHarness().set.hazards, exitWithoutRetest: hazards } });
      h.enable();
      expect(cycle(h)).toEqual([0x41]);
      h.ioapic.entries = [];
      run(h.at(0).handled.rescan());
      return h.at(0).handled.exits(0x41);
    };
    expect([left(false), left(true)]).toEqual([false, true]);
  });
});

describe("PIC interrupts and local delivery (7.8, 7.9)", () => {
  it("a boot CPU accepts PIC interrupts after reset, another does not until LINT0 is ExtINT", () => {
    const h = new LapicHarness({ cpus: 2, x2apic: true });
    const accepts = (): boolean[] => [run(h.at(0).acceptsPic()), run(h.at(1).acceptsPic())];
    expect(accepts()).toEqual([true, false]);
    h.enable();
    h.write(1, ApicReg.LVT0, 0x700);
    h.write(0, ApicReg.LVT0, 0x10700);
    expect(accepts()).toEqual([false, true]);
    h.write(1, ApicReg.LVT0, 0x400);
    h.wrmsr(0, 0x1b, 0xfee00000);
    expect(accepts()).toEqual([true, false]);
    expect(run(new LapicHarness({ lint0Quirk: false }).at(0).acceptsPic())).toBe(false);
  });

  it("an LVT delivers by its own mode and trigger; the performance counters' masks itself", () => {
    const h = new LapicHarness().enable();
    h.write(0, ApicReg.LVTPC, 0x400);
    h.write(0, ApicReg.LVT1, 0x8061);
    h.write(0, ApicReg.LVTERR, 0x10055);
    const delivered = [ApicReg.LVTPC, ApicReg.LVTPC, ApicReg.LVT1, ApicReg.LVTERR].map((lvt) => run(h.at(0).deliverLocal(lvt)));
    expect(delivered).toEqual([true, false, true, false]);
    expect([h.vcpu(0).nmis, h.read(0, ApicReg.LVTPC), h.bits(0, ApicReg.IRR), h.bits(0, ApicReg.TMR)]).toEqual([1, 0x10400, [0x61], [0x61]]);
  });
});

describe("INIT and start-up (7.6)", () => {
  const init = { mode: DeliveryMode.INIT };
  const startup = (vector: number): { mode: DeliveryMode; vector: number } => ({ mode: DeliveryMode.STARTUP, vector });
  const process = (h: LapicHarness, index = 1): void => run(h.at(index).init.process(h.vcpu(index)));

  it("a vCPU that waits starts at the vector's page; one that runs ignores start-up", () => {
    const h = new LapicHarness({ cpus: 2 }).enable();
    expect([h.deliver({ ...startup(0x10), destination: 1 }), h.vcpu(1).initRequests]).toEqual([1, 1]);
    process(h);
    expect(h.vcpu(1).starts).toEqual([]);
    h.deliver({ ...init, destination: 1 });
    h.deliver({ ...startup(0x9f), destination: 1 });
    process(h);
    expect([h.vcpu(1).resets, h.vcpu(1).starts, h.vcpu(1).waits]).toEqual([1, [0x9f], false]);
  });

  it("the boot CPU runs on after INIT", () => {
    const h = new LapicHarness().enable();
    h.deliver(init);
    process(h, 0);
    expect([h.vcpu(0).resets, h.vcpu(0).waits]).toEqual([1, false]);
  });

  it("X26: INIT drops a start-up that is pending", () => {
    const starts = (initKeepsStartup: boolean): number[] => {
      const h = new LapicHarness({ cpus: 2, hazards: { ...new LapicHarness().set.hazards, initKeepsStartup } });
      h.enable().deliver({ ...startup(0x10), destination: 1 });
      h.deliver({ ...init, destination: 1 });
      process(h);
      return h.vcpu(1).starts;
    };
    expect([starts(false), starts(true)]).toEqual([[], [0x10]]);
  });

  it("where INIT is held back, a start-up is dropped and INIT stays", () => {
    const h = new LapicHarness({ cpus: 2 }).enable();
    h.vcpu(1).isInSmm = true;
    h.deliver({ ...init, destination: 1 });
    h.deliver({ ...startup(0x10), destination: 1 });
    process(h);
    expect(h.vcpu(1).resets).toBe(0);
    h.vcpu(1).isInSmm = false;
    process(h);
    expect([h.vcpu(1).resets, h.vcpu(1).starts, h.vcpu(1).waits]).toEqual([1, [], true]);
  });

  it("the INIT de-assert is ignored", () => {
    const h = new LapicHarness({ cpus: 2 }).enable();
    expect([h.deliver({ ...init, destination: 1, isLevel: true, isAsserted: false }), h.deliver({ ...init, destination: 1, isAsserted: false })]).toEqual([0, 1]);
  });

  it("INIT keeps base and id, and in x2APIC mode the logical id; the rest is reset", () => {
    const h = new LapicHarness({ ids: [0, 0x25], x2apic: true }).x2apic().enable();
    h.deliver({ vector: 0x41, destination: 0x25 });
    h.wrmsr(1, 0x808, 0x30);
    h.deliver({ ...init, destination: 0x25 });
    process(h);
    expect([h.rdmsr(1, 0x802), h.rdmsr(1, 0x80d), h.rdmsr(1, 0x808), h.rdmsr(1, 0x80f)]).toEqual(["25", "20020", "0", "ff"]);
    expect(h.bits(1, ApicReg.IRR)).toEqual([]);
  });
});
