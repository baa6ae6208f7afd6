import { describe, expect, it } from "vitest";
import { EBUSY, EFAULT, EINVAL, ENOENT, EOPNOTSUPP, EOVERFLOW } from "../../uapi/errno.js";
import * as iommufd from "../../uapi/iommufd.js";
import * as uapi from "../../uapi/vfio.js";
import { IommuGroup } from "../../host/iommu/group.js";
import { PciFunction } from "../../device/pci/function.js";
import { PciDevice } from "../../host/pci/pci-device.js";
import { run } from "../../sim/step.js";
import { half } from "../iommu/iommu-stage.fixture.js";
import { BITMAP, HUGE, HwptStage, TRACKED } from "./hwpt-stage.fixture.js";

// Page tables that a user makes, and the dirty bits of their entries (include/uapi/linux/iommufd.h).

describe("HWPT_ALLOC", () => {
  it("makes a page table of an address space for a device; what is no device, no address space, or not to be had is refused", () => {
    const world = new HwptStage();
    expect(world.alloc(0)).toBeGreaterThan(world.ioas);
    expect([world.alloc(0, 99), world.alloc(0, world.ioas), world.alloc(0, world.device, 99), world.alloc(0, world.device, world.device)]).toEqual([-ENOENT, -ENOENT, -EINVAL, -EINVAL]);
    expect([world.alloc(8), world.alloc(iommufd.IOMMU_HWPT_ALLOC_NEST_PARENT), world.alloc(0, world.device, world.ioas, 0, 0, 1)]).toEqual([-EOPNOTSUPP, -EOPNOTSUPP, -EOPNOTSUPP]);
    expect([world.alloc(0, world.device, world.ioas, 1, 0), world.alloc(0, world.device, world.ioas, 0, 4), world.alloc(0, world.device, world.ioas, 1, 4)]).toEqual([-EINVAL, -EINVAL, -EOPNOTSUPP]);
  });

  it("takes a structure that ends before its data, and none that is shorter", () => {
    const world = new HwptStage();
    const alloc = (size: number): number => world.call(world.iommu, iommufd.IOMMU_HWPT_ALLOC, size, 0, world.device, world.ioas, 0, 0, 77);
    expect([alloc(23), alloc(24), world.answer(16) > 0, world.answer(24)]).toEqual([-EINVAL, 0, true, 77]);
  });

  it("has what is mapped before and after, stays without a device, and is destroyed while nobody is attached", () => {
    const world = new HwptStage();
    world.ioasMap(0x1000, 0x1000);
    const hwpt = world.alloc(0);
    world.ioasMap(0x5000, 0x1000);
    expect(world.process.lockedMemory).toBe(0x2000);
    expect([world.attach(hwpt), world.writes(0x1000), world.writes(0x5000), world.writes(0x3000)]).toEqual([0, true, true, false]);
    expect([world.destroy(hwpt), world.destroy(world.ioas)]).toEqual([-EBUSY, -EBUSY]);
    expect(world.call(world.d, uapi.VFIO_DEVICE_DETACH_IOMMUFD_PT, 8, 0)).toBe(0);
    expect([world.writes(0x1000), world.destroy(world.ioas), world.destroy(hwpt), world.process.lockedMemory, world.destroy(world.ioas), world.destroy(hwpt)]).toEqual([false, -EBUSY, 0, 0, 0, -ENOENT]);
  });

  it("an attach to the address space itself takes the kernel's page table, which no user destroys", () => {
    const world = new HwptStage();
    const hwpt = world.alloc(0);
    expect(world.attach(hwpt)).toBe(0);
    expect([world.attach(world.ioas), world.answer(8) === hwpt]).toEqual([0, false]);
    const kernels = world.answer(8);
    expect([world.destroy(kernels), world.destroy(hwpt)]).toEqual([-EBUSY, 0]);
  });

  it("is not for a group of another IOMMU, nor for its dirty bits where that has none", () => {
    const world = new HwptStage();
    const fn = new PciFunction({ name: "0000:09:00.0", requesterId: 0x900, vendor: 1, device: 1, classCode: 0 });
    const group = new IommuGroup(world.sim, 30, { iommu: "other", tracksDirty: false });
    world.pciBus.addDevice(new PciDevice(world.root, fn, { bus: world.root.addBus(9, true), group }));
    world.bind(fn.name);
    const made = world.pciDriver.deviceOf(fn.name);
    const d = world.open(`/dev/vfio/devices/vfio${made === null ? -1 : world.vfio.cdevOf(made)}`);
    expect(world.call(d, uapi.VFIO_DEVICE_BIND_IOMMUFD, 16, 0, world.iommu, 0)).toBe(0);
    const other = world.answer(12);
    const hwpt = world.alloc(0);
    expect([world.call(d, uapi.VFIO_DEVICE_ATTACH_IOMMUFD_PT, 12, 0, hwpt), world.alloc(TRACKED, other), world.alloc(0, other) > 0]).toEqual([-EINVAL, -EOPNOTSUPP, true]);
    const info = (device: number): number => world.call(world.iommu, iommufd.IOMMU_GET_HW_INFO, 40, 0, device, 8, ...half(BITMAP), 9, 0, 9, 9);
    world.process.memory.setU64(BITMAP, 0x1234);
    expect([info(other), world.answer(12), world.answer(24), world.answer64(32), world.process.memory.getU32(BITMAP)]).toEqual([0, 0, 0, 0n, 0]);
    expect([info(world.device), world.answer64(32), info(99)]).toEqual([0, 1n, -ENOENT]);
    expect(world.call(world.iommu, iommufd.IOMMU_GET_HW_INFO, 32, 0, world.device, 8, ...half(0xdead_0000), 0, 0)).toBe(-EFAULT);
  });

  it("a monitor that closes everything leaves nothing of it locked", () => {
    const world = new HwptStage();
    world.ioasMap(0x1000, 0x1000);
    expect(world.alloc(0)).toBeGreaterThan(0);
    run(world.process.exit());
    expect([world.process.lockedMemory, world.pciGroup.describeOwnership()]).toEqual([0, "kernel 0 default"]);
  });
});

describe("the dirty pages of a page table", () => {
  it("are those that were written since they were asked for last; reads and refused writes are none", () => {
    const world = new HwptStage();
    const hwpt = world.tracked();
    for (const at of [0x1000, 0x1fff, 0x7000, 0x9000]) world.writes(at);
    run(world.port.read(0x3000, new Uint8Array(4)));
    expect([world.dirty(hwpt, { flags: iommufd.IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR }), world.dirty(hwpt), world.dirty(hwpt)]).toEqual([0x82, 0x82, 0]);
    world.writes(0x2000);
    expect([world.dirty(hwpt, { iova: 0x4000, length: 0x4000 }), world.dirty(hwpt, { iova: 0x2000, length: 0x2000 })]).toEqual([0, 1]);
  });

  it("are told by the page size that is asked for, and added to what the bitmap has", () => {
    const world = new HwptStage();
    const hwpt = world.tracked();
    world.writes(0x5000);
    expect(world.dirty(hwpt, { page: 0x4000 })).toBe(2);
    world.writes(0x0);
    world.process.memory.setU64(BITMAP, 0);
    expect(world.dirty(hwpt, { data: BITMAP })).toBe(1);
  });

  it("of an entry of 2 MiB are all of it", () => {
    const world = new HwptStage();
    world.process.memory.map(HUGE, 0x40_0000, { pageSize: 0x20_0000 });
    expect(world.ioasMap(0, 0x40_0000, HUGE)).toBe(0);
    const hwpt = world.alloc(TRACKED);
    expect([world.attach(hwpt), world.track(hwpt), world.writes(0x20_3000)]).toEqual([0, 0, true]);
    expect(world.dirty(hwpt, { length: 0x40_0000, page: 0x10_0000 })).toBe(0b1100);
  });

  it("are asked for where tracking is on, and of tables that were made for it; on and off are said twice without harm", () => {
    const world = new HwptStage();
    const plain = world.alloc(0);
    expect([world.track(plain), world.dirty(plain), world.track(99), world.dirty(99), world.track(world.ioas)]).toEqual([-EOPNOTSUPP, -EOPNOTSUPP, -ENOENT, -ENOENT, -ENOENT]);
    const hwpt = world.tracked();
    world.writes(0x1000);
    expect([world.track(hwpt), world.dirty(hwpt), world.track(hwpt, 2)]).toEqual([0, 2, -EOPNOTSUPP]);
    world.writes(0x1000);
    expect([world.track(hwpt, 0), world.track(hwpt, 0), world.dirty(hwpt), world.track(hwpt), world.dirty(hwpt)]).toEqual([0, 0, -EINVAL, 0, 0]);
  });

  it("of a range that wraps, is not of whole pages, or not all mapped are refused, and so is a bitmap that is nowhere", () => {
    const world = new HwptStage();
    const hwpt = world.tracked();
    world.writes(0x1000);
    expect([world.dirty(hwpt, { iova: 2 ** 63, length: 2 ** 63 + 0x1000 }), world.dirty(hwpt, { iova: 0x1000, length: 0 }), world.dirty(hwpt, { length: 0 })]).toEqual([-EOVERFLOW, -EOVERFLOW, -EINVAL]);
    expect([world.dirty(hwpt, { iova: 0x800 }), world.dirty(hwpt, { length: 0x1800 }), world.dirty(hwpt, { page: 0 }), world.dirty(hwpt, { iova: 0x1000, length: 0x1000, page: 0x2000 })]).toEqual([-EINVAL, -EINVAL, -EINVAL, -EINVAL]);
    expect([world.dirty(hwpt, { length: 0x9000 }), world.dirty(hwpt, { flags: 2 }), world.dirty(hwpt, { data: 0xdead_0000 }), world.dirty(hwpt)]).toEqual([-EINVAL, -EOPNOTSUPP, -EFAULT, 2]);
  });

  it("go with what is unmapped", () => {
    const world = new HwptStage();
    const hwpt = world.tracked();
    world.writes(0x1000);
    expect(world.call(world.iommu, iommufd.IOMMU_IOAS_UNMAP, 24, world.ioas, 0, 0, ...half(0x8000))).toBe(0);
    expect(world.ioasMap(0, 0x8000)).toBe(0);
    expect(world.dirty(hwpt)).toBe(0);
  });
});
