import { describe, expect, it } from "vitest";
import { EVENTFD, INTX, NONE, PciStage, TRIGGER, UNMASK } from "../../explore/stages/pci-stage.js";
import { ARGUMENTS, MEMORY } from "../../explore/stages/vfio-stage.js";
import { IommuDomain } from "../../host/iommu/domain.js";
import { IommuGroup } from "../../host/iommu/group.js";
import { run } from "../../sim/step.js";
import { EBUSY, EINVAL, ENOMEM, EPERM } from "../../uapi/errno.js";
import * as iommufd from "../../uapi/iommufd.js";
import * as uapi from "../../uapi/vfio.js";
import { half, IommuStage, SPAPR_V2 } from "./iommu-stage.fixture.js";

// Rules of single lines of groups, containers and receivers, each of which nothing else fails without.

describe("IOMMU groups and address spaces", () => {
  it("2.5: a group whose domain is not the host's cannot be claimed", () => {
    const world = new PciStage();
    const group = new IommuGroup(world.sim, 77);
    run(group.attach(new IommuDomain("iommu")));
    expect([run(group.claimDmaOwner({})), group.describeOwnership()]).toEqual([-EBUSY, "kernel 0 user"]);
  });

  it("20.2: what a device needs identity-mapped while the host has it is no hole in a user's space", () => {
    const region = { start: 0x10_0000n, end: 0x1f_ffffn };
    const mapped = (kind: "direct-relaxable" | "reserved"): number => {
      const world = new PciStage({ reserved: [{ ...region, kind }] });
      return world.map(world.ready().c, 0x10_0000n, 0x1000n);
    };
    expect([mapped("direct-relaxable"), mapped("reserved")]).toEqual([0, -EINVAL]);
  });

  it("17.5: who gives a mapping another address pays for it: ENOMEM over its own limit", () => {
    const world = new PciStage();
    const { c } = world.ready();
    expect(world.map(c, 0n, 0x1_0000n)).toBe(0);
    expect(world.unmap(c, 0n, 0x1_0000n, uapi.VFIO_DMA_UNMAP_FLAG_VADDR)[0]).toBe(0);
    const again = (lockedMemoryLimit: number): number => {
      const other = world.newProcess("other", { lockedMemoryLimit });
      const fd = world.process.sendFile(c, other);
      [32, uapi.VFIO_DMA_MAP_FLAG_VADDR, ...half(MEMORY), ...half(0), ...half(0x1_0000)].forEach((word, i) => other.memory.setU32(ARGUMENTS + 4 * i, word));
      return world.ioctl(fd, uapi.VFIO_IOMMU_MAP_DMA, ARGUMENTS, other);
    };
    expect([again(0x8000), again(0x1_0000)]).toEqual([-ENOMEM, 0]);
  });

  it("18: REGISTER_MEMORY has no flags", () => {
    const world = new IommuStage(SPAPR_V2);
    const { c } = world.container();
    const register = (flags: number): number => world.call(c, uapi.VFIO_IOMMU_SPAPR_REGISTER_MEMORY, 24, flags, ...half(MEMORY + 0x8_0000), ...half(0x1000));
    expect([register(1), register(0)]).toEqual([-EINVAL, 0]);
  });

  it("19: how locked memory is counted is for who may raise limits", () => {
    const set = (capabilities: readonly string[]): number => {
      const world = new PciStage({ capabilities });
      return world.call(world.open("/dev/iommu"), iommufd.IOMMU_OPTION, 24, iommufd.IOMMU_OPTION_RLIMIT_MODE, iommufd.IOMMU_OPTION_OP_SET, 0, 1, 0);
    };
    expect([set([]), set(["SYS_RESOURCE"])]).toEqual([-EPERM, 0]);
  });
});

describe("the receiver of an eventfd", () => {
  it("9: is kept where another is refused", () => {
    const world = new PciStage();
    const { d } = world.ready();
    const [E, U, other] = [world.eventfd(), world.eventfd(), world.eventfd()];
    world.setIrqs(d, INTX, EVENTFD | TRIGGER, 0, 1, E);
    expect([U, other].map((fd) => world.setIrqs(d, INTX, EVENTFD | UNMASK, 0, 1, fd))).toEqual([0, -EBUSY]);
    world.intx(true);
    world.intx(false);
    world.signal(other);
    world.settle();
    expect(world.isDisIntx).toBe(true);
    world.signal(U);
    world.settle();
    expect(world.isDisIntx).toBe(false);
    // It is the one that is taken away, and the slot is free.
    expect(world.setIrqs(d, INTX, EVENTFD | UNMASK, 0, 1, -1)).toBe(0);
    world.intx(true);
    world.intx(false);
    world.signal(U);
    world.settle();
    expect(world.isDisIntx).toBe(true);
    expect(world.setIrqs(d, INTX, EVENTFD | UNMASK, 0, 1, other)).toBe(0);
    expect(world.setIrqs(d, INTX, NONE | TRIGGER, 0, 0)).toBe(0);
  });
});
