import { describe, expect, it } from "vitest";
import { IchVmcr } from "../../arch/gic/gich.js";
import { Icc, IccCtlr } from "../../arch/gic/icc.js";
import { run } from "../../sim/step.js";
import { hostGicV2, hostGicV3, VgicStage } from "../../explore/stages/vgic-stage.js";
import { VgicConfig, VgicIrq } from "./vgic-irq.js";
import { dispatchSgiV2 } from "./vgic-sgi.js";
import * as state from "./vgic-state.js";
import { VgicV3 } from "./vgic-v3.js";
import { LrFlag } from "./lr-driver.js";

describe("gic.md D3, list registers and deactivation", () => {
  it("vector VA46: binary points have a minimum, and one of them may serve both groups", () => {
    const host = hostGicV3(1);
    const ich = host.ich(0);
    run(ich.writeIcv(Icc.BPR0, 0));
    run(ich.writeIcv(Icc.BPR1, 0));
    expect([run(ich.readIcv(Icc.BPR0)), run(ich.readIcv(Icc.BPR1))]).toEqual([2, 3]);
    run(ich.writeIcv(Icc.CTLR, IccCtlr.CBPR));
    run(ich.writeIcv(Icc.BPR0, 3));
    expect(run(ich.readIcv(Icc.BPR1))).toBe(4);
  });

  it("vector VA58: the image of an LPI", () => {
    const h = new VgicStage();
    const driver = new VgicV3();
    const lpi = new VgicIrq(h.sim, 8192, h.cpu(0), 3);
    lpi.priority = 0xa0;
    driver.encode(lpi, LrFlag.PENDING);
    expect([driver.hi, driver.lo]).toEqual([0x50a00000, 0x2000]);
  });

  it("vector VA63: the guest's end of a mapped PPI deactivates the physical one, and the next rise is delivered", () => {
    const h = new VgicStage();
    const { gic } = h;
    run(h.vgic.mapPhysicalIrq(0, 27, 27));
    h.enable(27);
    run(gic.setTrigger(0, 27, "level"));
    run(gic.setEnabled(0, 27, true));
    for (let rise = 0; rise < 2; rise++) {
      run(gic.setPpi(0, 27, true));
      expect(run(gic.acknowledge(0))).toBe(27);
      run(gic.endOfInterrupt(0, 27));
      h.inject(27, true, 0);
      expect(h.iar()).toBe(27);
      expect(gic.isActive(0, 27)).toBe(true);
      run(gic.setPpi(0, 27, false));
      h.eoi(27);
      h.exit(0);
      expect([gic.isActive(0, 27), h.isActive(27), h.isPending(27), h.listed(0)]).toEqual([false, false, false, []]);
    }
  });

  it("vector VA71: ICACTIVER from another vCPU forces the holder out and folds it first", () => {
    const h = new VgicStage();
    h.enable(40);
    h.inject(40);
    expect(h.iar(0)).toBe(40);
    h.enter(1);
    h.changeActive(40, false, 1);
    expect([h.isActive(40), h.lr(0, 0), h.vm.vcpus[0].inGuest]).toEqual([false, "0000000000000000", true]);
  });

  it("vector VA72: with EOImode 1 an interrupt taken on vCPU 0 is ended from vCPU 1; not on Linux 6.1", () => {
    for (const compat of ["newest", "linux-6.1"] as const) {
      const h = new VgicStage({ compat });
      for (const vcpu of [0, 1]) h.vmcr(IchVmcr.EOIM, 0, vcpu);
      h.enable(40);
      h.inject(40);
      expect(h.iar(0)).toBe(40);
      h.eoi(40, 0);
      h.dir(40, 1);
      h.cycle(0);
      h.exit(0);
      expect([h.isActive(40), h.listed(0)]).toEqual(compat === "newest" ? [false, []] : [true, [40]]);
    }
  });

  it("vector VA73: an active interrupt stays where it is; what is pending afterwards moves at the next exit", () => {
    const h = new VgicStage();
    const irq = h.enable(40);
    h.inject(40);
    expect(h.iar(0)).toBe(40);
    run(state.writeRouter(h.dist, irq, 1));
    h.inject(40);
    h.cycle(0);
    expect([h.lr(0, 0), h.listed(0), h.listed(1)]).toEqual(["d0a0000000000028", [40], []]);
    h.eoi(40, 0);
    expect(h.lr(0, 0)).toBe("50a0000000000028");
    h.exit(0);
    expect([h.listed(0), h.listed(1)]).toEqual([[], [40]]);
    expect(h.drain(1)).toEqual([40]);
  });

  it("vector VA73: if vCPU 0 acknowledges before it exits, it keeps the interrupt", () => {
    const h = new VgicStage();
    const irq = h.enable(40);
    h.inject(40);
    expect(h.iar(0)).toBe(40);
    run(state.writeRouter(h.dist, irq, 1));
    h.inject(40);
    h.cycle(0);
    h.eoi(40, 0);
    expect(h.iar(0)).toBe(40);
    h.cycle(0);
    expect([h.listed(0), h.listed(1)]).toEqual([[40], []]);
  });

  it("vector VA74: an interrupt moved to a group that is off stays pending", () => {
    const h = new VgicStage();
    h.enable(40);
    h.inject(40);
    run(state.writeGroup(h.dist, h.irq(40), 0));
    expect([h.iar(), h.vif(0).isSignalled(0), h.isPending(40)]).toEqual([1023, false, false]);
    h.exit(0);
    expect(h.isPending(40)).toBe(true);
  });

  it("vector VA75: what was pruned while the distributor was off comes back with a write to ISENABLER", () => {
    const h = new VgicStage();
    const irq = h.enable(40);
    h.inject(40);
    h.enter(0);
    run(state.writeDistEnable(h.dist, false, false));
    h.exit(0);
    run(state.writeDistEnable(h.dist, true, false));
    expect([h.isPending(40), h.iar()]).toEqual([true, 1023]);
    h.trapped(0, () => run(state.setEnabled(h.dist, irq, false)));
    expect(h.iar()).toBe(40);
  });

  it("vector VA76: a level interrupt pended by ISPENDR keeps its latch while it is active", () => {
    const h = new VgicStage();
    const irq = h.enable(40, 0xa0, VgicConfig.LEVEL);
    run(state.setPending(h.dist, irq, false));
    expect(h.iar()).toBe(40);
    expect(h.trapped(0, () => h.isPending(40))).toBe(true);
    h.eoi(40);
    expect(h.trapped(0, () => h.isPending(40))).toBe(false);
  });

  it("vector VA77: the kept level counts again when an interrupt becomes level-triggered again", () => {
    const h = new VgicStage();
    const irq = h.irq(40);
    run(state.writeConfig(irq, VgicConfig.LEVEL));
    h.inject(40);
    run(state.writeConfig(irq, VgicConfig.EDGE));
    expect(h.isPending(40)).toBe(false);
    h.inject(40, false);
    run(state.writeConfig(irq, VgicConfig.LEVEL));
    expect(h.isPending(40)).toBe(true);
    expect([h.inject(40), h.listed(0), h.vm.vcpus[0].kicks]).toEqual([0, [], 0]);
  });

  it("vector VA79: EOIR1 of a group 0 interrupt drops its priority, and then nothing ends it", () => {
    const h = new VgicStage();
    h.vmcr(IchVmcr.ENG0);
    run(state.writeGroup(h.dist, h.enable(40, 0x80), 0));
    h.inject(40);
    expect([h.iar(0, 0), h.rpr()]).toEqual([40, 0x80]);
    h.eoi(40, 0, 1);
    expect(h.rpr()).toBe(0xff);
    h.eoi(40, 0, 0);
    h.exit(0);
    expect(h.isActive(40)).toBe(true);
  });

  it("vector VA80: ends in the wrong order drop priorities and deactivate nothing", () => {
    const h = new VgicStage();
    h.enable(40, 0xb0);
    h.inject(40);
    expect(h.iar()).toBe(40);
    h.enable(41, 0x60);
    h.inject(41);
    h.cycle(0);
    expect(h.iar()).toBe(41);
    h.eoi(40);
    expect(h.rpr()).toBe(0xb0);
    h.eoi(41);
    expect(h.rpr()).toBe(0xff);
    h.exit(0);
    expect([h.isActive(40), h.isActive(41)]).toEqual([true, true]);
  });
});

describe("gic.md D3, GICv2", () => {
  const v2 = (): VgicStage => new VgicStage({ host: hostGicV2(4) });

  it("vector VA68: an SGI is delivered once per sender", () => {
    const h = v2();
    h.trapped(0, () => run(dispatchSgiV2(h.dist, h.cpu(0), 0x01000003)));
    expect([0, 1, 2, 3].map((vcpu) => h.isPending(3, vcpu))).toEqual([false, true, true, true]);
    h.trapped(2, () => run(dispatchSgiV2(h.dist, h.cpu(2), 0x00020003)));
    expect(h.iar(1)).toBe(0x003);
    h.eoi(0x003, 1);
    expect(h.iar(1)).toBe(0x803);
    h.eoi(0x803, 1);
    expect([h.iar(1), h.maintenanceExits]).toEqual([1023, 1]);
  });

  it("vector VA70: ISPENDR0 of an SGI is for user space alone, and names the vCPU itself as the source", () => {
    const h = v2();
    run(state.setPending(h.dist, h.irq(3, 1), false));
    expect(h.isPending(3, 1)).toBe(false);
    run(state.setPending(h.dist, h.irq(3, 1), true));
    expect(h.iar(1)).toBe(0x403);
  });

  it("a level SPI has the end-of-interrupt request in 32 bits too, and its listener is told", () => {
    const h = v2();
    h.enable(40, 0xa0, VgicConfig.LEVEL);
    h.inject(40);
    h.enter(0);
    expect(h.vif(0).lrLo[0]).toBe(0x1a080028);
    expect(h.iar()).toBe(40);
    h.inject(40, false);
    h.eoi(40);
    expect([h.vm.acks.acked, h.listed(0)]).toEqual([["0:8"], []]);
  });

  it("a mapped SPI in 32 bits carries the physical INTID", () => {
    const h = v2();
    run(h.vgic.mapPhysicalIrq(-1, 40, 77));
    h.enable(40, 0xa0, VgicConfig.LEVEL);
    h.inject(40);
    h.enter(0);
    expect(h.vif(0).lrLo[0] >>> 0).toBe((0x90000000 | (0x14 << 23) | (77 << 10) | 40) >>> 0);
  });

  it("with Linux 6.1 an SGI of several senders keeps less urgent interrupts out until all were seen", () => {
    const h = new VgicStage({ host: hostGicV2(4), compat: "linux-6.1" });
    h.enable(40, 0xa0);
    h.inject(40);
    run(state.writePriority(h.dist, h.irq(3, 0), 0x80));
    for (const sender of [1, 2]) run(dispatchSgiV2(h.dist, h.cpu(sender), 0x00010003));
    h.enter(0);
    expect(h.cpu(0).usedLrs).toBe(1);
    expect(h.drain()).toEqual([0x403, 0x803, 40]);
  });

  it("DIR of an SGI ends the one of the source it names", () => {
    const h = v2();
    h.vmcr(IchVmcr.EOIM);
    run(dispatchSgiV2(h.dist, h.cpu(2), 0x00010003));
    expect(h.iar()).toBe(0x803);
    h.eoi(0x803);
    h.dir(0x803);
    h.exit(0);
    expect(h.isActive(3)).toBe(false);
  });
});
