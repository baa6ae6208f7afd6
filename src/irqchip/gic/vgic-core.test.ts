import { describe, expect, it } from "vitest";
import { IchHcr, IchVmcr } from "../../arch/gic/gich.js";
import { Icc } from "../../arch/gic/icc.js";
import { EBUSY, EEXIST, EINVAL } from "../../uapi/errno.js";
import { run } from "../../sim/step.js";
import { hostGicV3, VgicStage } from "../../explore/stages/vgic-stage.js";
import { VgicConfig } from "./vgic-irq.js";
import * as state from "./vgic-state.js";


describe("gic.md D3, the core", () => {
  it("vector VA35: an SPI routed to no vCPU stays latched, and a new target alone does not deliver it", () => {
    const h = new VgicStage();
    const irq = h.enable(40);
    run(state.writeRouter(h.dist, irq, 0x77));
    h.inject(40);
    expect(h.isPending(40)).toBe(true);
    expect(h.vm.vcpus.map((v) => v.kicks)).toEqual([0, 0, 0, 0]);
    run(state.writeRouter(h.dist, irq, 1));
    expect(h.iar(1)).toBe(1023);
    h.inject(40);
    h.cycle(1);
    expect(h.iar(1)).toBe(40);
  });

  it("vector VA36: ICPENDR does not lower a high wire", () => {
    const h = new VgicStage();
    const irq = h.irq(40);
    run(state.writeConfig(irq, VgicConfig.LEVEL));
    h.inject(40);
    run(state.clearPending(h.dist, irq, false));
    expect(h.isPending(40)).toBe(true);
    h.inject(40, false);
    expect(h.isPending(40)).toBe(false);
  });

  it("vector VA37: a level interrupt written pending is cleared by ICPENDR", () => {
    const h = new VgicStage();
    const irq = h.irq(40);
    run(state.writeConfig(irq, VgicConfig.LEVEL));
    run(state.setPending(h.dist, irq, false));
    expect(h.isPending(40)).toBe(true);
    run(state.clearPending(h.dist, irq, false));
    expect(h.isPending(40)).toBe(false);
  });

  it("vector VA38: edges before the acknowledge coalesce; one after it makes active and pending", () => {
    const h = new VgicStage();
    h.enable(40, 0xa0, VgicConfig.EDGE);
    for (const level of [true, true, false, true]) h.inject(40, level);
    expect(h.iar()).toBe(40);
    h.eoi(40);
    expect(h.iar()).toBe(1023);
    h.exit(0);
    h.inject(40);
    expect(h.iar()).toBe(40);
    h.inject(40);
    h.exit(0);
    expect([h.isActive(40), h.isPending(40)]).toEqual([true, true]);
    h.eoi(40);
    expect(h.iar()).toBe(40);
  });

  it("vector VA39: user space writes a zero to ISPENDR and the latch is gone", () => {
    const h = new VgicStage();
    h.inject(40);
    run(state.assignPending(h.dist, h.irq(40), false));
    expect(h.isPending(40, 0, true)).toBe(false);
  });

  it("vector VA40: LEVEL_INFO carries the wire, not the latch", () => {
    const h = new VgicStage();
    const irq = h.irq(40);
    run(state.writeConfig(irq, VgicConfig.LEVEL));
    run(state.writeLineLevel(h.dist, irq, true));
    expect(run(state.readLineLevel(irq))).toBe(true);
    expect([h.isPending(40), h.isPending(40, 0, true)]).toEqual([true, false]);
  });

  it("vector VA41: an interrupt written active is listed so; ICACTIVER ends it without an EOI", () => {
    const h = new VgicStage();
    h.enable(40, 0xa0);
    h.enable(41, 0x80);
    h.changeActive(40, true);
    expect(h.listed(0)).toEqual([40]);
    h.inject(41);
    expect(h.iar()).toBe(41);
    expect(h.lr(0, 0)).toBe("90a0000000000028");
    h.changeActive(40, false);
    expect(h.isActive(40)).toBe(false);
    expect(h.lr(0, 0)).toBe("9080000000000029");
    h.exit(0);
    expect(h.listed(0)).toEqual([41]);
  });

  it("vector VA42: interrupts that do not exist are refused", () => {
    const h = new VgicStage();
    expect(h.inject(256)).toBe(-EINVAL);
    expect(h.inject(20)).toBe(-EINVAL);
    expect(h.inject(1023)).toBe(-EINVAL);
    expect(h.inject(255)).toBe(0);
  });

  it("vector VA43: the most urgent first, the other after its end", () => {
    const h = new VgicStage();
    h.enable(40, 0xa0);
    h.enable(41, 0x40);
    h.inject(40);
    h.inject(41);
    expect([h.iar(), h.rpr()]).toEqual([41, 0x40]);
    expect(h.iar()).toBe(1023);
    h.eoi(41);
    expect([h.iar(), h.rpr()]).toEqual([40, 0xa0]);
  });

  it("vector VA44: an interrupt at the mask is not taken but is the highest pending", () => {
    const h = new VgicStage();
    h.vmcr(0x40 << IchVmcr.PMR_SHIFT, 0xff << IchVmcr.PMR_SHIFT);
    h.enable(40, 0x40);
    h.inject(40);
    expect(run(h.vgic.isPendingFor(0))).toBe(false);
    expect([h.iar(), h.hppir()]).toEqual([1023, 40]);
    h.exit(0);
    run(state.writePriority(h.dist, h.irq(40), 0x38));
    expect(run(h.vgic.isPendingFor(0))).toBe(true);
  });

  it("vector VA45: the binary point groups priorities", () => {
    const h = new VgicStage();
    h.vmcr(5 << IchVmcr.BPR1_SHIFT, 7 << IchVmcr.BPR1_SHIFT);
    h.enable(40, 0xa8);
    h.inject(40);
    expect([h.iar(), h.rpr(), h.vif(0).ap1r[0]]).toEqual([40, 0xa0, 1 << 20]);
    h.enable(41, 0xa0);
    h.inject(41);
    h.cycle(0);
    expect(h.iar()).toBe(1023);
    h.enable(42, 0x80);
    h.inject(42);
    h.cycle(0);
    expect([h.iar(), h.rpr(), h.vif(0).ap1r[0]]).toEqual([42, 0x80, (1 << 20) | (1 << 16)]);
  });

  it("vector VA47: with EOImode 1 the end drops the priority and DIR deactivates", () => {
    const h = new VgicStage();
    h.vmcr(IchVmcr.EOIM);
    h.enable(40);
    h.enable(41);
    h.inject(40);
    expect(h.iar()).toBe(40);
    h.eoi(40);
    expect([h.rpr(), h.iar()]).toEqual([0xff, 1023]);
    h.exit(0);
    expect(h.isActive(40)).toBe(true);
    h.inject(41);
    expect(h.iar()).toBe(41);
    h.eoi(41);
    h.dir(40);
    h.exit(0);
    expect([h.isActive(40), h.isActive(41)]).toEqual([false, true]);
  });

  it("vector VA48: with EOImode 0 DIR is ignored", () => {
    const h = new VgicStage();
    h.enable(40);
    h.inject(40);
    expect(h.iar()).toBe(40);
    h.dir(40);
    h.exit(0);
    expect(h.isActive(40)).toBe(true);
  });

  it("vector VA49: the end of an INTID that is not listed drops the priority, and is counted", () => {
    const h = new VgicStage();
    h.enable(40);
    h.inject(40);
    expect(h.iar()).toBe(40);
    h.eoi(99);
    expect([h.rpr(), h.vif(0).hcr >>> 27]).toEqual([0xff, 1]);
    h.exit(0);
    expect(h.isActive(40)).toBe(true);
  });

  it("vector VA50: IAR0 does not take group 1", () => {
    const h = new VgicStage();
    h.enable(40);
    h.inject(40);
    expect(h.iar(0, 0)).toBe(1023);
    expect(h.lr(0, 0)).toBe("50a0000000000028");
  });

  it("vector VA54: SGI1R reaches the vCPUs of its list alone", () => {
    const h = new VgicStage();
    expect(h.sysreg(Icc.SGI1R, 0x0500000a)).toBe(true);
    expect([0, 1, 2, 3].map((vcpu) => h.isPending(5, vcpu))).toEqual([false, true, false, true]);
  });

  it("vector VA55: IRM reaches everyone but the sender", () => {
    const h = new VgicStage();
    h.sysreg(Icc.SGI1R, 2 << 24, 1 << 8);
    expect([0, 1, 2, 3].map((vcpu) => h.isPending(2, vcpu))).toEqual([false, true, true, true]);
  });

  it("vector VA56: SGI0R generates group 0 alone", () => {
    const h = new VgicStage();
    h.vmcr(IchVmcr.ENG0);
    h.sysreg(Icc.SGI0R, (3 << 24) | 1);
    h.sysreg(Icc.ASGI1R, (3 << 24) | 1);
    expect(h.isPending(3)).toBe(false);
    run(state.writeGroup(h.dist, h.irq(3), 0));
    h.sysreg(Icc.SGI0R, (3 << 24) | 1);
    expect([h.iar(0, 1), h.iar(0, 0)]).toEqual([1023, 3]);
  });

  it("vector VA57: an SGI sent twice before the acknowledge is taken once", () => {
    const h = new VgicStage();
    h.sysreg(Icc.SGI1R, 0x05000002);
    h.sysreg(Icc.SGI1R, 0x05000002);
    expect(h.drain(1)).toEqual([5]);
  });

  it("vector VA59: the image of a level SPI", () => {
    const h = new VgicStage();
    h.enable(40, 0x80, VgicConfig.LEVEL);
    h.inject(40);
    h.enter(0);
    expect(h.lr(0, 0)).toBe("5080020000000028");
  });

  it("vector VA60: the image of a mapped PPI", () => {
    const h = new VgicStage();
    run(h.vgic.mapPhysicalIrq(0, 27, 27));
    h.enable(27, 0xa0);
    h.inject(27, true, 0);
    h.enter(0);
    expect(h.lr(0, 0)).toBe("70a0001b0000001b");
  });

  // The vector has UIE with one list register too, where it would hold at once (host-irq.md 2.4): NPIE stands in.
  for (const [nrLr, bit] of [
    [1, IchHcr.NPIE],
    [2, IchHcr.UIE],
  ] as const)
    it(`vector VA61: with ${nrLr} list register(s) 20 interrupts are delivered in order of priority`, () => {
      const h = new VgicStage({ nrLr });
      for (let intid = 40; intid < 60; intid++) h.enable(intid, 0xf0 - 8 * (intid - 39));
      for (let intid = 40; intid < 60; intid++) h.inject(intid);
      h.enter(0);
      const taken: number[] = [];
      for (let left = 20; left > 0; left--) {
        expect((h.vif(0).hcr & bit) !== 0).toBe(left > nrLr);
        expect(h.vif(0).misr()).toBe(0);
        const intid = h.iar();
        taken.push(intid);
        h.eoi(intid);
      }
      expect(taken).toEqual(Array.from({ length: 20 }, (_, i) => 59 - i));
      expect(h.iar()).toBe(1023);
    });

  it("vector VA62: an edge while active makes the list register active and pending", () => {
    const h = new VgicStage();
    const irq = h.enable(40);
    h.inject(40);
    expect(h.iar()).toBe(40);
    h.inject(40);
    h.cycle(0);
    expect(h.lr(0, 0)).toBe("d0a0000000000028");
    expect(run(state.readPending(h.dist, irq, true))).toBe(false);
    h.eoi(40);
    expect(h.lr(0, 0)).toBe("50a0000000000028");
  });

  it("vector VA64: a line has one owner; others are ignored", () => {
    const h = new VgicStage();
    const [a, b] = [{}, {}];
    expect(run(h.vgic.setOwner(0, 27, a))).toBe(0);
    expect(run(h.vgic.setOwner(0, 27, b))).toBe(-EEXIST);
    expect(run(h.vgic.setOwner(0, 5, a))).toBe(-EINVAL);
    expect(h.inject(27, true, 0)).toBe(0);
    expect(h.isPending(27)).toBe(false);
    h.inject(27, true, 0, a);
    expect(h.isPending(27)).toBe(true);
  });

  it("vector VA67: what was latched while the distributor was off stays unlisted until its next event", () => {
    const h = new VgicStage();
    h.enable(40);
    run(state.writeDistEnable(h.dist, false, false));
    h.inject(40);
    expect([h.isPending(40), h.listed(0)]).toEqual([true, []]);
    run(state.writeDistEnable(h.dist, true, false));
    expect(h.vm.vcpus[0].kicks).toBe(0);
    expect(h.drain()).toEqual([]);
    h.exit(0);
    h.inject(40);
    expect(h.drain()).toEqual([40]);
  });
});

describe("creation and order", () => {
  it("GICv3 answers EBUSY to an injection before INIT", () => {
    const h = new VgicStage();
    h.dist.initialized = false;
    expect(h.inject(40)).toBe(-EBUSY);
  });

  it("equal priorities are taken in the order of queueing (vector VA78)", () => {
    const h = new VgicStage();
    for (const intid of [51, 44, 46]) h.enable(intid);
    for (const intid of [51, 44, 46]) h.inject(intid);
    expect(h.drain()).toEqual([51, 44, 46]);
  });

  it("a host has as many list registers as it says", () => {
    expect(new VgicStage({ host: hostGicV3(4, 16) }).dist.nrLr).toBe(16);
  });
});
