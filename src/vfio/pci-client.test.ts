import { describe, expect, it } from "vitest";
import { Command, Pci } from "../arch/pci/config-registers.js";
import { run, type Step } from "../sim/step.js";
import { EINVAL, EOVERFLOW } from "../uapi/errno.js";
import * as uapi from "../uapi/vfio.js";
import { EVENTFD, MSI, MSIX, NONE, PciStage, type PciStageOptions, REGION, RemappingStub, TRIGGER } from "../explore/stages/pci-stage.js";
import { IommuStage, MAPPING_KINDS } from "./iommu/iommu-stage.fixture.js";

// What clients rely on (vfio.md 22.1: the kernel's self tests, translated), and what isolation is for (20.1).

/** A container with type1, with type1v2, an iommufd that stands for either, and an iommufd of its own kind. */
const VARIANTS = MAPPING_KINDS.filter(({ type, isNative }) => isNative || type === uapi.VFIO_TYPE1_IOMMU || type === uapi.VFIO_TYPE1v2_IOMMU);
const WHOLE_SPACE: PciStageOptions = { apertureEnd: 0xffff_ffff_ffff_ffffn };

describe.each(VARIANTS)("22.1: the kernel's self tests with $name", (kind) => {
  const ready = (options: PciStageOptions = {}): { world: IommuStage; c: number; d: number } => {
    const world = new IommuStage(kind, options);
    const { c, g } = world.container();
    return { world, c, d: world.deviceA(g) };
  };

  it("the version is 0, a group is viable before it is in a container, and the type is known before it is chosen", () => {
    const world = new IommuStage(kind);
    const c = world.open(kind.isIommufd ? "/dev/iommu" : "/dev/vfio/vfio");
    const g = world.groupFile(world.A);
    expect([world.call(g, uapi.VFIO_GROUP_GET_STATUS, 8), world.answer(4)]).toEqual([0, uapi.VFIO_GROUP_FLAGS_VIABLE]);
    if (kind.isNative) return;
    expect(world.setContainer(g, c)).toBe(0);
    expect([world.ioctl(c, uapi.VFIO_GET_API_VERSION, 0), world.ioctl(c, uapi.VFIO_CHECK_EXTENSION, kind.type), world.ioctl(c, uapi.VFIO_SET_IOMMU, kind.type)]).toEqual([0, 1, 0]);
  });

  it("tell a device before they use it: info, every region, every interrupt; each region with MMAP is mapped", () => {
    const { world, d } = ready();
    expect(world.call(d, uapi.VFIO_DEVICE_GET_INFO, 24)).toBe(0);
    const [regions, irqs] = [world.answer(8), world.answer(12)];
    const mapped: number[] = [];
    for (let index = 0; index < regions; index++) {
      const result = world.call(d, uapi.VFIO_DEVICE_GET_REGION_INFO, 40, 0, index, 0);
      expect(result).toBe(index === 8 ? -EINVAL : 0);
      if (result !== 0 || !(world.answer(4) & uapi.VFIO_REGION_INFO_FLAG_MMAP)) continue;
      const size = Number(world.answer64(16));
      expect(run(world.process.mmap(d, size, index * REGION, true))).toBeGreaterThan(0);
      mapped.push(index);
    }
    expect(mapped).toEqual([0, 2]);
    for (let index = 0; index < irqs; index++) expect(world.call(d, uapi.VFIO_DEVICE_GET_IRQ_INFO, 16, 0, index, 0)).toBe(0);
  });

  it("vendor and device in configuration space are those of sysfs", () => {
    const { world, d } = ready();
    const inSysfs = (file: string): number => Number(world.cat(`/sys/bus/pci/devices/${world.A.name}/${file}`));
    expect([world.configRead(d, Pci.VENDOR_ID, 2), world.configRead(d, Pci.DEVICE_ID, 2)]).toEqual([inSysfs("vendor"), inSysfs("device")]);
  });

  it("the device masters the bus once its user says so: clear at open, written, read back, and clear after the close", () => {
    const { world, d } = ready();
    const isMaster = (): boolean => (world.configRead(d, Pci.COMMAND, 2) & Command.MASTER) !== 0;
    expect(isMaster()).toBe(false);
    expect(world.configWrite(d, Pci.COMMAND, 2, world.configRead(d, Pci.COMMAND, 2) | Command.MASTER)).toBe(2);
    expect([isMaster(), world.A.fn.isMaster]).toEqual([true, true]);
    run(world.process.exit());
    expect(world.A.fn.isMaster).toBe(false);
  });

  it.each([MSI, MSIX])("index %i: enable all in one call, trigger each, read 1, disable; and again", (index) => {
    const { world, d } = ready();
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

  it("a device whose RESET flag is set is reset, and its interrupts stay configured; without the flag there is none", () => {
    const { world, d } = ready();
    const E = world.eventfd();
    expect(world.setIrqs(d, MSI, EVENTFD | TRIGGER, 0, 1, E)).toBe(0);
    expect([world.call(d, uapi.VFIO_DEVICE_GET_INFO, 24), world.answer(4) & uapi.VFIO_DEVICE_FLAGS_RESET]).toEqual([0, uapi.VFIO_DEVICE_FLAGS_RESET]);
    world.machine.trace.clear();
    expect(world.ioctl(d, uapi.VFIO_DEVICE_RESET, 0)).toBe(0);
    expect(world.machine.trace.lines("pci_reset")).toEqual([`pci_reset(${world.A.name},flr)`]);
    expect([world.setIrqs(d, MSI, NONE | TRIGGER, 0, 1), world.take(E)]).toEqual([0, 1]);
    const fixed = ready({ noReset: true });
    expect([fixed.world.call(fixed.d, uapi.VFIO_DEVICE_GET_INFO, 24), fixed.world.answer(4) & uapi.VFIO_DEVICE_FLAGS_RESET]).toEqual([0, 0]);
    expect(fixed.world.ioctl(fixed.d, uapi.VFIO_DEVICE_RESET, 0)).toBe(-EINVAL);
  });

  it("DMA: a mapping is 0, and what goes is told to the byte, one or all", () => {
    const { world, c } = ready();
    expect([world.map(c, 0x1000n, 0x3000n), world.map(c, 0x8000n, 0x1000n), world.map(c, 0x10_0000n, 0x2000n)]).toEqual([0, 0, 0]);
    expect(world.unmap(c, 0x8000n, 0x1000n)).toEqual([0, 0x1000n]);
    expect(world.unmapAll(c)).toEqual([0, 0x5000n]);
    for (const iova of [0x1000, 0x8000, 0x10_0000]) expect(world.dmaRead(iova)).toBeNull();
  });

  it("DMA: up to the very last page of 64 bits, by name and by ALL; one page more overflows, mapped or unmapped, and changes nothing", () => {
    const { world, c } = ready(WHOLE_SPACE);
    const top = 0xffff_ffff_ffff_e000n;
    for (const unmap of [() => world.unmap(c, top, 0x2000n), () => world.unmapAll(c)]) {
      expect(world.map(c, top, 0x3000n)).toBe(-EOVERFLOW);
      expect(world.map(c, top, 0x2000n)).toBe(0);
      expect(world.unmap(c, top, 0x3000n)[0]).toBe(-EOVERFLOW);
      expect(unmap()).toEqual([0, 0x2000n]);
    }
    expect(world.process.lockedMemory).toBe(0);
  });

  it("DMA: the ranges of addresses are some, in order, apart, and just what can be mapped", () => {
    const { world, c } = ready();
    const ranges = world.iovaRanges(c);
    expect(ranges.length).toBeGreaterThan(0);
    let next = 0n;
    for (const { start, end } of ranges) {
      expect([start >= next, end > start]).toEqual([true, true]);
      next = end + 1n;
      const [first, last] = [start, end - 0xfffn];
      expect([world.map(c, first, 0x1000n), world.map(c, last, 0x1000n), world.map(c, next, 0x1000n)]).toEqual([0, 0, -EINVAL]);
    }
    expect(ranges).toEqual([{ start: 0n, end: 0xfedf_ffffn }, { start: 0xfef0_0000n, end: 0x7f_ffff_ffffn }]);
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
