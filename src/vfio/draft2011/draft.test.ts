import { describe, expect, it } from "vitest";
import { PciStage, type PciStageOptions } from "../../explore/stages/pci-stage.js";
import { MEMORY } from "../../explore/stages/vfio-stage.js";
import { IommuDma } from "../../host/iommu/dma.js";
import type { IommuGroup } from "../../host/iommu/group.js";
import { run } from "../../sim/step.js";
import { EBADF, EBUSY, EEXIST, EFAULT, EINVAL, ENODEV, ENOENT, ENOTTY, EPERM } from "../../uapi/errno.js";
import * as uapi from "../../uapi/vfio.js";
import { VFIO_IOMMU_FAULT_WRITE, VFIO_IOMMU_TAKE_FAULT } from "../../uapi/vfio-fault.js";
import * as draft from "../../uapi/vfio-draft.js";
import { draft2011 } from "./group-file.js";

// The December 2011 proposal over today's core (vfio.md 21.6): groups merge by their files, and there is no container.

const [INTX, MSI, MSIX] = [0, 1, 2];
const PAGE = 0x1000;

class DraftStage extends PciStage {
  constructor(options: PciStageOptions = {}) {
    super({ separateGroups: true, ...options, core: { abi: draft2011 } });
  }
  groupFd(id: number, process = this.process): number {
    return this.open(`/dev/vfio/${id}`, process);
  }
  groupFlags(g: number): number {
    expect(this.call(g, draft.DRAFT_GROUP_GET_INFO, 8, 0)).toBe(0);
    return this.answer(4);
  }
  device(g: number, name: string): number {
    this.process.memory.copyOut(0x1000, new TextEncoder().encode(`${name}\0`));
    return this.ioctl(g, draft.DRAFT_GROUP_GET_DEVICE_FD, 0x1000);
  }
  mapAt(i: number, iova: number, size = PAGE, flags = 3): number {
    return this.call(i, draft.DRAFT_IOMMU_MAP_DMA, 32, flags, MEMORY, 0, iova, 0, size, 0);
  }
  unmapAt(i: number, iova: number, size = PAGE, flags = 0): number {
    return this.call(i, draft.DRAFT_IOMMU_UNMAP_DMA, 24, flags, iova, 0, size, 0);
  }
  eventfds(d: number, index: number, ...fds: number[]): number {
    return this.call(d, draft.DRAFT_DEVICE_SET_IRQ_EVENTFDS, 16 + 4 * fds.length, 0, index, fds.length, ...fds);
  }
  owner(group: IommuGroup = this.pciGroup): string {
    return group.describeOwnership();
  }
}

describe("groups and address spaces of the draft", () => {
  it("there is no container, no iommufd, no character device of a device", () => {
    const world = new DraftStage();
    expect([world.open("/dev/vfio/vfio"), world.open("/dev/iommu"), world.open("/dev/vfio/devices/vfio0")].every((fd) => fd < 0)).toBe(true);
    expect(world.ioctl(world.groupFd(12), draft.DRAFT_GROUP_GET_INFO + 50, 0)).toBe(-ENOTTY);
  });

  it("a group is opened any number of times, and says viable and locked", () => {
    const world = new DraftStage();
    const [g, again] = [world.groupFd(12), world.groupFd(12)];
    expect(again).toBeGreaterThan(g);
    expect([world.call(g, draft.DRAFT_GROUP_GET_INFO, 7, 0), world.ioctl(g, draft.DRAFT_GROUP_GET_INFO, 0xdead_0000)]).toEqual([-EINVAL, -EFAULT]);
    expect(world.groupFlags(g)).toBe(draft.DRAFT_GROUP_FLAGS_VIABLE);
    const iommu = world.ioctl(g, draft.DRAFT_GROUP_GET_IOMMU_FD, 0);
    expect(world.groupFlags(again) & draft.DRAFT_GROUP_FLAGS_MM_LOCKED).toBe(draft.DRAFT_GROUP_FLAGS_MM_LOCKED);
    world.close(iommu);
    expect(world.groupFlags(again)).toBe(draft.DRAFT_GROUP_FLAGS_VIABLE);
  });

  it("an address space is its opener's: another process gets -EPERM on the group until it closes", () => {
    const world = new DraftStage();
    const iommu = world.ioctl(world.groupFd(12), draft.DRAFT_GROUP_GET_IOMMU_FD, 0);
    const other = world.newProcess("other");
    const theirs = world.groupFd(12, other);
    expect(world.ioctl(theirs, draft.DRAFT_GROUP_GET_IOMMU_FD, 0, other)).toBe(-EPERM);
    world.close(iommu);
    expect(world.ioctl(theirs, draft.DRAFT_GROUP_GET_IOMMU_FD, 0, other)).toBeGreaterThanOrEqual(0);
  });

  it("a group with a host driver on a member is not viable, and opens nothing", () => {
    const world = new DraftStage({ separateGroups: false });
    world.write("/sys/bus/pci/drivers/vfio-pci/unbind", world.B.name);
    world.write(`/sys/bus/pci/devices/${world.B.name}/driver_override`, "\n");
    expect(world.write("/sys/bus/pci/drivers/e1000e/bind", world.B.name)).toBeGreaterThan(0);
    const g = world.groupFd(12);
    expect(world.groupFlags(g)).toBe(0);
    expect(world.ioctl(g, draft.DRAFT_GROUP_GET_IOMMU_FD, 0)).toBe(-EBUSY);
    expect(world.device(g, world.A.name)).toBe(-EBUSY);
  });

  it("merged, groups share mappings and devices; unmerged, a group stands alone again", () => {
    const world = new DraftStage();
    const [g12, g13] = [world.groupFd(12), world.groupFd(13)];
    expect(world.call(g12, draft.DRAFT_GROUP_MERGE, g13)).toBe(0);
    expect(world.call(g12, draft.DRAFT_GROUP_MERGE, g13)).toBe(-EINVAL);
    const b = world.device(g12, world.B.name);
    expect(b).toBeGreaterThanOrEqual(0);
    expect(world.ioctl(g13, draft.DRAFT_GROUP_UNMERGE, 0)).toBe(-EBUSY);
    world.close(b);
    expect(world.ioctl(g13, draft.DRAFT_GROUP_UNMERGE, 0)).toBe(0);
    expect(world.ioctl(g13, draft.DRAFT_GROUP_UNMERGE, 0)).toBe(-EINVAL);
    expect(world.device(g12, world.B.name)).toBe(-ENODEV);
  });

  it("a merge while the merger is in use keeps its mappings, and the merged group's devices reach them", () => {
    const world = new DraftStage();
    const [g12, g13] = [world.groupFd(12), world.groupFd(13)];
    const iommu = world.ioctl(g12, draft.DRAFT_GROUP_GET_IOMMU_FD, 0);
    expect(world.mapAt(iommu, 0)).toBe(0);
    expect(world.call(g12, draft.DRAFT_GROUP_MERGE, g13)).toBe(0);
    expect(world.mapAt(iommu, 0)).toBe(-EEXIST);
    expect(world.owner()).toBe("user 1 user");
    expect(world.ioctl(g13, draft.DRAFT_GROUP_UNMERGE, 0)).toBe(0);
    expect(world.mapAt(iommu, 0)).toBe(-EEXIST);
  });

  it("a merge asks for a group's open file that is not in use: -EFAULT, -EINVAL, -EBADF, in this order", () => {
    const world = new DraftStage();
    const [g12, g13] = [world.groupFd(12), world.groupFd(13)];
    expect(world.ioctl(g12, draft.DRAFT_GROUP_MERGE, 0xdead_0000)).toBe(-EFAULT);
    expect([-1, 77, world.eventfd(), g12].map((fd) => world.call(g12, draft.DRAFT_GROUP_MERGE, fd))).toEqual([-EINVAL, -EBADF, -EINVAL, -EINVAL]);
    const iommu = world.ioctl(g13, draft.DRAFT_GROUP_GET_IOMMU_FD, 0);
    expect(world.call(g12, draft.DRAFT_GROUP_MERGE, g13)).toBe(-EINVAL);
    world.close(iommu);
    expect(world.call(g12, draft.DRAFT_GROUP_MERGE, g13)).toBe(0);
    expect(world.ioctl(g12, draft.DRAFT_GROUP_UNMERGE, 0)).toBe(0);
  });

  it("the owner is told of DMA that is terminated, by virq's own request, at the address space's file", () => {
    const world = new DraftStage();
    const g = world.groupFd(12);
    const iommu = world.ioctl(g, draft.DRAFT_GROUP_GET_IOMMU_FD, 0);
    expect([world.mapAt(iommu, 0x1000), world.call(iommu, VFIO_IOMMU_TAKE_FAULT, 32, 0)]).toEqual([0, -ENOENT]);
    const dma = new IommuDma(world.smmu, world.pciGroup, 0x600);
    expect([run(dma.write(0x1000, Uint8Array.of(1))), run(dma.write(0x3000, Uint8Array.of(1)))]).toEqual([true, false]);
    expect([world.call(iommu, VFIO_IOMMU_TAKE_FAULT, 32, 0), world.answer(4), world.answer(8), world.answer(16)]).toEqual([0, VFIO_IOMMU_FAULT_WRITE, 12, 0x3000]);
    expect([world.call(iommu, VFIO_IOMMU_TAKE_FAULT, 31, 0), world.call(g, VFIO_IOMMU_TAKE_FAULT, 32, 0)]).toEqual([-EINVAL, -ENOTTY]);
  });

  it("mappings live as long as an IOMMU or device file does, whatever happens to the group's", () => {
    const world = new DraftStage();
    const g = world.groupFd(12);
    const iommu = world.ioctl(g, draft.DRAFT_GROUP_GET_IOMMU_FD, 0);
    const d = world.device(g, world.A.name);
    expect(world.mapAt(iommu, 0)).toBe(0);
    expect(world.process.lockedMemory).toBe(PAGE);
    world.close(g);
    world.close(iommu);
    expect([world.process.lockedMemory, world.owner()]).toEqual([PAGE, "user 1 user"]);
    world.close(d);
    expect([world.process.lockedMemory, world.owner()]).toEqual([0, "kernel 0 default"]);
  });

  it("an address space tells its bounds, and takes only flags of its time", () => {
    const world = new DraftStage();
    const iommu = world.ioctl(world.groupFd(12), draft.DRAFT_GROUP_GET_IOMMU_FD, 0);
    expect(world.call(iommu, draft.DRAFT_IOMMU_GET_INFO, 31)).toBe(-EINVAL);
    expect(world.call(iommu, draft.DRAFT_IOMMU_GET_INFO, 32)).toBe(0);
    expect([world.answer64(8), world.answer64(16), world.answer64(24) & 0x1000n]).toEqual([0x7f_ffff_ffffn, 0n, 0x1000n]);
    expect([world.mapAt(iommu, 0, PAGE, 4), world.mapAt(iommu, 0, PAGE, 0), world.unmapAt(iommu, 0, PAGE, 2)]).toEqual([-EINVAL, -EINVAL, -EINVAL]);
    expect([world.mapAt(iommu, 0), world.unmapAt(iommu, 0)]).toEqual([0, 0]);
    expect(world.ioctl(iommu, draft.DRAFT_DEVICE_RESET, 0)).toBe(-ENOTTY);
  });
});

describe("devices of the draft, against today's", () => {
  it("the same function: fewer regions and interrupts, other flags, the same sizes and counts", () => {
    const [old, now] = [new DraftStage(), new PciStage()];
    const [d, modern] = [old.device(old.groupFd(12), old.A.name), now.ready().d];
    expect(old.call(d, draft.DRAFT_DEVICE_GET_INFO, 16)).toBe(0);
    expect([old.answer(4), old.answer(8), old.answer(12)]).toEqual([3, 8, 3]);
    expect(old.call(d, draft.DRAFT_DEVICE_GET_INFO, 15)).toBe(-EINVAL);
    for (let index = 0; index < 8; index++) {
      expect(old.call(d, draft.DRAFT_DEVICE_GET_REGION_INFO, 32, 0, index)).toBe(0);
      expect(now.call(modern, uapi.VFIO_DEVICE_GET_REGION_INFO, 32, 0, index)).toBe(0);
      expect([index, old.answer64(16), old.answer64(24)]).toEqual([index, now.answer64(16), now.answer64(24)]);
      const [flags, size] = [now.answer(4), now.answer64(16)];
      expect([index, old.answer(4)]).toEqual([index, ((flags & 4) >> 2) | (size > 0n && (flags & 2) === 0 ? draft.DRAFT_REGION_INFO_RO : 0)]);
    }
    const irqs = [INTX, MSI, MSIX].map((index) => (old.call(d, draft.DRAFT_DEVICE_GET_IRQ_INFO, 16, 0, index), [old.answer(4), old.answer(12)]));
    expect(irqs).toEqual([[draft.DRAFT_IRQ_INFO_LEVEL, 1], [0, 4], [0, 8]]);
    expect([old.call(d, draft.DRAFT_DEVICE_GET_REGION_INFO, 32, 0, 8), old.call(d, draft.DRAFT_DEVICE_GET_IRQ_INFO, 16, 0, 3)]).toEqual([-EINVAL, -EINVAL]);
    expect([old.ioctl(d, draft.DRAFT_DEVICE_RESET, 0), old.ioctl(d, uapi.VFIO_DEVICE_FEATURE, 0)]).toEqual([0, -ENOTTY]);
    expect(old.configRead(d, 0, 4) >>> 0).toBe(0x10d3_8086);
  });

  it("INTx: set by one eventfd, masked when it fires, opened by UNMASK_IRQ or by an eventfd", () => {
    const world = new DraftStage();
    const d = world.device(world.groupFd(12), world.A.name);
    const [E, U] = [world.eventfd(), world.eventfd()];
    expect(world.call(d, draft.DRAFT_DEVICE_UNMASK_IRQ, 16, 0, INTX, 0)).toBe(-EINVAL);
    expect(world.eventfds(d, INTX, E)).toBe(0);
    world.intx(true);
    expect([world.count(E), world.isDisIntx]).toEqual([1, true]);
    expect(world.call(d, draft.DRAFT_DEVICE_UNMASK_IRQ, 16, 0, INTX, 0)).toBe(0);
    expect(world.count(E)).toBe(2);
    world.intx(false);
    const unmaskBy = (...fds: number[]): number => world.call(d, draft.DRAFT_DEVICE_SET_UNMASK_IRQ_EVENTFDS, 16 + 4 * fds.length, 0, INTX, fds.length, ...fds);
    expect([unmaskBy(U), unmaskBy(U), unmaskBy(U, U), unmaskBy(), unmaskBy()]).toEqual([0, -EBUSY, -EINVAL, 0, 0]);
    for (const words of [[15, 0, INTX, 0], [16, 1, INTX, 0], [16, 0, MSI, 0], [16, 0, INTX, 1]]) expect(world.call(d, draft.DRAFT_DEVICE_UNMASK_IRQ, ...words)).toBe(-EINVAL);
    expect(world.eventfds(d, INTX)).toBe(0);
    expect(world.eventfds(d, INTX)).toBe(-EINVAL);
  });

  it("messages: -1 leaves a vector out, a pin waits until they are disabled, count 0 disables", () => {
    const world = new DraftStage();
    const d = world.device(world.groupFd(12), world.A.name);
    const [E0, E2] = [world.eventfd(), world.eventfd()];
    world.configWrite(d, 4, 2, 6);
    expect(world.eventfds(d, MSI, E0, -1, E2)).toBe(0);
    world.event(0);
    world.event(1);
    world.event(2);
    expect([world.count(E0), world.count(E2)]).toEqual([1, 1]);
    expect([world.eventfds(d, INTX, E0), world.eventfds(d, MSIX, E0)]).toEqual([-EINVAL, -EINVAL]);
    expect(world.eventfds(d, MSI)).toBe(0);
    expect(world.eventfds(d, INTX, E0)).toBe(0);
    expect(world.eventfds(d, MSI, ...Array.from({ length: 5 }, () => E0))).toBe(-EINVAL);
    expect(world.call(d, draft.DRAFT_DEVICE_SET_IRQ_EVENTFDS, 19, 0, INTX, 1, E0)).toBe(-EINVAL);
    expect(world.call(d, draft.DRAFT_DEVICE_SET_IRQ_EVENTFDS, 20, 1, INTX, 1, E0)).toBe(-EINVAL);
    expect(world.eventfds(d, MSI + 2, E0)).toBe(-EINVAL);
    expect(world.eventfds(d, INTX, 77)).toBe(-EBADF);
  });
});
