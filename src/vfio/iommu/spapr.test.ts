import { describe, expect, it } from "vitest";
import { run } from "../../sim/step.js";
import { EBUSY, EFAULT, EINVAL, EPERM } from "../../uapi/errno.js";
import * as uapi from "../../uapi/vfio.js";
import { ARGUMENTS, MEMORY } from "../../explore/stages/vfio-stage.js";
import { half, IommuStage, type Kind, SPAPR_V1, SPAPR_V2, TCE } from "./iommu-stage.fixture.js";

describe("18: windows of a Power machine", () => {
  const stage = (kind: Kind, options = {}): { world: IommuStage; c: number } => {
    const world = new IommuStage(kind, options);
    return { world, c: world.container().c };
  };

  it("v1: is enabled once, with all of its window on the account", () => {
    const { world, c } = stage(SPAPR_V1);
    expect(world.process.lockedMemory).toBe(0x4000_0000);
    expect(world.ioctl(c, uapi.VFIO_IOMMU_ENABLE, 0)).toBe(-EBUSY);
    expect(world.ioctl(c, uapi.VFIO_IOMMU_DISABLE, 0)).toBe(0);
    expect(world.ioctl(c, uapi.VFIO_IOMMU_DISABLE, 0)).toBe(-EPERM);
    expect([world.map(c, 0n, 0x1000n), world.unmap(c, 0n, 0x1000n)[0], world.process.lockedMemory]).toEqual([-EPERM, -EPERM, 0]);
    Object.assign(world.process, { lockedMemoryLimit: 0x1000 });
    expect(world.ioctl(c, uapi.VFIO_IOMMU_ENABLE, 0)).toBe(-12);
  });

  it("v1: is not enabled where the machine has no window to begin with", () => {
    const world = new IommuStage(SPAPR_V1, { tce: { ...TCE, windowSize: 0n } });
    const c = world.open("/dev/vfio/vfio");
    world.setContainer(world.open("/dev/vfio/12"), c);
    expect([world.ioctl(c, uapi.VFIO_SET_IOMMU, SPAPR_V1.type), world.ioctl(c, uapi.VFIO_IOMMU_ENABLE, 0)]).toEqual([0, -EPERM]);
    expect([world.map(c, 0n, 0x1000n), world.process.lockedMemory]).toEqual([-EPERM, 0]);
  });

  it("v1 knows nothing of windows and registered memory, v2 nothing of enabling", () => {
    const one = stage(SPAPR_V1);
    for (const request of [17, 18, 19, 20]) expect(one.world.call(one.c, 0x3b64 + request, 64)).toBe(-25);
    const two = stage(SPAPR_V2);
    for (const request of [15, 16]) expect(two.world.ioctl(two.c, 0x3b64 + request, 0)).toBe(-25);
  });

  it.each([SPAPR_V1, SPAPR_V2])("$name: tells the window, and outside of it nothing is mapped", (kind) => {
    const { world, c } = stage(kind);
    expect(world.call(c, uapi.VFIO_IOMMU_SPAPR_TCE_GET_INFO, 15)).toBe(-EINVAL);
    expect(world.call(c, uapi.VFIO_IOMMU_SPAPR_TCE_GET_INFO, 32)).toBe(0);
    expect([world.answer(4), world.answer(8), world.answer(12)]).toEqual([kind === SPAPR_V2 ? 1 : 0, 0, 0x4000_0000]);
    if (kind === SPAPR_V2) expect([world.answer64(16), world.answer(28)]).toEqual([0x1_1000n, 4]);
    expect(world.map(c, 0x4000_0000n, 0x1000n)).toBe(-6);
    expect(world.map(c, 0x3fff_f000n, 0x2000n)).toBe(-EINVAL);
    expect(world.unmap(c, 0x4000_0000n, 0x1000n)[0]).toBe(-6);
  });

  it("v2: memory is registered once, on the account, and not let go while it is mapped", () => {
    const { world, c } = stage(SPAPR_V2);
    const UNREGISTER = uapi.VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY;
    expect(world.process.lockedMemory).toBe(0x4_0000);
    expect(world.register(c, MEMORY, 0x4_0000)).toBe(-EBUSY);
    expect(world.register(c, MEMORY + 0x800, 0x1000)).toBe(-EINVAL);
    expect(world.register(c, MEMORY + 0x2_0000, 0x4_0000)).toBe(-EINVAL);
    world.map(c, 0n, 0x2000n);
    expect(world.register(c, MEMORY, 0x4_0000, UNREGISTER)).toBe(-EBUSY);
    world.unmap(c, 0n, 0x1000n);
    expect(world.register(c, MEMORY, 0x4_0000, UNREGISTER)).toBe(-EBUSY);
    world.unmap(c, 0x1000n, 0x1000n);
    expect(world.register(c, MEMORY, 0x2_0000, UNREGISTER)).toBe(-2);
    expect(world.register(c, MEMORY, 0x4_0000, UNREGISTER)).toBe(0);
    expect(world.process.lockedMemory).toBe(0);
    expect(world.map(c, 0n, 0x1000n)).toBe(-EINVAL);
  });

  it("v2: a BAR is no memory to register, and nothing of the refusal stays on the account", () => {
    const world = new IommuStage(SPAPR_V2);
    const { c, g } = world.container();
    const bar = run(world.process.mmap(world.deviceFd(g, world.A.name), 0x1_0000, 0));
    const before = world.process.lockedMemory;
    expect([world.register(c, bar, 0x1_0000), world.process.lockedMemory]).toEqual([-EFAULT, before]);
  });

  it("v2: is one process's memory", () => {
    const { world, c } = stage(SPAPR_V2);
    const other = world.newProcess("other");
    const theirs = world.process.sendFile(c, other);
    expect(world.ioctl(theirs, uapi.VFIO_IOMMU_SPAPR_TCE_GET_INFO, ARGUMENTS, other)).toBe(-EPERM);
  });

  it("v2: makes a second window, of pages that its memory has, and takes it back with what it maps", () => {
    const { world, c } = stage(SPAPR_V2);
    const create = (shift: number, size: bigint, levels = 1): number => world.call(c, uapi.VFIO_IOMMU_SPAPR_TCE_CREATE, 40, 0, shift, 0, ...half(size), levels, 0, 0, 0);
    expect(create(20, 1n << 30n)).toBe(-EINVAL);
    expect(create(16, 1n << 30n, 5)).toBe(-EINVAL);
    expect(create(16, 3n << 20n)).toBe(-EINVAL);
    expect(create(16, 1n << 30n)).toBe(0);
    const start = world.answer64(32);
    expect(create(12, 1n << 30n)).toBe(-28);
    expect(world.map(c, start, 0x1_0000n)).toBe(-EPERM);
    world.process.memory.map(0x4000_0000, 0x10_0000, { pageSize: 0x1_0000 });
    expect(world.register(c, 0x4000_0000, 0x10_0000)).toBe(0);
    expect(world.map(c, start, 0x1000n, 0x4000_0000)).toBe(-EINVAL);
    expect(world.map(c, start, 0x2_0000n, 0x4000_0000)).toBe(0);
    world.process.memory.setU8(0x4001_0001, 9);
    expect(world.dmaRead(Number(start) + 0x1_0001, 1)).toEqual([9]);
    const remove = (at: bigint): number => world.call(c, uapi.VFIO_IOMMU_SPAPR_TCE_REMOVE, 16, 0, ...half(at));
    expect([remove(start + 0x1000n), remove(start), world.dmaRead(Number(start))]).toEqual([-EINVAL, 0, null]);
  });
});
