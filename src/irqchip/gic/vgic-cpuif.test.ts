import { describe, expect, it } from "vitest";
import { IchHcr, IchMisr, IchVmcr } from "../../arch/gic/gich.js";
import { Icc } from "../../arch/gic/icc.js";
import { EINVAL } from "../../uapi/errno.js";
import { run, STRAIGHT } from "../../sim/step.js";
import { interleave } from "./interleave.fixture.js";
import { hostGicV2, hostGicV3, VgicStage } from "../../explore/stages/vgic-stage.js";
import { VgicConfig } from "./vgic-irq.js";
import * as state from "./vgic-state.js";

const MAINTENANCE = IchHcr.UIE | IchHcr.NPIE | IchHcr.LRENPIE;

describe("the CPU interface moves with its vCPU", () => {
  for (const host of [hostGicV3(2), hostGicV2(2)])
    it(`from one physical CPU to another, an interrupt active (GICv${host.version})`, () => {
      const h = new VgicStage({ ids: [0], host });
      h.enable(40);
      h.inject(40);
      expect(h.iar()).toBe(40);
      h.exit(0);
      run(h.vgic.put(0));
      expect([h.vif(0).hcr, h.vif(0).lrLo[0], h.cpu(0).vif]).toEqual([0, 0, null]);
      run(h.vgic.load(0, 1));
      h.enter(0);
      const there = h.vif(1);
      expect(there.runningPriority()).toBe(0xa0);
      expect((there.vmcr >>> IchVmcr.PMR_SHIFT) & 0xff).toBe(0xf0);
      run(there.endOfInterrupt(1, 40));
      h.exit(0);
      expect([there.runningPriority(), h.isActive(40)]).toEqual([0xff, false]);
    });

  it("the pending query knows the mask of a vCPU that is nowhere", () => {
    const h = new VgicStage();
    h.enable(40, 0xa0);
    h.inject(40);
    h.vmcr(0x80 << IchVmcr.PMR_SHIFT, 0xff << IchVmcr.PMR_SHIFT);
    run(h.vgic.put(0));
    expect(run(h.vgic.isPendingFor(0))).toBe(false);
    run(state.writePriority(h.dist, h.irq(40), 0x60));
    expect(run(h.vgic.isPendingFor(0))).toBe(true);
    run(state.writeDistEnable(h.dist, false, false));
    expect(run(h.vgic.isPendingFor(0))).toBe(false);
  });

  it("a vCPU that enters without being loaded is a fault of the caller", () => {
    const h = new VgicStage();
    run(h.vgic.put(0));
    expect(() => h.enter(0)).toThrow(/without being loaded/);
    run(h.vgic.load(1 - 1, 0));
    expect(() => run(h.vgic.load(0, 1))).toThrow(/loaded twice/);
  });
});

describe("what the hardware must report back (gic-v3.md A9.3)", () => {
  it("nothing while everything fits; DIR traps with the newest kernel", () => {
    const h = new VgicStage();
    h.enable(40);
    h.inject(40);
    h.enter(0);
    expect(h.vif(0).hcr & MAINTENANCE).toBe(0);
    expect(h.vif(0).hcr & IchHcr.TDIR).toBe(IchHcr.TDIR);
    h.enter(1);
    expect(h.vif(1).hcr & IchHcr.TDIR).toBe(IchHcr.TDIR);
  });

  it("underflow, no pending and unlisted ends, each where it can happen", () => {
    const h = new VgicStage({ nrLr: 2 });
    for (let intid = 40; intid < 43; intid++) h.enable(intid, 0xf0 - 16 * (intid - 39));
    for (const intid of [40, 41]) h.inject(intid);
    expect([h.iar(), h.vif(0).hcr & MAINTENANCE]).toEqual([41, 0]);
    h.inject(42);
    h.cycle(0);
    expect(h.vif(0).hcr & MAINTENANCE).toBe(IchHcr.UIE | IchHcr.LRENPIE);
    expect([h.lr(0, 0), h.lr(0, 1)]).toEqual(["50c000000000002a", "50e0000000000028"]);
  });

  it("no pending ends in a list register: the rest is loaded at that exit", () => {
    const h = new VgicStage({ nrLr: 2 });
    for (let intid = 40; intid < 44; intid++) h.enable(intid, 0xf0 - 16 * (intid - 39));
    for (let intid = 40; intid < 44; intid++) h.inject(intid);
    h.enter(0);
    expect(h.vif(0).hcr & MAINTENANCE).toBe(IchHcr.UIE | IchHcr.NPIE);
    expect(h.iar()).toBe(43);
    expect(h.maintenanceExits).toBe(0);
    h.eoi(43);
    expect(h.maintenanceExits).toBe(1);
    expect(h.drain()).toEqual([42, 41, 40]);
  });

  it("a group that is off does not keep the other out of the list registers, and comes when it is turned on", () => {
    const h = new VgicStage({ nrLr: 2 });
    for (const intid of [40, 41, 42]) run(state.writeGroup(h.dist, h.enable(intid, 0x20), 0));
    h.enable(43, 0xa0);
    for (const intid of [40, 41, 42, 43]) h.inject(intid);
    expect(h.iar()).toBe(43);
    h.eoi(43);
    h.vmcr(IchVmcr.ENG0);
    expect(h.vif(0).misr() & IchMisr.VGRP0E).toBe(IchMisr.VGRP0E);
    h.cycle(0);
    expect([h.iar(0, 0), h.vif(0).misr()]).toEqual([40, 0]);
  });

  it("what another vCPU should hold takes no list register from the rest", () => {
    const h = new VgicStage({ nrLr: 1 });
    h.enable(40, 0x20);
    h.enable(41, 0xa0);
    h.inject(40);
    h.inject(41);
    run(state.writeRouter(h.dist, h.irq(40), 1));
    h.enter(0);
    expect(h.lr(0, 0)).toBe("50a0000000000029");
  });

  it("Linux 6.1: underflow alone, active ones first, an unlisted end is lost", () => {
    const h = new VgicStage({ nrLr: 1, compat: "linux-6.1" });
    h.enable(40, 0xa0);
    h.enable(41, 0x80);
    h.inject(40);
    expect(h.iar()).toBe(40);
    h.inject(41);
    h.cycle(0);
    expect(h.vif(0).hcr).toBe(IchHcr.EN | IchHcr.UIE);
    expect(h.lr(0, 0)).toBe("90a0000000000028");
  });

  it("GICv2: an end without a list register is counted and walked too", () => {
    const h = new VgicStage({ host: hostGicV2(4, 1) });
    h.enable(40, 0xa0);
    h.enable(41, 0x80);
    h.inject(40);
    expect(h.iar()).toBe(40);
    h.inject(41);
    h.cycle(0);
    expect(h.iar()).toBe(41);
    h.eoi(41);
    h.eoi(40);
    h.exit(0);
    expect([h.isActive(40), h.isActive(41), h.listed(0)]).toEqual([false, false, []]);
  });
});

describe("events", () => {
  it("an injection and a loaded list register are told, also where nothing changes", () => {
    const h = new VgicStage();
    h.enable(40, 0xa0, VgicConfig.LEVEL);
    h.inject(40);
    h.inject(40);
    h.enter(0);
    h.inject(30, true, 2);
    expect(h.trace.lines("vgic_update_irq_pending", "vgic_lr")).toEqual([
      "vgic_update_irq_pending(0,40,1)",
      "vgic_update_irq_pending(0,40,1)",
      "vgic_lr(0,0,40,1)",
      "vgic_update_irq_pending(2,30,1)",
    ]);
  });
});

describe("mapped interrupts (gic-v3.md A9.9)", () => {
  it("need both interrupts to exist; SGIs cannot be mapped", () => {
    const h = new VgicStage();
    expect([run(h.vgic.mapPhysicalIrq(-1, 300, 40)), run(h.vgic.mapPhysicalIrq(-1, 40, 2000)), run(h.vgic.mapPhysicalIrq(0, 3, 40))]).toEqual([
      -EINVAL,
      -EINVAL,
      -EINVAL,
    ]);
    expect(h.vgic.mappedPhysicalIrq(-1, 40)).toBe(-1);
    run(h.vgic.mapPhysicalIrq(-1, 40, 77));
    expect(h.vgic.mappedPhysicalIrq(-1, 40)).toBe(77);
    run(h.vgic.unmapPhysicalIrq(-1, 40));
    expect(h.vgic.mappedPhysicalIrq(-1, 40)).toBe(-1);
  });

  it("say whether they are pending or active, and forget both at a reset", () => {
    const h = new VgicStage();
    run(h.vgic.mapPhysicalIrq(1, 27, 27));
    expect(run(h.vgic.isMappedActive(1, 27))).toBe(false);
    h.inject(27, true, 1);
    expect(run(h.vgic.isMappedActive(1, 27))).toBe(true);
    run(h.vgic.resetMappedIrq(1, 27));
    expect(run(h.vgic.isMappedActive(1, 27))).toBe(false);
  });

  it("ISPENDR marks the physical one active, ICPENDR releases it unless the virtual one is active", () => {
    const h = new VgicStage();
    run(h.vgic.mapPhysicalIrq(-1, 40, 77));
    const irq = h.enable(40);
    run(state.setPending(h.dist, irq, false));
    expect(h.gic.isActive(0, 77)).toBe(true);
    run(state.clearPending(h.dist, irq, false));
    expect([h.gic.isActive(0, 77), h.isPending(40, 0, true)]).toEqual([false, false]);
    h.changeActive(40, true);
    run(state.clearPending(h.dist, irq, false));
    expect(h.gic.isActive(0, 77)).toBe(true);
    h.changeActive(40, false);
    expect(h.gic.isActive(0, 77)).toBe(false);
  });

  it("user space does not change whether they are active", () => {
    const h = new VgicStage();
    run(h.vgic.mapPhysicalIrq(-1, 40, 77));
    run(state.setActive(h.dist, h.irq(40), null));
    expect([h.isActive(40), h.gic.isActive(0, 77)]).toEqual([false, false]);
  });

  it("outside the list registers, the guest's DIR deactivates the physical one", () => {
    const h = new VgicStage({ nrLr: 1 });
    h.vmcr(IchVmcr.EOIM);
    run(h.vgic.mapPhysicalIrq(-1, 40, 77));
    h.enable(40);
    h.enable(41, 0x80);
    run(h.gic.setActive(0, 77, true));
    h.inject(40);
    expect(h.iar()).toBe(40);
    h.eoi(40);
    h.inject(41);
    h.cycle(0);
    h.dir(40);
    expect([h.isActive(40), h.gic.isActive(0, 77)]).toEqual([false, false]);
  });
});

describe("scale", () => {
  it("an injection takes as many accesses with 512 vCPUs and 960 SPIs as with one and 32", () => {
    if (STRAIGHT) return;
    const accesses = (ids: number[], nrIrqs: number): number => {
      const h = new VgicStage({ ids, nrIrqs, host: hostGicV3(ids.length) });
      h.enable(40);
      return interleave(
        () => h.vgic.inject(-1, 40, true, null),
        function* () {},
        0,
      );
    };
    expect(accesses(Array.from({ length: 512 }, (_, id) => id), 992)).toBe(accesses([0], 64));
  });

  it("an SGI to one vCPU of 512 reaches it by its affinity", () => {
    const h = new VgicStage({ ids: Array.from({ length: 512 }, (_, id) => id), host: hostGicV3(512) });
    h.sysreg(Icc.SGI1R, (7 << 24) | (0x1f << 16) | (1 << 15));
    expect(h.dist.cpus.filter((cpu) => h.isPending(7, cpu.index)).map((cpu) => cpu.index)).toEqual([511]);
  });
});
