import { describe, expect, it } from "vitest";
import { run } from "../../../sim/step.js";
import { LapicHarness } from "./lapic.fixture.js";
import { ApicReg } from "./registers.js";

const NONE = -1;
const split = { mode: "split" } as const;

/** The local APIC of one vCPU: x86-irqchip.md 7, 8 and the vectors of section 19 that it alone decides. */
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

  it("7.4: an auto-EOI vector is over when it is taken: ISR stays empty, and no EOI of it is told", () => {
    const h = new LapicHarness().enable();
    h.ioapic.entries = [{ destination: 0, isLogical: false, vector: 0x51 }];
    run(h.at(0).handled.rescan());
    run(h.at(0).autoEoi.set(0x51, true));
    for (const vector of [0x51, 0x52]) h.deliver({ vector });
    expect([h.take(), h.take()]).toEqual([0x52, NONE]);
    h.eoi();
    expect([h.take(), h.bits(0, ApicReg.ISR), h.bits(0, ApicReg.IRR), h.read(0, ApicReg.PPR)]).toEqual([0x51, [], [], 0]);
    h.deliver({ vector: 0x41 });
    expect([h.take(), h.eoi(), h.ioapic.eois]).toEqual([0x41, 0x41, []]);
    run(h.at(0).autoEoi.set(0x51, false));
    h.deliver({ vector: 0x51 });
    expect([h.take(), h.eoi(), h.ioapic.eois]).toEqual([0x51, 0x51, ["0:51:edge"]]);
  });

  it("hardware does not virtualise the local APICs while any vCPU has auto-EOI vectors (11)", () => {
    const h = new LapicHarness({ cpus: 2 });
    const seen: boolean[] = [];
    for (const [cpu, vector, isOn] of [[0, 0x51, true], [1, 0x51, true], [0, 0x52, true], [0, 0x51, false], [0, 0x52, false], [1, 0x51, false]] as const) {
      run(h.at(cpu).autoEoi.set(vector, isOn));
      seen.push(run(h.set.inhibits.isInhibited("intel")));
    }
    expect(seen).toEqual([true, true, true, true, true, false]);
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
  it("ENABLE: a bit that KVM_SET_LAPIC has set counts, though CPUID does not offer it (6.18)", () => {
    const h = new LapicHarness(split);
    expect(h.set.enableX2apicApi(4)).toBe(0);
    const page = new Int32Array(256);
    run(h.at(0).get(page));
    page[ApicReg.SPIV >> 2] = 0x11ff;
    expect([run(h.at(0).put(page)), h.read(0, ApicReg.LVR), cycle(h)]).toEqual([0, 0x50014, []]);
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
