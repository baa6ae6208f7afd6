import { describe, expect, it } from "vitest";
import { run, type Step } from "../sim/step.js";
import * as uapi from "../uapi/vfio.js";
import { EVENTFD, MSI, MSIX, NONE, PciStage, REGION, RemappingStub, TRIGGER } from "../explore/stages/pci-stage.js";

// What clients rely on (vfio.md 22.1: the kernel's self tests, translated), and what isolation is for (20.1).

describe("22.1: the kernel's self tests", () => {
  it("tell a device before they use it: info, every region, every interrupt; each region with MMAP is mapped", () => {
    const world = new PciStage();
    const { d } = world.ready();
    expect(world.call(d, uapi.VFIO_DEVICE_GET_INFO, 24)).toBe(0);
    const [regions, irqs] = [world.answer(8), world.answer(12)];
    const mapped: number[] = [];
    for (let index = 0; index < regions; index++) {
      const result = world.call(d, uapi.VFIO_DEVICE_GET_REGION_INFO, 40, 0, index, 0);
      expect(result).toBe(index === 8 ? -22 : 0);
      if (result !== 0 || !(world.answer(4) & uapi.VFIO_REGION_INFO_FLAG_MMAP)) continue;
      const size = Number(world.answer64(16));
      expect(run(world.process.mmap(d, size, index * REGION, true))).toBeGreaterThan(0);
      mapped.push(index);
    }
    expect(mapped).toEqual([0, 2]);
    for (let index = 0; index < irqs; index++) expect(world.call(d, uapi.VFIO_DEVICE_GET_IRQ_INFO, 16, 0, index, 0)).toBe(0);
    expect([world.configRead(d, 0, 2), world.configRead(d, 2, 2)]).toEqual([0x8086, 0x10d3]);
  });

  it.each([MSI, MSIX])("index %i: enable all in one call, trigger each, read 1, disable; and again", (index) => {
    const world = new PciStage();
    const { d } = world.ready();
    world.call(d, uapi.VFIO_DEVICE_GET_IRQ_INFO, 16, 0, index, 0);
    const count = Math.min(world.answer(12), 16);
    for (let round = 0; round < 2; round++) {
      const E = Array.from({ length: count }, () => world.eventfd());
      expect(world.setIrqs(d, index, EVENTFD | TRIGGER, 0, count, ...E)).toBe(0);
      for (let i = 0; i < count; i++) {
        expect(world.setIrqs(d, index, NONE | TRIGGER, i, 1)).toBe(0);
        expect(E.map((fd) => Math.max(world.take(fd), 0))).toEqual(E.map((_, at) => (at === i ? 1 : 0)));
      }
      expect(world.setIrqs(d, index, NONE | TRIGGER, 0, 0)).toBe(0);
    }
  });

  it("DMA: a mapping ends at the very top of what there is, and the whole of it is told when it goes", () => {
    const world = new PciStage();
    const { c } = world.ready();
    expect(world.map(c, 0x7f_ffff_f000n, 0x1000n)).toBe(0);
    expect(world.unmap(c, 0n, 0n, uapi.VFIO_DMA_UNMAP_FLAG_ALL)).toEqual([0, 0x1000n]);
  });
});

describe("20.1: messages of a function that writes another's", () => {
  it("arrive where the controller does not know who writes", () => {
    const world = new PciStage({ isMsiIsolated: false, allowUnsafeInterrupts: true });
    const { d } = world.ready();
    const E = world.eventfd();
    world.setIrqs(d, MSI, EVENTFD | TRIGGER, 0, 1, E);
    run(world.root.message(world.B.fn.requesterId, 0, 0xfee0_0000 | 0, 64));
    world.settle();
    expect(world.take(E)).toBe(1);
  });

  it("end in the memory that their address is mapped to, and nowhere else", () => {
    const world = new PciStage();
    const { c, d } = world.ready();
    const E = world.eventfd();
    world.setIrqs(d, MSI, EVENTFD | TRIGGER, 0, 1, E);
    world.map(c, 0x10_0000n, 0x1000n);
    run(world.root.message(world.B.fn.requesterId, 0, 0x10_0010, 0x1234));
    run(world.root.message(world.B.fn.requesterId, 0, 0x20_0010, 0x1234));
    expect([world.process.memory.getU32(0x100_0010), world.take(E) < 0]).toEqual([0x1234, true]);
    expect(world.smmu.events.records).toEqual([{ fault: "F_TRANSLATION", stream: 0x601, iova: 0x20_0010, isWrite: true }]);
  });

  it("are dropped by a group that nobody has attached", () => {
    const world = new PciStage({ smmu: "smmuv2", reserved: [] });
    const doorbell = 0xfee0_0000 | 0;
    let reached = 0;
    const msi = new RemappingStub(world, { baseSpi: 128 });
    world.machine.host.msi = Object.assign(msi, { *write(): Step<boolean> { reached++; return true; } });
    run(world.root.message(0x600, 0, doorbell, 1));
    run(world.pciGroup.claimDmaOwner(world));
    run(world.root.message(0x600, 0, doorbell, 1));
    expect([reached, world.smmu.events.globalFaults]).toEqual([1, 1]);
  });
});
