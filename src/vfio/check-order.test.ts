import { describe, expect, it } from "vitest";
import { PciFunction } from "../device/pci/function.js";
import { IommuGroup, type TceGeometry } from "../host/iommu/group.js";
import { PciDevice } from "../host/pci/pci-device.js";
import { EACCES, EBADF, EBADFD, EBUSY, EEXIST, EINVAL, ENODEV, ENOSPC, ENXIO, EOVERFLOW, EPERM } from "../uapi/errno.js";
import * as uapi from "../uapi/vfio.js";
import { MEMORY, VfioStage, type VfioStageOptions } from "../explore/stages/vfio-stage.js";
import { CLOSED, pipeOf, PciStage, type PciStageOptions } from "../explore/stages/pci-stage.js";
import { DmaLog } from "./migration/dma-log.js";
import { SpaprBackend } from "./iommu/spapr.js";

// Requests that are wrong twice: which errno is told. The order is that of vfio.md, section by section.

const OTHER = "0000:07:00.0";
const TCE: TceGeometry = { windowStart: 0n, windowSize: 0x10_0000n, dynamicPageSizes: 0x1_1000n, maxLevels: 4, format: "p7ioc" };
const LAST_PAGE = 0xffff_ffff_ffff_f000n;
const half = (value: bigint): number[] => [Number(BigInt.asUintN(32, value)), Number(value >> 32n)];

function ready(options: VfioStageOptions = {}) {
  const world = new VfioStage(options);
  return { world, ...world.ready() };
}

/** A function more, on a bus of its own. */
function withFunction(options: PciStageOptions, group: ((world: PciStage) => IommuGroup) | null): PciStage {
  const world = new PciStage(options);
  const fn = new PciFunction({ name: OTHER, requesterId: 0x700, vendor: 0x8086, device: 0x10d3, classCode: 0x020000 });
  world.pciBus.addDevice(new PciDevice(world.root, fn, { bus: world.root.addBus(7, false), group: group?.(world) ?? null }));
  world.bind(OTHER);
  return world;
}

describe("groups", () => {
  it("4.2: who may not do raw I/O is told so, open or not (EPERM before EBUSY)", () => {
    const world = withFunction({ core: { enableUnsafeNoiommuMode: true }, capabilities: ["SYS_RAWIO"] }, null);
    const weak = world.newProcess("weak");
    expect(world.open("/dev/vfio/noiommu-100")).toBeGreaterThanOrEqual(0);
    expect([world.open("/dev/vfio/noiommu-100", weak), world.open("/dev/vfio/noiommu-100")]).toEqual([-EPERM, -EBUSY]);
  });

  it("4.4: a group that has a container says so before it looks what the descriptor is (EINVAL before EBADFD)", () => {
    const world = new PciStage();
    const { g } = world.ready();
    const pipe = pipeOf(world);
    expect([world.setContainer(g, pipe), world.setContainer(g, CLOSED)]).toEqual([-EINVAL, -EBADF]);
    const free = new PciStage({ separateGroups: true });
    expect(free.setContainer(free.open("/dev/vfio/13"), pipeOf(free))).toBe(-EBADFD);
  });

  it("4.6: a name that no device has is not found, container or none (ENODEV before EINVAL)", () => {
    const world = new PciStage();
    const g = world.open("/dev/vfio/12");
    expect([world.deviceFd(g, "0000:06:00.7"), world.deviceFd(g, world.A.name)]).toEqual([-ENODEV, -EINVAL]);
  });

  it("6.2: a token that is not the device's comes before a descriptor that is none (EACCES before EBADF)", () => {
    const world = new PciStage({ vfio: { enableSriov: true } });
    const fn = new PciFunction({ name: "0000:08:00.0", requesterId: 0x800, vendor: 0x8086, device: 0x10ca, classCode: 0x020000 });
    const { name } = new PciDevice(world.root, fn, { bus: world.root.addBus(8, false), group: new IommuGroup(world.sim, 20), physicalFunction: world.A });
    world.write("/sys/bus/pci/drivers/vfio-pci/unbind", world.A.name);
    world.bind(world.A.name);
    world.write("/sys/bus/pci/devices/0000:06:00.0/sriov_numvfs", "1");
    const device = world.pciDriver.deviceOf(name);
    if (device === null) throw new Error("no virtual function");
    const d = world.open(`/dev/vfio/devices/vfio${world.vfio.cdevOf(device)}`);
    expect(world.call(d, uapi.VFIO_DEVICE_BIND_IOMMUFD, 16, 0, CLOSED, 0)).toBe(-EACCES);
  });
});

describe("devices", () => {
  it("12.5: a structure that is wrong comes before a bus that cannot be reset (EINVAL before ENODEV)", () => {
    const world = new PciStage({ noReset: true });
    const { g, d } = world.ready();
    expect(world.call(d, uapi.VFIO_DEVICE_PCI_HOT_RESET, 11, 0, 1, g)).toBe(-EINVAL);
    expect(world.call(d, uapi.VFIO_DEVICE_PCI_HOT_RESET, 16, 1, 1, g)).toBe(-EINVAL);
    expect(world.call(d, uapi.VFIO_DEVICE_PCI_HOT_RESET, 16, 0, 1, g)).toBe(-ENODEV);
  });

  it("12.6: what is there already comes before a full list and before a descriptor that is none (EEXIST, ENOSPC, EBADF)", () => {
    const world = new PciStage();
    const { d } = world.ready();
    const E = world.eventfd();
    const add = (data: number, fd: number): number => world.call(d, uapi.VFIO_DEVICE_IOEVENTFD, 28, 4, 0x10, 0, data, 0, fd, 0);
    expect([add(0, E), add(0, CLOSED), add(1, CLOSED)]).toEqual([0, -EEXIST, -EBADF]);
    for (let data = 1; data < 1000; data++) expect(add(data, E)).toBe(0);
    expect([add(1000, E), add(1000, CLOSED), add(999, E), add(999, -1), add(1000, E)]).toEqual([-ENOSPC, -ENOSPC, -EEXIST, 0, 0]);
  });

  it("15.4: in one range what is not aligned comes before what goes past the end (EINVAL before EOVERFLOW)", () => {
    const world: PciStage = new PciStage({ vfio: { dmaLog: (pci) => new DmaLog(pci.root.host.sim) } });
    const { d } = world.ready();
    const start = (iova: bigint, length: bigint): number => {
      [...half(iova), ...half(length)].forEach((word, i) => world.process.memory.setU32(0x2000 + 4 * i, word));
      return world.call(d, uapi.VFIO_DEVICE_FEATURE, 32, uapi.VFIO_DEVICE_FEATURE_SET | 6, 0x1000, 0, 1, 0, 0x2000, 0);
    };
    expect([start(LAST_PAGE, 0x2000n), start(LAST_PAGE, 0x2800n), start(0n, 0x1000n)]).toEqual([-EOVERFLOW, -EINVAL, 0]);
  });
});

describe("type 1", () => {
  it("17.3: nothing joins while a mapping waits for its new address (EBUSY first)", () => {
    const world = new PciStage({ separateGroups: true });
    const { c } = world.ready();
    const other = world.open("/dev/vfio/13");
    world.map(c, 0n, 0x1000n);
    expect(world.unmap(c, 0n, 0x1000n, uapi.VFIO_DMA_UNMAP_FLAG_VADDR)[0]).toBe(0);
    expect(world.setContainer(other, c)).toBe(-EBUSY);
    expect(world.map(c, 0n, 0x1000n, MEMORY, uapi.VFIO_DMA_MAP_FLAG_VADDR)).toBe(0);
    expect(world.setContainer(other, c)).toBe(0);
  });

  it("17.3, 7: a group whose IOMMU has larger pages than a mapping begins with does not join (EINVAL), and takes nothing along", () => {
    const world = withFunction({}, ({ sim }) => new IommuGroup(sim, 20, { iommu: "of 64 KiB", pageSizes: 0x1_0000n }));
    const { c } = world.ready();
    const other = world.open("/dev/vfio/20");
    expect([world.map(c, 0n, 0x1000n), world.setContainer(other, c)]).toEqual([0, -EINVAL]);
    expect([world.unmap(c, 0n, 0x1000n)[0], world.map(c, 0n, 0x1_0000n), world.setContainer(other, c)]).toEqual([0, 0, 0]);
    expect(world.map(c, 0x1_0000n, 0x1000n)).toBe(-EINVAL);
  });

  it("17.4: IOMMU_GET_INFO writes no byte behind argsz", () => {
    const { world, c } = ready();
    const info = (argsz: number): number => world.call(c, uapi.VFIO_IOMMU_GET_INFO, argsz, 0, 0, 0, 0x5555_5555, 0x6666_6666, 0x7777_7777);
    expect([info(16), world.answer(8), world.answer(16), world.answer(20)]).toEqual([0, 0x4020_1000, 0x5555_5555, 0x6666_6666]);
    expect([info(20), world.answer(16), world.answer(20), world.answer(24)]).toEqual([0, 0, 0x6666_6666, 0x7777_7777]);
    expect([info(24), world.answer(16), world.answer(20), world.answer(24)]).toEqual([0, 0, 0, 0x7777_7777]);
  });

  it("17.5: an overlap comes before the limit of mappings, and that before the ranges (EEXIST, ENOSPC, EINVAL)", () => {
    const { world, c } = ready({ dmaEntryLimit: 1 });
    expect([world.map(c, 0xfedf_f000n, 0x1000n), world.map(c, 0xfedf_f000n, 0x2000n), world.map(c, 0xfee0_0000n, 0x1000n)]).toEqual([0, -EEXIST, -ENOSPC]);
    world.unmap(c, 0xfedf_f000n, 0x1000n);
    expect(world.map(c, 0xfee0_0000n, 0x1000n)).toBe(-EINVAL);
  });

  it("17.5: what wraps comes before flags that do not fit, and before what is not aligned (EOVERFLOW before EINVAL)", () => {
    const { world, c } = ready();
    expect([world.map(c, LAST_PAGE + 0x800n, 0x1000n), world.map(c, LAST_PAGE, 0x2000n, MEMORY, 0), world.map(c, 0n, 0x2000n, LAST_PAGE)]).toEqual([-EOVERFLOW, -EOVERFLOW, -EOVERFLOW]);
    expect(world.map(c, LAST_PAGE + 0x800n, 0n)).toBe(-EINVAL);
  });

  function unmapping(c: number, world: VfioStage) {
    return (flags: number, iova: bigint, size: bigint, bitmapBytes = 8n): number =>
      world.call(c, uapi.VFIO_IOMMU_UNMAP_DMA, 48, flags, ...half(iova), ...half(size), ...half(0x1000n), ...half(bitmapBytes), 0x2000, 0);
  }

  it("17.6: a bitmap goes with neither ALL nor VADDR, and is of 2^31 bits at most", () => {
    const { world, c } = ready();
    const unmap = unmapping(c, world);
    world.map(c, 0n, 0x1000n);
    expect(world.call(c, uapi.VFIO_IOMMU_DIRTY_PAGES, 8, uapi.VFIO_IOMMU_DIRTY_PAGES_FLAG_START)).toBe(0);
    // As each would be without the bitmap, or without the other flag: done.
    expect([unmap(1 | 2, 0n, 0n), unmap(1 | 4, 0n, 0x1000n), unmap(1 | 2, 0n, 0x1000n)]).toEqual([-EINVAL, -EINVAL, -EINVAL]);
    expect(unmap(1, 0n, 0x1000n, 2n ** 28n + 8n)).toBe(-EINVAL);
    expect(unmap(1, 0n, 0x1000n, 2n ** 28n)).toBe(0);
  });

  it("17.6: what wraps comes before a bitmap that nobody keeps (EOVERFLOW before EINVAL)", () => {
    const { world, c } = ready();
    const unmap = unmapping(c, world);
    expect([unmap(1, LAST_PAGE, 0x2000n), unmap(1, 0n, 0x1000n)]).toEqual([-EOVERFLOW, -EINVAL]);
  });
});

describe("SPAPR", () => {
  function spapr(format: string): { world: PciStage; c: number; other: number } {
    const world = withFunction({ tce: TCE }, ({ sim }) => new IommuGroup(sim, 20, { tce: { ...TCE, format } }));
    world.vfio.registerIommu(new SpaprBackend(world.sim));
    return { world, c: world.ready(uapi.VFIO_SPAPR_TCE_v2_IOMMU).c, other: world.open("/dev/vfio/20") };
  }

  it("18: groups share tables of one format, and no others (EPERM)", () => {
    const different = spapr("ioda2");
    expect(different.world.setContainer(different.other, different.c)).toBe(-EPERM);
    const alike = spapr("p7ioc");
    expect(alike.world.setContainer(alike.other, alike.c)).toBe(0);
  });

  it("18: an address that no window has comes before a mapping without a direction (ENXIO before EINVAL)", () => {
    const { world, c } = spapr("p7ioc");
    expect(world.call(c, uapi.VFIO_IOMMU_SPAPR_REGISTER_MEMORY, 24, 0, MEMORY, 0, 0x1000, 0)).toBe(0);
    expect([world.map(c, 0x4000_0000n, 0x1000n, MEMORY, 0), world.map(c, 0n, 0x1000n, MEMORY, 0)]).toEqual([-ENXIO, -EINVAL]);
  });
});
