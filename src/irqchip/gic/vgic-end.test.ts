import { describe, expect, it } from "vitest";
import { IchHcr, IchVmcr } from "../../arch/gic/gich.js";
import { run, STRAIGHT, type Step } from "../../sim/step.js";
import { interleave } from "./interleave.fixture.js";
import { VgicStage } from "../../explore/stages/vgic-stage.js";
import { VgicConfig } from "./vgic-irq.js";

describe("gic.md D2, hazards that need no switch", () => {
  it("R34: a line that drops while pending in a list register leaves nothing pending after the end", () => {
    const h = new VgicStage();
    h.enable(40, 0xa0, VgicConfig.LEVEL);
    h.inject(40);
    h.enter(0);
    h.inject(40, false);
    expect(h.iar()).toBe(40);
    h.eoi(40);
    h.exit(0);
    expect([h.isPending(40), h.listed(0)]).toEqual([false, []]);
  });

  it("R35: an edge while one is pending in a list register is one interrupt, while one is active it is one more", () => {
    const h = new VgicStage();
    h.enable(40);
    h.inject(40);
    h.enter(0);
    h.inject(40);
    h.cycle(0);
    expect(h.drain()).toEqual([40]);
    h.exit(0);
    h.inject(40);
    expect(h.iar()).toBe(40);
    h.inject(40);
    h.inject(40);
    h.cycle(0);
    h.eoi(40);
    expect(h.drain()).toEqual([40]);
  });

  it("R36: ISENABLER of a mapped interrupt whose line fell while it was disabled releases the physical one", () => {
    const h = new VgicStage();
    const { gic } = h;
    run(h.vgic.mapPhysicalIrq(0, 27, 27));
    run(gic.setTrigger(0, 27, "level"));
    run(gic.setActive(0, 27, true));
    h.inject(27, true, 0);
    h.enable(27);
    expect([gic.isActive(0, 27), h.isPending(27)]).toEqual([false, false]);
  });

  it("R38: whoever asks after the kick finds the interrupt", () => {
    if (STRAIGHT) return;
    for (let at = 0, last = 1; at < last; at++) {
      const h = new VgicStage();
      h.enable(40);
      const found = { before: false };
      last = interleave(
        () => h.vgic.inject(-1, 40, true, null),
        function* () {
          found.before = yield* h.vgic.isPendingFor(0);
        },
        at,
      );
      expect(found.before || h.vm.vcpus[0].kicks === 1).toBe(true);
      expect(run(h.vgic.isPendingFor(0))).toBe(true);
    }
  });

  it("R50: DIR of an interrupt outside the list registers ends it", () => {
    const h = new VgicStage({ nrLr: 1 });
    h.vmcr(IchVmcr.EOIM);
    h.enable(40, 0xa0);
    h.enable(41, 0x80);
    h.inject(40);
    expect(h.iar()).toBe(40);
    h.eoi(40);
    h.inject(41);
    h.cycle(0);
    expect(h.lr(0, 0)).toBe("5080000000000029");
    h.dir(40);
    h.exit(0);
    expect([h.isActive(40), h.listed(0)]).toEqual([false, [41]]);
  });

  it("R51: EOI of an interrupt outside the list registers ends it, and it can be taken again", () => {
    const h = new VgicStage({ nrLr: 1 });
    h.enable(40, 0xa0);
    h.enable(41, 0x80);
    h.inject(40);
    expect(h.iar()).toBe(40);
    h.inject(41);
    h.cycle(0);
    expect(h.vif(0).hcr & IchHcr.LRENPIE).toBe(IchHcr.LRENPIE);
    expect(h.iar()).toBe(41);
    h.eoi(41);
    h.eoi(40);
    h.exit(0);
    expect([h.isActive(40), h.isActive(41), h.listed(0)]).toEqual([false, false, []]);
    h.inject(40);
    expect(h.drain()).toEqual([40]);
  });

  it("R52: user space does not reach a line that the kernel owns", () => {
    const h = new VgicStage();
    const timer = {};
    run(h.vgic.setOwner(0, 27, timer));
    h.enable(27);
    expect(h.inject(27, true, 0)).toBe(0);
    expect([h.isPending(27), h.listed(0)]).toEqual([false, []]);
  });
});

describe("the end of a level interrupt", () => {
  it("is told to its listener before the state changes, with no lock held", () => {
    const h = new VgicStage();
    h.enable(40, 0xa0, VgicConfig.LEVEL);
    h.inject(40);
    expect(h.iar()).toBe(40);
    h.cycle(0);
    const seen: boolean[] = [];
    h.vm.acks.onAck = function* () {
      seen.push(h.irq(40).lock.isOpen());
      seen.push(h.isActive(40));
      yield* h.vgic.inject(-1, 40, false, null);
    };
    h.eoi(40);
    expect(seen).toEqual([true, true]);
    expect([h.vm.acks.acked, h.isPending(40), h.listed(0)]).toEqual([["0:8"], false, []]);
  });

  it("a line raised again by the listener is delivered again", () => {
    const h = new VgicStage();
    h.enable(40, 0xa0, VgicConfig.LEVEL);
    h.inject(40);
    h.vm.acks.onAck = function* () {
      yield* h.vgic.inject(-1, 40, false, null);
      if (h.vm.acks.acked.length === 1) yield* h.vgic.inject(-1, 40, true, null);
    };
    expect(h.drain()).toEqual([40, 40]);
    expect(h.maintenanceExits).toBe(2);
  });

  it("is not told for a mapped interrupt", () => {
    const h = new VgicStage();
    run(h.vgic.mapPhysicalIrq(-1, 40, 77));
    h.enable(40, 0xa0, VgicConfig.LEVEL);
    h.inject(40);
    run(h.gic.setActive(0, 77, true));
    expect(h.drain()).toEqual([40]);
    h.exit(0);
    expect([h.vm.acks.acked, h.gic.isActive(0, 77), h.maintenanceExits]).toEqual([[], false, 0]);
    expect(h.inject(40)).toBe(0);
    expect(h.drain()).toEqual([40]);
  });

  it("with software resampling deactivates the physical interrupt at the fold, without a linked list register", () => {
    const h = new VgicStage();
    let isHigh = true;
    const ops = {
      swResample: true,
      *getInputLevel(): Step<boolean> {
        return isHigh;
      },
    };
    run(h.vgic.mapPhysicalIrq(0, 27, 27, ops));
    h.enable(27);
    run(h.gic.setActive(0, 27, true));
    h.inject(27, true, 0);
    expect(h.iar()).toBe(27);
    expect(h.lr(0, 0)).toBe("90a002000000001b");
    isHigh = false;
    h.inject(27, false, 0);
    expect(h.gic.isActive(0, 27)).toBe(true);
    h.eoi(27);
    expect(h.gic.isActive(0, 27)).toBe(false);
  });
});
