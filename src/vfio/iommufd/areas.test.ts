import { describe, expect, it } from "vitest";
import { EADDRINUSE, EINVAL, ENOENT } from "../../uapi/errno.js";
import * as iommufd from "../../uapi/iommufd.js";
import * as uapi from "../../uapi/vfio.js";
import { MEMORY } from "../../explore/stages/vfio-stage.js";
import { half, IommuStage, type Kind } from "../iommu/iommu-stage.fixture.js";
import { HUGE, HwptStage } from "./hwpt-stage.fixture.js";

// The areas of an address space, where they are cut, and what of them is pinned (drivers/iommu/iommufd/{io_pagetable,pages}.c).

const COMPAT_V1: Kind = { name: "iommufd as type1 v1", type: uapi.VFIO_TYPE1_IOMMU, isIommufd: true };
const BEYOND = 2 ** 48;

describe("an iommufd as type 1 v1", () => {
  it("cuts what is mapped at pages alone: UNMAP of half a page is refused, and leaves no DMA behind when all goes", () => {
    const world = new IommuStage(COMPAT_V1);
    const { c } = world.container();
    world.map(c, 0n, 0x4000n);
    expect([world.unmap(c, 0x800n, 0x800n), world.unmap(c, 0x1000n, 0x1800n), world.unmap(c, 1n, 0xfffn)]).toEqual([[-EINVAL, 0x800n], [-EINVAL, 0x1800n], [-ENOENT, 0n]]);
    expect([world.dmaRead(0x800, 1), world.process.lockedMemory]).toEqual([[0], 0x4000]);
    expect(world.unmap(c, 0n, 0x4000n)).toEqual([0, 0x4000n]);
    expect([0, 0x800, 0x2000, 0x3fff].map((iova) => world.dmaRead(iova, 1))).toEqual([null, null, null, null]);
  });

  it("gives the account back page by page: what was cut out is no longer locked", () => {
    const world = new IommuStage(COMPAT_V1);
    const { c } = world.container();
    world.map(c, 0n, 0x4000n);
    const locked: number[] = [];
    for (const [iova, size] of [[0x1000n, 0x1000n], [0x3000n, 0x1000n], [0n, 0x1000n], [0x2000n, 0x1000n]]) {
      expect(world.unmap(c, iova, size)).toEqual([0, size]);
      locked.push(world.process.lockedMemory);
    }
    expect(locked).toEqual([0x3000, 0x2000, 0x1000, 0]);
  });

  it("can still be chosen when a device is open and nothing is mapped, and cuts memory in large pages from then on", () => {
    const world = new IommuStage({ ...COMPAT_V1, type: uapi.VFIO_TYPE1v2_IOMMU });
    const { c } = world.container();
    world.process.memory.map(HUGE, 0x20_0000, { pageSize: 0x20_0000 });
    world.map(c, 0n, 0x1000n);
    expect(world.ioctl(c, uapi.VFIO_SET_IOMMU, uapi.VFIO_TYPE1_IOMMU)).toBe(-EINVAL);
    world.unmap(c, 0n, 0x1000n);
    expect(world.ioctl(c, uapi.VFIO_SET_IOMMU, uapi.VFIO_TYPE1_IOMMU)).toBe(0);
    expect([world.map(c, 0n, 0x20_0000n, HUGE), world.unmap(c, 0x1000n, 0x1000n)]).toEqual([0, [0, 0x1000n]]);
    expect([0xfff, 0x1000, 0x2000].map((iova) => world.dmaRead(iova, 1))).toEqual([[0], null, [0]]);
  });
});

describe("what an address space has mapped", () => {
  const copy = (world: HwptStage, from: number, to: number, length: number): number =>
    world.call(world.iommu, iommufd.IOMMU_IOAS_COPY, 40, 7, to, world.ioas, ...half(length), ...half(0), ...half(from));
  const other = (world: HwptStage): number => {
    expect(world.call(world.iommu, iommufd.IOMMU_IOAS_ALLOC, 12, 0, 0)).toBe(0);
    const ioas = world.answer(8);
    expect(world.alloc(0, world.device, ioas)).toBeGreaterThan(0);
    return ioas;
  };

  it("is pinned where a domain needs it, and once: of a copy its own pages, of what two have each page", () => {
    const world = new HwptStage();
    world.ioasMap(0x1000, 0x8000);
    const ioas = other(world);
    expect([copy(world, 0x2000, ioas, 0x2000), world.process.lockedMemory]).toEqual([0, 0x2000]);
    const hwpt = world.alloc(0);
    expect(world.process.lockedMemory).toBe(0x8000);
    expect([world.destroy(hwpt), world.process.lockedMemory]).toEqual([0, 0x2000]);
  });

  it("is what was pinned first: a copy of it does not reach what its process has mapped there since", () => {
    const world = new HwptStage();
    const [ioas, hwpt] = [other(world), world.alloc(0)];
    world.ioasMap(0x1000, 0x3000);
    world.process.memory.setU8(MEMORY + 0x1000, 7);
    world.process.memory.unmap(MEMORY, 0x3000);
    world.process.memory.map(MEMORY, 0x3000);
    expect([copy(world, 0x2000, ioas, 0x1000), world.attach(ioas)]).toEqual([0, 0]);
    expect([world.reads(0), world.destroy(hwpt), world.reads(0), world.process.lockedMemory]).toEqual([7, 0, 7, 0x1000]);
  });

  it("goes area by area: UNMAP ends with -ENOENT at one that reaches out of its range, with those before it gone", () => {
    const world = new HwptStage();
    expect(world.attach(world.ioas)).toBe(0);
    for (const iova of [0x1000, 0x2000, 0x4000]) world.ioasMap(iova, iova);
    const unmap = (iova: number, length: number): unknown[] => [world.call(world.iommu, iommufd.IOMMU_IOAS_UNMAP, 24, world.ioas, ...half(iova), ...half(length)), world.answer64(16)];
    expect([unmap(0x1000, 0x4000), [0x1000, 0x2000, 0x4000].map((iova) => world.reads(iova))]).toEqual([[-ENOENT, 0x4000n], [-1, -1, 0]]);
    expect([unmap(0x1000, 0x7000), world.reads(0x7fff), world.process.lockedMemory]).toEqual([[0, 0x4000n], -1, 0]);
  });

  it("that does not fit a page table keeps it from being made: -EADDRINUSE beyond its last address or not of whole pages", () => {
    const world = new HwptStage({ apertureEnd: BigInt(BEYOND) - 1n });
    const unmap = (iova: number, length: number): number => world.call(world.iommu, iommufd.IOMMU_IOAS_UNMAP, 24, world.ioas, ...half(iova), ...half(length));
    world.process.memory.map(HUGE, 0x40_0000, { pageSize: 0x20_0000 });
    expect([world.ioasMap(0, 0x40_0000, HUGE), world.ioasMap(BEYOND, 0x1000)]).toEqual([0, 0]);
    expect([world.alloc(0), world.attach(world.ioas), unmap(BEYOND, 0x1000)]).toEqual([-EADDRINUSE, -EADDRINUSE, 0]);
    expect([world.ioasMap(0x50_0001, 1), world.alloc(0), unmap(0x50_0001, 1)]).toEqual([0, -EADDRINUSE, 0]);
    expect([world.ioasMap(0xfee0_0000, 0x1000), world.process.lockedMemory]).toEqual([0, 0]);
    const hwpt = world.alloc(0);
    // What the group reserves is asked at the attach.
    expect([hwpt > 0, world.attach(hwpt), unmap(0xfee0_0000, 0x1000), world.attach(hwpt)]).toEqual([true, -EADDRINUSE, 0, 0]);
  });

  it("ends at the last address of a page table that nobody is attached to", () => {
    const world = new HwptStage({ apertureEnd: BigInt(BEYOND) - 1n });
    const hwpt = world.alloc(0);
    expect(world.ioasMap(BEYOND, 0x1000)).toBe(-EINVAL);
    expect([world.call(world.iommu, iommufd.IOMMU_IOAS_IOVA_RANGES, 32, world.ioas, 0, 0, 0, 0, 0, 0), world.answer(8)]).toEqual([-90, 1]);
    expect([world.destroy(hwpt), world.ioasMap(BEYOND, 0x1000)]).toEqual([0, 0]);
  });

  it("large pages are given up for good ones alone: OPTION refuses it over an area that is not of whole pages", () => {
    const world = new HwptStage();
    const setLarge = (value: number): number => world.call(world.iommu, iommufd.IOMMU_OPTION, 24, iommufd.IOMMU_OPTION_HUGE_PAGES, iommufd.IOMMU_OPTION_OP_SET, world.ioas, value, 0);
    world.ioasMap(0x5001, 1);
    expect([setLarge(0), setLarge(1)]).toEqual([-EADDRINUSE, 0]);
  });
});
