import { describe, expect, it } from "vitest";
import { IommuDma } from "../host/iommu/dma.js";
import { IommuGroup, SW_MSI_REGION } from "../host/iommu/group.js";
import { PlatformDevice } from "../host/platform-device.js";
import { Smmu } from "../host/smmu.js";
import { run } from "../sim/step.js";
import { EACCES, EEXIST, EFAULT, EINVAL, ENOENT, ENOMEM, ENOSPC, ENOTTY, EOVERFLOW, EPERM } from "../uapi/errno.js";
import * as uapi from "../uapi/vfio.js";
import { ARGUMENTS, MEMORY, MEMORY_SIZE, Registers, Reset, VfioStage, type VfioStageOptions } from "../explore/stages/vfio-stage.js";

const { VFIO_DMA_MAP_FLAG_READ: READ, VFIO_DMA_MAP_FLAG_VADDR: VADDR } = uapi;
const ALL = uapi.VFIO_DMA_UNMAP_FLAG_ALL;

function ready(options: VfioStageOptions = {}, type = uapi.VFIO_TYPE1v2_IOMMU) {
  const world = new VfioStage(options);
  return { world, ...world.ready(type) };
}

describe("MAP_DMA", () => {
  it("vector 82: refuses what is not a mapping", () => {
    const { world, c } = ready();
    expect(world.map(c, 0n, 0n)).toBe(-EINVAL);
    expect(world.map(c, 0x800n, 0x1000n)).toBe(-EINVAL);
    expect(world.map(c, 0n, 0x1000n, MEMORY + 0x800)).toBe(-EINVAL);
    expect(world.map(c, 0n, 0x1000n, MEMORY, 0)).toBe(-EINVAL);
    expect(world.map(c, 0n, 0x1000n, MEMORY, VADDR | READ)).toBe(-EINVAL);
    expect(world.map(c, 0n, 0x1000n, MEMORY, 0x10)).toBe(-EINVAL);
    expect(world.call(c, uapi.VFIO_IOMMU_MAP_DMA, 31)).toBe(-EINVAL);
    expect(world.ioctl(c, uapi.VFIO_IOMMU_MAP_DMA, 0xdead_0000)).toBe(-EFAULT);
    expect(world.ioctl(c, uapi.VFIO_IOMMU_ENABLE, ARGUMENTS)).toBe(-ENOTTY);
  });

  it("vector 83: refuses an overlap, and takes a neighbour", () => {
    const { world, c } = ready();
    expect(world.map(c, 0n, 0x2000n)).toBe(0);
    expect(world.map(c, 0x1000n, 0x1000n)).toBe(-EEXIST);
    expect(world.map(c, 0x2000n, 0x1000n)).toBe(0);
  });

  it("vector 84: keeps off reserved regions", () => {
    const { world, c } = ready();
    expect(world.map(c, 0xfee0_0000n, 0x1000n)).toBe(-EINVAL);
    expect(world.map(c, 0xfedf_f000n, 0x2000n)).toBe(-EINVAL);
    expect(world.map(c, 0xfedf_f000n, 0x1000n)).toBe(0);
    const arm = ready({ reserved: [SW_MSI_REGION] });
    expect(arm.world.map(arm.c, 0x0800_0000n, 0x1000n)).toBe(-EINVAL);
  });

  it("vector 85: goes to the last page of 64 bits, and not beyond", () => {
    const narrow = ready();
    expect(narrow.world.map(narrow.c, 0xffff_ffff_ffff_f000n, 0x1000n)).toBe(-EINVAL);
    expect(narrow.world.map(narrow.c, 0xffff_ffff_ffff_f000n, 0x2000n)).toBe(-EOVERFLOW);
    const full = ready({ apertureEnd: 0xffff_ffff_ffff_ffffn });
    expect(full.world.map(full.c, 0xffff_ffff_ffff_f000n, 0x1000n)).toBe(0);
    expect(full.world.unmap(full.c, 0xffff_ffff_ffff_f000n, 0x1000n)).toEqual([0, 0x1000n]);
  });

  it("vector 86, 23.19: counts locked memory, and leaves a failed call's account as it was", () => {
    const limited = ready({ lockedMemoryLimit: 0x1_0000 });
    expect(limited.world.map(limited.c, 0x10_0000n, 0x1000n)).toBe(0);
    expect(limited.world.map(limited.c, 0n, 0x2_0000n)).toBe(-ENOMEM);
    expect(limited.world.process.lockedMemory).toBe(0x1000);
    expect(limited.world.map(limited.c, 0n, 0xf000n)).toBe(0);
    expect(limited.world.map(limited.c, 0x20_0000n, 0x1000n)).toBe(-ENOMEM);
    limited.world.unmap(limited.c, 0n, 0n, ALL);
    expect(limited.world.process.lockedMemory).toBe(0);
    const able = ready({ lockedMemoryLimit: 0x1_0000, capabilities: ["IPC_LOCK"] });
    expect(able.world.map(able.c, 0n, 0x2_0000n)).toBe(0);
    expect(able.world.process.lockedMemory).toBe(0x2_0000);
  });

  it("faults where memory is not mapped or not writable, and does not count device memory", () => {
    const { world, c } = ready();
    const { memory } = world.process;
    expect(world.map(c, 0n, 0x2000n, MEMORY + MEMORY_SIZE - 0x1000)).toBe(-EFAULT);
    expect(world.map(c, 0n, 0x1000n, 0xffff_ffff_ffff_f000n)).toBe(-EFAULT);
    memory.map(0x4000_0000, 0x1000, { writable: false });
    expect(world.map(c, 0n, 0x1000n, 0x4000_0000)).toBe(-EFAULT);
    expect(world.map(c, 0n, 0x1000n, 0x4000_0000, READ)).toBe(0);
    memory.map(0x5000_0000, 0x1000, { region: new Registers() });
    expect(world.map(c, 0x1000n, 0x1000n, 0x5000_0000)).toBe(0);
    expect(world.process.lockedMemory).toBe(0x1000);
  });

  it("ends at the limit of mappings", () => {
    const { world, c } = ready({ dmaEntryLimit: 1 });
    expect(world.map(c, 0n, 0x1000n)).toBe(0);
    expect(world.map(c, 0x1000n, 0x1000n)).toBe(-ENOSPC);
    world.unmap(c, 0n, 0x1000n);
    expect(world.map(c, 0x1000n, 0x1000n)).toBe(0);
  });
});

describe("UNMAP_DMA", () => {
  it("vector 87: v2 cuts no mapping", () => {
    const { world, c } = ready();
    world.map(c, 0n, 0x3000n);
    expect(world.unmap(c, 0x1000n, 0x1000n)[0]).toBe(-EINVAL);
    expect(world.unmap(c, 0n, 0x2000n)).toEqual([-EINVAL, 0x2000n]);
    expect(world.unmap(c, 0n, 0x3000n)).toEqual([0, 0x3000n]);
  });

  it("vector 88: tells how much there was, nothing being no error", () => {
    const { world, c } = ready();
    world.map(c, 0n, 0x2000n);
    world.map(c, 0x2000n, 0x1000n);
    expect(world.unmap(c, 0n, 0x1_0000n)).toEqual([0, 0x3000n]);
    expect(world.unmap(c, 0n, 0x1_0000n)).toEqual([0, 0n]);
  });

  it("vector 89, 23.20: v1 takes whole mappings that begin in the range, and stops at one that begins before it", () => {
    const { world, c } = ready({}, uapi.VFIO_TYPE1_IOMMU);
    world.map(c, 0n, 0x3000n);
    world.map(c, 0x3000n, 0x1000n);
    expect(world.unmap(c, 0x1000n, 0x1000n)).toEqual([0, 0n]);
    expect(world.unmap(c, 0x1000n, 0x3000n)).toEqual([0, 0n]);
    expect(world.unmap(c, 0n, 0x1000n)).toEqual([0, 0x3000n]);
    expect(run(world.dma.read(0x2000, new Uint8Array(4)))).toBe(false);
    expect(run(world.dma.read(0x3000, new Uint8Array(4)))).toBe(true);
  });

  it("vector 90: ALL takes everything, and no range beside it", () => {
    const { world, c } = ready();
    world.map(c, 0n, 0x2000n);
    world.map(c, 0x10_0000n, 0x1000n);
    expect(world.unmap(c, 0n, 0x1000n, ALL)[0]).toBe(-EINVAL);
    expect(world.unmap(c, 0n, 0n)[0]).toBe(-EINVAL);
    expect(world.unmap(c, 0n, 0n, ALL)).toEqual([0, 0x3000n]);
    expect(world.unmap(c, 0x800n, 0x1000n)[0]).toBe(-EINVAL);
    expect(world.unmap(c, 0xffff_ffff_ffff_f000n, 0x2000n)[0]).toBe(-EOVERFLOW);
    expect(world.unmap(c, 0n, 0x1000n, 8)[0]).toBe(-EINVAL);
  });

  it("vector 91: VADDR marks, keeps the translation, and lets another process give its address", () => {
    const { world, c } = ready();
    world.map(c, 0n, 0x1000n);
    world.map(c, 0x1000n, 0x1000n);
    const { VFIO_DMA_UNMAP_FLAG_VADDR: FORGET } = uapi;
    expect(world.map(c, 0n, 0x1000n, MEMORY, VADDR)).toBe(-EINVAL);
    expect(world.map(c, 0x5000n, 0x1000n, MEMORY, VADDR)).toBe(-ENOENT);
    expect(world.unmap(c, 0x1000n, 0x1000n, FORGET)).toEqual([0, 0x1000n]);
    expect(world.unmap(c, 0n, 0x2000n, FORGET)[0]).toBe(-EINVAL);
    // The failed call took its own marks back.
    expect(world.unmap(c, 0n, 0x1000n, FORGET)).toEqual([0, 0x1000n]);
    expect(run(world.dma.write(0, new Uint8Array([7])))).toBe(true);
    expect(world.map(c, 0n, 0x1000n, MEMORY + 0x1000, VADDR)).toBe(0);
    expect(world.map(c, 0n, 0x1000n, MEMORY + 0x1000, VADDR)).toBe(-EINVAL);
  });

  it("refuses a bitmap with other flags, or too small a one, or without tracking", () => {
    const { world, c } = ready();
    world.map(c, 0n, 0x3000n);
    const BITMAP = uapi.VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP;
    const unmap = (flags: number, pgsize: number, bytes: number, argsz = 48): number =>
      world.call(c, uapi.VFIO_IOMMU_UNMAP_DMA, argsz, flags, 0, 0, 0x3000, 0, pgsize, 0, bytes, 0, MEMORY, 0);
    expect(unmap(BITMAP | ALL, 4096, 8)).toBe(-EINVAL);
    expect(unmap(BITMAP, 4096, 8, 47)).toBe(-EINVAL);
    expect(unmap(BITMAP, 4096, 0)).toBe(-EINVAL);
    expect(unmap(BITMAP, 4096, 8)).toBe(-EINVAL);
    world.call(c, uapi.VFIO_IOMMU_DIRTY_PAGES, 8, 1);
    expect(unmap(BITMAP, 8192, 8)).toBe(-EINVAL);
    expect(unmap(BITMAP, 4096, 8)).toBe(0);
    expect(world.process.memory.getU8(MEMORY)).toBe(7);
  });
});

describe("a bitmap of dirty pages", () => {
  it("17.6, 17.7: has a bit for each page, in words of 64, and is not written beyond its end; a range that wraps is none", () => {
    const { world, c } = ready();
    const { memory } = world.process;
    world.map(c, 0n, 0x4_1000n);
    world.call(c, uapi.VFIO_IOMMU_DIRTY_PAGES, 8, 1);
    const get = (bytes: number, high = 0): number => world.call(c, uapi.VFIO_IOMMU_DIRTY_PAGES, 48, 4, 0, high, 0x4_1000, 0, 4096, 0, bytes, 0, MEMORY, 0);
    const unmap = (bytes: number): number => world.call(c, uapi.VFIO_IOMMU_UNMAP_DMA, 48, uapi.VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP, 0, 0, 0x4_1000, 0, 4096, 0, bytes, 0, MEMORY, 0);
    expect([get(8), get(15), unmap(8), unmap(15), memory.getU64(MEMORY), memory.getU64(MEMORY + 8)]).toEqual([-EINVAL, -EINVAL, -EINVAL, -EINVAL, 0, 0]);
    expect(world.call(c, uapi.VFIO_IOMMU_DIRTY_PAGES, 48, 4, 0xffff_f000, 0xffff_ffff, 0x2000, 0, 4096, 0, 8, 0, MEMORY, 0)).toBe(-EINVAL);
    expect([get(16), memory.getU32(MEMORY + 4), memory.getU64(MEMORY + 8), unmap(16)]).toEqual([0, 0xffff_ffff, 1, 0]);
  });
});

describe("DIRTY_PAGES", () => {
  it("vector 92: starts, reports at the unit only, stops", () => {
    const { world, c } = ready();
    world.map(c, 0x1000n, 0x2000n);
    const dirty = (...words: number[]): number => world.call(c, uapi.VFIO_IOMMU_DIRTY_PAGES, ...words);
    const get = (pgsize: number, iova = 0x1000, size = 0x2000): number => dirty(48, 4, iova, 0, size, 0, pgsize, 0, 8, 0, MEMORY, 0);
    expect(dirty(8, 3)).toBe(-EINVAL);
    expect(dirty(8, 0)).toBe(-EINVAL);
    expect(get(4096)).toBe(-EINVAL);
    expect(dirty(8, 1)).toBe(0);
    expect(dirty(8, 1)).toBe(0);
    expect(get(8192)).toBe(-EINVAL);
    expect(get(4096, 0x1000, 0x1000)).toBe(-EINVAL);
    expect(get(4096, 0, 0x4000)).toBe(0);
    expect(world.process.memory.getU8(MEMORY)).toBe(6);
    expect(dirty(8, 2)).toBe(0);
    expect(dirty(8, 2)).toBe(0);
    const v1 = ready({}, uapi.VFIO_TYPE1_IOMMU);
    expect(v1.world.call(v1.c, uapi.VFIO_IOMMU_DIRTY_PAGES, 8, 1)).toBe(-EACCES);
  });
});

describe("IOMMU_GET_INFO", () => {
  it("tells page sizes, and its capabilities where there is room for all", () => {
    const { world, c } = ready();
    expect(world.call(c, uapi.VFIO_IOMMU_GET_INFO, 15)).toBe(-EINVAL);
    expect(world.call(c, uapi.VFIO_IOMMU_GET_INFO, 24, 0, 0, 0, 9, 9)).toBe(0);
    const needed = world.answer(0);
    expect([needed, world.answer(4), world.answer64(8), world.answer(16)]).toEqual([24 + 32 + 16 + 16 + 32, 3, 0x4020_1000n, 0]);
    expect(world.call(c, uapi.VFIO_IOMMU_GET_INFO, needed)).toBe(0);
    const found = new Map<number, number>();
    for (let at = world.answer(16); at !== 0; at = world.answer(at + 4)) found.set(world.answer(at) & 0xffff, at);
    const ranges = found.get(1) ?? 0;
    expect(world.answer(ranges + 8)).toBe(2);
    expect([16, 24, 32, 40].map((offset) => world.answer64(ranges + offset))).toEqual([0n, 0xfedf_ffffn, 0xfef0_0000n, 0x7f_ffff_ffffn]);
    expect(world.answer((found.get(3) ?? 0) + 8)).toBe(65535);
    expect(world.answer64((found.get(2) ?? 0) + 24)).toBe(2n ** 28n);
  });
});

describe("DMA through a domain", () => {
  it("reaches the pinned frames, also across pages, and keeps to the permissions", () => {
    const { world, c } = ready();
    const { memory } = world.process;
    world.map(c, 0x1_0000n, 0x1000n, MEMORY + 0x3000);
    world.map(c, 0x1_1000n, 0x1000n, MEMORY, READ);
    expect(run(world.dma.write(0x1_0ffe, new Uint8Array([1, 2])))).toBe(true);
    expect(memory.getU8(MEMORY + 0x3fff)).toBe(2);
    memory.setU8(MEMORY, 3);
    const into = new Uint8Array(3);
    expect(run(world.dma.read(0x1_0ffe, into))).toBe(true);
    expect([...into]).toEqual([1, 2, 3]);
    world.machine.trace.clear();
    expect(run(world.dma.write(0x1_1000, into))).toBe(false);
    expect(run(world.dma.read(0x5_0000, into))).toBe(false);
    expect(world.machine.trace.lines("iommu_fault")).toEqual(["iommu_fault(5,69632,1,F_PERMISSION)", "iommu_fault(5,327680,0,F_TRANSLATION)"]);
    world.unmap(c, 0n, 0n, ALL);
    expect(run(world.dma.read(0x1_0000, into))).toBe(false);
    expect(world.dma.faults).toBe(3);
  });

  it("reaches frames that their process has unmapped, and not what it maps there later", () => {
    const { world, c } = ready();
    const { memory } = world.process;
    memory.setU8(MEMORY, 9);
    world.map(c, 0n, 0x2000n);
    memory.unmap(MEMORY, MEMORY_SIZE);
    memory.map(MEMORY, MEMORY_SIZE);
    const into = new Uint8Array(1);
    expect(run(world.dma.read(0, into))).toBe(true);
    expect(into[0]).toBe(9);
    run(world.dma.write(0x1000, new Uint8Array([5])));
    expect([memory.getU8(MEMORY), memory.getU8(MEMORY + 0x1000)]).toEqual([0, 0]);
    expect(run(world.dma.read(0x1000, into))).toBe(true);
    expect(into[0]).toBe(5);
  });

  it("host-irq 90: a stream without a domain is aborted: in silence by SMMUv3, with a global fault by SMMUv2, with an event beyond the table", () => {
    const bytes = new Uint8Array(4);
    for (const [smmu, globalFaults] of [["smmuv3", 0], ["smmuv2", 1]] as const) {
      const world = new VfioStage({ smmu });
      expect(run(world.dma.write(0, bytes))).toBe(false);
      expect(world.smmu.events).toEqual({ records: [], lost: 0, globalFaults });
    }
    const { world, c } = ready();
    world.map(c, 0n, 0x1000n);
    const stranger = new IommuDma(world.smmu, world.group, world.smmu.streams);
    expect(run(stranger.write(0, bytes))).toBe(false);
    expect(world.smmu.events.records).toEqual([{ fault: "C_BAD_STREAMID", stream: world.smmu.streams, iova: 0, isWrite: true }]);
  });

  it("host-irq 96: DMA after UNMAP_DMA faults and reaches nothing", () => {
    const { world, c } = ready();
    world.map(c, 0n, 0x1000n);
    world.unmap(c, 0n, 0x1000n);
    expect(run(world.dma.write(0, new Uint8Array([1])))).toBe(false);
    expect(world.process.memory.getU8(MEMORY)).toBe(0);
    expect(world.smmu.events.records.map((each) => each.fault)).toEqual(["F_TRANSLATION"]);
  });

  it("events beyond the queue are lost, and the device goes on", () => {
    const world = new VfioStage();
    const smmu = new Smmu(world.sim, "smmuv3", { queueLength: 2 });
    world.ready();
    const dma = new IommuDma(smmu, world.group, 6);
    for (let i = 0; i < 3; i++) run(dma.read(0, new Uint8Array(1)));
    expect([smmu.events.records.length, smmu.events.lost]).toEqual([2, 1]);
  });

  it("4.1: SET_IOMMU that fails for one group gives back those it had attached", () => {
    const world = new VfioStage();
    const group = new IommuGroup(world.sim, 20, { isMsiIsolated: false });
    const device = new PlatformDevice(world.sim, "second", { compatible: ["acme,x"], group, reset: new Reset() });
    world.bus.addDevice(device);
    world.write("/sys/bus/platform/devices/second/driver_override", "vfio-platform");
    world.write("/sys/bus/platform/drivers_probe", "second");
    const c = world.open("/dev/vfio/vfio");
    const [first, second] = [world.open("/dev/vfio/12"), world.open("/dev/vfio/20")];
    expect([world.setContainer(first, c), world.setContainer(second, c)]).toEqual([0, 0]);
    expect(world.ioctl(c, uapi.VFIO_SET_IOMMU, uapi.VFIO_TYPE1v2_IOMMU)).toBe(-EPERM);
    expect([world.group, group].map((each) => each.describeOwnership())).toEqual(["user 1 blocking", "user 1 blocking"]);
    expect(world.ioctl(second, uapi.VFIO_GROUP_UNSET_CONTAINER, 0)).toBe(0);
    expect(world.ioctl(c, uapi.VFIO_SET_IOMMU, uapi.VFIO_TYPE1v2_IOMMU)).toBe(0);
  });

  it("5.3: groups of one container share mappings; one that leaves only widens the ranges", () => {
    const { world, c } = ready();
    const group = new IommuGroup(world.sim, 20, { reserved: [SW_MSI_REGION], iommu: "other" });
    const device = new PlatformDevice(world.sim, "second", { compatible: ["acme,x"], group, reset: new Reset() });
    world.bus.addDevice(device);
    world.write("/sys/bus/platform/devices/second/driver_override", "vfio-platform");
    world.write("/sys/bus/platform/drivers_probe", "second");
    const g = world.open("/dev/vfio/20");
    expect(world.map(c, 0x0800_0000n, 0x1000n)).toBe(0);
    expect(world.setContainer(g, c)).toBe(-EINVAL);
    expect(group.describeOwnership()).toBe("kernel 0 default");
    world.unmap(c, 0n, 0n, ALL);
    world.map(c, 0n, 0x1000n);
    expect(world.setContainer(g, c)).toBe(0);
    expect(world.map(c, 0x0800_0000n, 0x1000n)).toBe(-EINVAL);
    const domain = run(group.current());
    expect(typeof domain === "string" ? domain : run(domain.usage()).mappedBytes).toBe(0x1000);
    expect(world.ioctl(g, uapi.VFIO_GROUP_UNSET_CONTAINER, 0)).toBe(0);
    expect(world.map(c, 0x0800_0000n, 0x1000n)).toBe(0);
    expect(run(world.dma.read(0, new Uint8Array(1)))).toBe(true);
  });
});
