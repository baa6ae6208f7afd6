import { describe, expect, it } from "vitest";
import { run } from "../sim/step.js";
import { EADDRINUSE, EBADF, EBADFD, EBUSY, EINVAL, ENODEV, ENOENT, ENOSPC, EOPNOTSUPP, EPERM } from "../uapi/errno.js";
import * as iommufd from "../uapi/iommufd.js";
import * as uapi from "../uapi/vfio.js";
import { MEMORY } from "../explore/stages/vfio-stage.js";
import { CLOSED, EVENTFD, MSI, PciStage, type PciStageOptions, pipeOf, TRIGGER } from "../explore/stages/pci-stage.js";

// The device character device and the iommufd that it is bound to (vfio.md 6, 19).

const half = (value: bigint | number): number[] => [Number(BigInt.asUintN(32, BigInt(value))), Number(BigInt(value) >> 32n)];

class CdevStage extends PciStage {
  readonly iommu: number;
  constructor(options: PciStageOptions = {}) {
    super(options);
    this.iommu = this.open("/dev/iommu");
  }
  /** A's node: the platform stage below has two devices of its own. */
  cdev(of: "A" | "B" = "A", process = this.process): number {
    const device = this.pciDriver.deviceOf(this[of].name);
    return device === null ? -1 : this.open(`/dev/vfio/devices/vfio${this.vfio.cdevOf(device)}`, process);
  }
  bind_(d: number, fd = this.iommu, flags = 0, argsz = 16): number {
    return this.call(d, uapi.VFIO_DEVICE_BIND_IOMMUFD, argsz, flags, fd, 0, 0, 0);
  }
  ioas(): number {
    expect(this.call(this.iommu, iommufd.IOMMU_IOAS_ALLOC, 12, 0, 0)).toBe(0);
    return this.answer(8);
  }
  attach(d: number, id: number, flags = 0): number {
    return this.call(d, uapi.VFIO_DEVICE_ATTACH_IOMMUFD_PT, 16, flags, id, 0);
  }
  ioasMap(ioas: number, iova: bigint, length: bigint, vaddr: bigint | number = MEMORY, flags = 7): number {
    return this.call(this.iommu, iommufd.IOMMU_IOAS_MAP, 40, flags, ioas, 0, ...half(vaddr), ...half(length), ...half(iova));
  }
  ioasUnmap(ioas: number, iova: bigint, length: bigint): [number, bigint] {
    return [this.call(this.iommu, iommufd.IOMMU_IOAS_UNMAP, 24, ioas, ...half(iova), ...half(length)), this.answer64(16)];
  }
  /** A bound to the iommufd, in a fresh address space. */
  attached(): { d: number; ioas: number } {
    const d = this.cdev();
    expect(this.bind_(d)).toBe(0);
    const ioas = this.ioas();
    expect(this.attach(d, ioas)).toBe(0);
    return { d, ioas };
  }
  ownership(): string {
    return this.pciGroup.describeOwnership();
  }
}

describe("the character device of a device", () => {
  it("vector 105: is nothing before it is bound; then it is one file's alone, and the group's file stays shut", () => {
    const world = new CdevStage();
    const d = world.cdev();
    expect(world.call(d, uapi.VFIO_DEVICE_GET_INFO, 16)).toBe(-EINVAL);
    expect(world.bind_(d, world.iommu, 2)).toBe(-EINVAL);
    expect(world.bind_(d)).toBe(0);
    expect(world.answer(12)).toBe(1);
    expect(world.bind_(world.cdev())).toBe(-EINVAL);
    expect(world.open("/dev/vfio/12")).toBe(-EBUSY);
    expect(world.call(d, uapi.VFIO_DEVICE_GET_INFO, 16)).toBe(0);
  });

  it("refuses a bind in the order of 6", () => {
    const world = new CdevStage();
    const d = world.cdev();
    expect(world.bind_(d, world.iommu, 0, 15)).toBe(-EINVAL);
    expect(world.bind_(d, -1)).toBe(-EINVAL);
    expect(world.bind_(d, CLOSED)).toBe(-EBADF);
    expect(world.bind_(d, pipeOf(world))).toBe(-EBADFD);
    const g = world.open("/dev/vfio/12");
    expect(world.bind_(d, CLOSED)).toBe(-EBUSY);
    world.close(g);
    expect(world.bind_(d, world.iommu, uapi.VFIO_DEVICE_BIND_FLAG_TOKEN, 24)).not.toBe(0);
    expect(world.bind_(d)).toBe(0);
    expect(world.bind_(d)).toBe(-EINVAL);
  });

  it("a file that the group gave cannot be bound", () => {
    const world = new CdevStage();
    const { d } = world.ready();
    expect(world.bind_(d)).toBe(-EINVAL);
    expect(world.attach(d, 1)).toBe(-25);
  });

  it("reads, writes and maps nothing before it is bound", () => {
    const world = new CdevStage();
    const d = world.cdev();
    expect([world.configRead(d, 0, 2), world.configWrite(d, 4, 2, 0), run(world.process.mmap(d, 0x1000, 0))]).toEqual([-EINVAL, -EINVAL, -EINVAL]);
    world.bind_(d);
    expect(world.configRead(d, 0, 2)).toBe(0x8086);
    expect(run(world.process.mmap(d, 0x1000, 0))).toBeGreaterThan(0);
  });

  it("owns the group's DMA from the bind to the close, blocked until it is attached", () => {
    const world = new CdevStage();
    expect(world.ownership()).toBe("kernel 0 default");
    const d = world.cdev();
    world.bind_(d);
    expect(world.ownership()).toBe("user 1 blocking");
    const ioas = world.ioas();
    world.attach(d, ioas);
    expect(world.ownership()).toBe("user 1 user");
    expect(world.call(d, uapi.VFIO_DEVICE_DETACH_IOMMUFD_PT, 8, 0, 0)).toBe(0);
    expect(world.ownership()).toBe("user 1 blocking");
    expect(world.call(d, uapi.VFIO_DEVICE_DETACH_IOMMUFD_PT, 8, 0, 0)).toBe(0);
    world.attach(d, ioas);
    world.close(d);
    expect(world.ownership()).toBe("kernel 0 default");
    expect(world.call(world.iommu, iommufd.IOMMU_DESTROY, 8, ioas)).toBe(0);
  });

  it("two devices of a group are one iommufd's, in one address space", () => {
    const world = new CdevStage();
    const { d, ioas } = world.attached();
    const b = world.cdev("B");
    const other = world.open("/dev/iommu");
    expect(world.bind_(b, other)).toBe(-EPERM);
    expect(world.bind_(b)).toBe(0);
    expect(world.ownership()).toBe("user 2 user");
    const second = world.ioas();
    expect(world.attach(b, second)).toBe(-EINVAL);
    expect(world.attach(b, ioas)).toBe(0);
    world.close(d);
    expect(world.ownership()).toBe("user 1 user");
    expect(world.attach(b, second)).toBe(0);
    expect(world.call(world.iommu, iommufd.IOMMU_DESTROY, 8, ioas)).toBe(0);
  });

  it("keeps its iommufd, and what is mapped there, when that is closed", () => {
    const world = new CdevStage();
    const { d, ioas } = world.attached();
    expect(world.ioasMap(ioas, 0n, 0x1000n)).toBe(0);
    world.close(world.iommu);
    world.configWrite(d, 4, 2, 6);
    const E = world.eventfd();
    expect(world.setIrqs(d, MSI, EVENTFD | TRIGGER, 0, 1, E)).toBe(0);
    world.event(0);
    expect(world.take(E)).toBe(1);
    expect([world.ownership(), world.process.lockedMemory]).toEqual(["user 1 user", 0x1000]);
    world.close(d);
    expect([world.ownership(), world.process.lockedMemory]).toEqual(["kernel 0 default", 0]);
  });

  it("attaches by the id of an address space or of its page table, and is told the latter", () => {
    const world = new CdevStage();
    const { d, ioas } = world.attached();
    const hwpt = world.answer(8);
    expect(hwpt).not.toBe(ioas);
    expect(world.attach(d, hwpt)).toBe(0);
    expect(world.attach(d, 99)).toBe(-ENOENT);
    expect(world.attach(d, 1)).toBe(-EINVAL);
    expect(world.attach(d, ioas, uapi.VFIO_DEVICE_ATTACH_PASID)).toBe(-EOPNOTSUPP);
    expect(world.call(world.iommu, iommufd.IOMMU_DESTROY, 8, hwpt)).toBe(-EBUSY);
    expect(world.call(world.iommu, iommufd.IOMMU_DESTROY, 8, ioas)).toBe(-EBUSY);
    expect(world.call(world.iommu, iommufd.IOMMU_DESTROY, 8, 99)).toBe(-ENOENT);
  });

  it("is refused to a device that could forge messages, unless iommufd is told not to mind", () => {
    for (const [allowUnsafeInterrupts, expected] of [[false, -EPERM], [true, 0]] as const) {
      const world = new CdevStage({ isMsiIsolated: false, core: { allowUnsafeInterrupts } });
      expect(world.bind_(world.cdev())).toBe(expected);
    }
  });

  it("waits for its last file when its driver lets go, and its node goes with it", () => {
    const world = new CdevStage();
    const before = world.nodes.paths().filter((path) => path.startsWith("/dev/vfio/devices/")).length;
    world.write(`/sys/bus/pci/drivers/vfio-pci/unbind`, world.A.name);
    expect(world.nodes.paths().filter((path) => path.startsWith("/dev/vfio/devices/")).length).toBe(before - 1);
  });

  it("12.4, 12.5: a hot reset takes what the iommufd owns, by ids, and names no groups", () => {
    const world = new CdevStage({ separateGroups: true });
    const { d } = world.attached();
    const info = (argsz: number): number => world.call(d, uapi.VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, argsz);
    expect(info(12)).toBe(-ENOSPC);
    expect(info(28)).toBe(0);
    expect([world.answer(4), world.answer(8), world.answer(12), world.answer(20)]).toEqual([1, 2, 1, 0xffff_ffff]);
    expect(world.call(d, uapi.VFIO_DEVICE_PCI_HOT_RESET, 12, 0, 0)).toBe(-EINVAL);
    const b = world.cdev("B");
    world.bind_(b);
    expect(info(28)).toBe(0);
    expect([world.answer(4), world.answer(20)]).toEqual([3, 4]);
    expect(world.call(d, uapi.VFIO_DEVICE_PCI_HOT_RESET, 16, 0, 1, world.iommu)).toBe(-EINVAL);
    expect(world.call(d, uapi.VFIO_DEVICE_PCI_HOT_RESET, 12, 0, 0)).toBe(0);
  });

  it("12.4: an unopened sibling in an owned group is safe", () => {
    const world = new CdevStage();
    const { d } = world.attached();
    expect(world.call(d, uapi.VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, 28)).toBe(0);
    expect([world.answer(4), world.answer(20)]).toEqual([3, 0]);
    expect(world.call(d, uapi.VFIO_DEVICE_PCI_HOT_RESET, 12, 0, 0)).toBe(0);
  });
});

describe("an I/O address space", () => {
  it("19: maps where nothing is, inside of what all its devices allow", () => {
    const world = new CdevStage();
    const { ioas } = world.attached();
    expect(world.ioasMap(ioas, 0n, 0x2000n)).toBe(0);
    expect(world.ioasMap(ioas, 0x1000n, 0x1000n)).toBe(-17);
    expect(world.ioasMap(ioas, 0xfee0_0000n, 0x1000n)).toBe(-EINVAL);
    expect(world.ioasMap(ioas, 0x2800n, 0x1000n)).toBe(-EINVAL);
    expect(world.ioasMap(ioas, 0x2000n, 0x800n)).toBe(-EINVAL);
    expect(world.ioasMap(ioas, 0x2000n, 0n)).toBe(-EINVAL);
    expect(world.ioasMap(ioas, 0xffff_ffff_ffff_f000n, 0x2000n)).toBe(-75);
    expect(world.ioasMap(ioas, 0x2000n, 0x1000n, MEMORY, 1)).toBe(-EINVAL);
    expect(world.ioasMap(ioas, 0x2000n, 0x1000n, MEMORY, 8)).toBe(-EOPNOTSUPP);
    expect(world.ioasMap(ioas, 0x2000n, 0x1000n, 0x9000_0000)).toBe(-14);
    expect(world.ioasMap(99, 0x2000n, 0x1000n)).toBe(-ENOENT);
    expect(world.process.lockedMemory).toBe(0x2000);
  });

  it("19: unmaps whole areas, and tells how much", () => {
    const world = new CdevStage();
    const { ioas } = world.attached();
    world.ioasMap(ioas, 0x1000n, 0x2000n);
    world.ioasMap(ioas, 0x8000n, 0x1000n);
    expect(world.ioasUnmap(ioas, 0x4000n, 0x1000n)[0]).toBe(-ENOENT);
    expect(world.ioasUnmap(ioas, 0x2000n, 0x1000n)[0]).toBe(-ENOENT);
    expect(world.ioasUnmap(ioas, 0n, 0x4000n)).toEqual([0, 0x2000n]);
    expect(world.ioasUnmap(ioas, 0n, 0xffff_ffff_ffff_ffffn)).toEqual([0, 0x1000n]);
    expect(world.ioasUnmap(ioas, 0n, 0xffff_ffff_ffff_ffffn)).toEqual([0, 0n]);
    expect(world.process.lockedMemory).toBe(0);
  });

  it("finds a place itself where none is given, never 0", () => {
    const world = new CdevStage();
    const { ioas } = world.attached();
    expect(world.ioasMap(ioas, 0n, 0x1000n, MEMORY, 6)).toBe(0);
    expect(world.answer64(32)).toBe(0x1000n);
    expect(world.ioasMap(ioas, 0n, 0x1000n, MEMORY, 6)).toBe(0);
    expect(world.answer64(32)).toBe(0x2000n);
  });

  it("pins nothing before it has a device, all that it has when one comes, or none", () => {
    const world = new CdevStage({ lockedMemoryLimit: 0x3000 });
    const ioas = world.ioas();
    expect(world.ioasMap(ioas, 0n, 0x2000n)).toBe(0);
    expect(world.ioasMap(ioas, 0x8000n, 0x2000n)).toBe(0);
    expect(world.process.lockedMemory).toBe(0);
    const limited = world.cdev();
    world.bind_(limited);
    const small = Object.assign(world.process, { lockedMemoryLimit: 0x3000 });
    expect(world.attach(limited, ioas)).toBe(-12);
    expect([small.lockedMemory, world.ownership()]).toEqual([0, "user 1 blocking"]);
    expect(world.ioasUnmap(ioas, 0x8000n, 0x2000n)[0]).toBe(0);
    expect(world.attach(limited, ioas)).toBe(0);
    expect(small.lockedMemory).toBe(0x2000);
  });

  it("refuses a device whose holes are mapped, or that cannot map so finely", () => {
    const world = new CdevStage();
    const ioas = world.ioas();
    const d = world.cdev();
    world.bind_(d);
    expect(world.ioasMap(ioas, 0xfee0_0000n, 0x1000n)).toBe(0);
    expect(world.attach(d, ioas)).toBe(-EADDRINUSE);
    world.ioasUnmap(ioas, 0n, 0xffff_ffff_ffff_ffffn);
    expect(world.ioasMap(ioas, 0x800n, 0x800n)).toBe(0);
    expect(world.attach(d, ioas)).toBe(-EADDRINUSE);
  });

  it("tells its ranges, and when there are more than asked for", () => {
    const world = new CdevStage();
    const { ioas } = world.attached();
    const ask = (room: number): number => world.call(world.iommu, iommufd.IOMMU_IOAS_IOVA_RANGES, 32, ioas, room, 0, ...half(0x2000), 0, 0);
    expect(ask(1)).toBe(-90);
    expect(world.answer(8)).toBe(2);
    expect(ask(2)).toBe(0);
    const at = (offset: number): number => world.process.memory.getU64(0x2000 + offset);
    expect([at(0), at(8), at(16), at(24)]).toEqual([0, 0xfedf_ffff, 0xfef0_0000, 0x7f_ffff_ffff]);
    expect(world.answer64(24)).toBe(0x1000n);
  });

  it("copies share the pages of what they copy; a hole in it is refused", () => {
    const world = new CdevStage();
    const { ioas } = world.attached();
    const target = world.ioas();
    world.ioasMap(ioas, 0x1000n, 0x1000n);
    world.ioasMap(ioas, 0x2000n, 0x1000n, MEMORY + 0x4000);
    const copy = (length: bigint, to: bigint, from: bigint, flags = 7): number =>
      world.call(world.iommu, iommufd.IOMMU_IOAS_COPY, 40, flags, target, ioas, ...half(length), ...half(to), ...half(from));
    expect(copy(0x3000n, 0x9000n, 0x1000n)).toBe(-ENOENT);
    expect(copy(0x2000n, 0x9000n, 0x1000n)).toBe(0);
    expect(world.ioasUnmap(target, 0n, 0xffff_ffff_ffff_ffffn)).toEqual([0, 0x2000n]);
    expect(world.process.lockedMemory).toBe(0x2000);
  });

  it("checks the size in front of every request", () => {
    const world = new CdevStage();
    expect(world.call(world.iommu, iommufd.IOMMU_IOAS_ALLOC, 11, 0, 0)).toBe(-EINVAL);
    expect(world.call(world.iommu, iommufd.IOMMU_IOAS_ALLOC, 16, 0, 0, 1)).toBe(-7);
    expect(world.call(world.iommu, iommufd.IOMMU_IOAS_ALLOC, 16, 0, 0, 0)).toBe(0);
    expect(world.ioctl(world.iommu, iommufd.IOMMU_IOAS_ALLOC, 0xdead_0000)).toBe(-14);
    expect(world.call(world.iommu, 0x3bf0, 4)).toBe(-25);
  });
});

describe("an iommufd in place of a container", () => {
  it("vector 93: knows type 1, forgets nothing silently, logs nothing", () => {
    const world = new PciStage();
    const c = world.open("/dev/iommu");
    expect(world.ioctl(c, uapi.VFIO_SET_IOMMU, 3)).toBe(-ENODEV);
    const g = world.open("/dev/vfio/12");
    expect(world.setContainer(g, c)).toBe(0);
    expect(world.unmap(c, 0n, 0x1000n)[0]).toBe(-ENOENT);
    expect(world.ioctl(c, uapi.VFIO_SET_IOMMU, 8)).toBe(-EINVAL);
    expect(world.call(c, uapi.VFIO_IOMMU_DIRTY_PAGES, 8, 1)).toBe(-25);
    expect([0, 1, 3, 9, 4, 6, 10].map((id) => world.ioctl(c, uapi.VFIO_CHECK_EXTENSION, id))).toEqual([0, 1, 1, 1, 1, 0, 0]);
  });

  it.each([1, 3])("a device opened by its group works there, type %i; what is mapped stays until the group goes", (type) => {
    const world = new PciStage();
    const c = world.open("/dev/iommu");
    const g = world.open("/dev/vfio/12");
    world.setContainer(g, c);
    expect(world.ioctl(c, uapi.VFIO_SET_IOMMU, type)).toBe(0);
    const d = world.deviceFd(g, world.A.name);
    expect(world.pciGroup.describeOwnership()).toBe("user 1 user");
    expect(world.map(c, 0n, 0x3000n)).toBe(0);
    expect(world.map(c, 0x1000n, 0x1000n)).toBe(-17);
    expect(world.unmap(c, 0x1000n, 0x1000n)).toEqual(type === 1 ? [0, 0x1000n] : [-ENOENT, 0n]);
    expect(world.unmap(c, 0n, 0n, uapi.VFIO_DMA_UNMAP_FLAG_ALL)).toEqual([0, type === 1 ? 0x2000n : 0x3000n]);
    world.close(d);
    expect(world.pciGroup.describeOwnership()).toBe("kernel 0 default");
    expect(world.ioctl(g, uapi.VFIO_GROUP_UNSET_CONTAINER, 0)).toBe(0);
    expect(world.ioctl(g, uapi.VFIO_GROUP_UNSET_CONTAINER, 0)).toBe(-EINVAL);
  });

  it("a device holds the iommufd itself: it goes on when the group leaves, and when every other file is closed", () => {
    const world = new PciStage();
    const c = world.open("/dev/iommu");
    const g = world.open("/dev/vfio/12");
    world.setContainer(g, c);
    const d = world.deviceFd(g, world.A.name);
    expect(world.map(c, 0n, 0x1000n)).toBe(0);
    expect(world.ioctl(g, uapi.VFIO_GROUP_UNSET_CONTAINER, 0)).toBe(0);
    expect(world.deviceFd(g, world.A.name)).toBe(-EINVAL);
    world.close(g);
    world.close(c);
    expect([world.call(d, uapi.VFIO_DEVICE_GET_INFO, 16), world.pciGroup.describeOwnership(), world.process.lockedMemory]).toEqual([0, "user 1 user", 0x1000]);
    const again = world.open("/dev/vfio/12");
    expect(again).toBeGreaterThanOrEqual(0);
    world.close(d);
    expect([world.pciGroup.describeOwnership(), world.process.lockedMemory]).toEqual(["kernel 0 default", 0]);
  });

  it("tells that there is no end of mappings", () => {
    const world = new PciStage();
    const c = world.open("/dev/iommu");
    world.setContainer(world.open("/dev/vfio/12"), c);
    expect(world.call(c, uapi.VFIO_IOMMU_GET_INFO, 256)).toBe(0);
    expect([world.answer(24), world.answer(32)]).toEqual([0x0001_0003, 0xffff_ffff]);
  });
});
