import { describe, expect, it } from "vitest";
import { run } from "../../../sim/step.js";
import { DeliveryMode } from "../contract.js";
import { LapicHarness } from "./lapic.fixture.js";
import { ApicReg } from "./registers.js";

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
