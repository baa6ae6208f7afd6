import { describe, expect, it } from "vitest";
import { IommuDma } from "../../host/iommu/dma.js";
import { run } from "../../sim/step.js";
import { EFAULT, EINVAL, ENOENT } from "../../uapi/errno.js";
import * as iommufd from "../../uapi/iommufd.js";
import * as uapi from "../../uapi/vfio.js";
import { VFIO_IOMMU_FAULT_BLOCKED as BLOCKED, VFIO_IOMMU_FAULT_PERMISSION as PERMISSION, VFIO_IOMMU_FAULT_UNANSWERED as UNANSWERED, VFIO_IOMMU_FAULT_WRITE as WRITE, VFIO_IOMMU_TAKE_FAULT } from "../../uapi/vfio-fault.js";
import { MEMORY } from "../../explore/stages/vfio-stage.js";
import { IommuStage, MAPPING_KINDS, TYPE1_V2 } from "./iommu-stage.fixture.js";

// DMA that is terminated is told to the owner of the group, whichever backend translates.

const A_STREAM = 0x600;
const [READ_ONLY, READ_WRITE] = [1, 3];

class FaultStage extends IommuStage {
  /** Flags, group, stream, low address, faults left and lost; or a negative errno. */
  takeFault(c: number, argsz = 32): number | number[] {
    const result = this.call(c, VFIO_IOMMU_TAKE_FAULT, argsz, 0);
    return result < 0 ? result : [4, 8, 12, 16, 24, 28].map((at) => this.answer(at));
  }

  writes(iova: number): boolean {
    return this.dmaWrite(iova, [1, 2, 3, 4]);
  }

  reads(iova: number): boolean {
    return this.dmaRead(iova) !== null;
  }
}

describe.each(MAPPING_KINDS)("faults behind $name", (kind) => {
  it("what is not mapped, or no longer, or not for writing, is told in order, and once", () => {
    const world = new FaultStage(kind);
    const { c } = world.container();
    expect(world.takeFault(c)).toBe(-ENOENT);
    expect(world.map(c, 0x2000n, 0x1000n, MEMORY, READ_WRITE)).toBe(0);
    expect([world.writes(0x2000), world.writes(0x3000), world.reads(0x5000)]).toEqual([true, false, false]);
    expect(world.unmap(c, 0x2000n, 0x1000n)[0]).toBe(0);
    expect(world.reads(0x2ffc)).toBe(false);
    expect(world.takeFault(c)).toEqual([WRITE, 12, A_STREAM, 0x3000, 2, 0]);
    expect(world.takeFault(c)).toEqual([0, 12, A_STREAM, 0x5000, 1, 0]);
    expect(world.takeFault(c)).toEqual([0, 12, A_STREAM, 0x2ffc, 0, 0]);
    expect(world.takeFault(c)).toBe(-ENOENT);
    if (kind.hasNoDirections) return;
    expect(world.map(c, 0x2000n, 0x1000n, MEMORY, READ_ONLY)).toBe(0);
    expect([world.reads(0x2000), world.writes(0x2000)]).toEqual([true, false]);
    expect(world.takeFault(c)).toEqual([PERMISSION | WRITE, 12, A_STREAM, 0x2000, 0, 0]);
  });

  it("a call that is wrong takes none; what finds no room is counted", () => {
    const world = new FaultStage(kind);
    const { c } = world.container();
    for (let i = 0; i < 515; i++) expect(world.writes(0x10_0000 + 0x1000 * i)).toBe(false);
    expect([world.takeFault(c, 31), world.ioctl(c, VFIO_IOMMU_TAKE_FAULT, 0xdead_0000)]).toEqual([-EINVAL, -EFAULT]);
    expect(world.takeFault(c)).toEqual([WRITE, 12, A_STREAM, 0x10_0000, 511, 3]);
    expect(world.takeFault(c)).toEqual([WRITE, 12, A_STREAM, 0x10_1000, 510, 0]);
  });
});

describe("faults", () => {
  it("of DMA into another device's registers, which do not decode, are told to the owner: the IOMMU has let it through", () => {
    const world = new FaultStage(TYPE1_V2);
    const { c, g } = world.container();
    const d = world.deviceA(g);
    world.configWrite(d, 4, 2, 6);
    const bar = run(world.process.mmap(d, 0x1000, 0));
    expect(world.map(c, 0x10_0000n, 0x1000n, bar, READ_WRITE)).toBe(0);
    expect([world.reads(0x10_0000), world.takeFault(c)]).toEqual([true, -ENOENT]);
    world.configWrite(d, 4, 2, 4);
    expect([world.reads(0x10_0010), world.writes(0x10_0020)]).toEqual([false, false]);
    expect([world.takeFault(c), world.takeFault(c), world.takeFault(c)]).toEqual([[UNANSWERED, 12, A_STREAM, 0x10_0010, 1, 0], [UNANSWERED | WRITE, 12, A_STREAM, 0x10_0020, 0, 0], -ENOENT]);
    expect(world.dmaA instanceof IommuDma && world.dmaA.faults).toBe(2);
  });

  it("of a group that has no address space yet are its iommufd's; of one that nobody owns, nobody's but the trace's", () => {
    const world = new FaultStage(TYPE1_V2);
    const [iommu, d] = [world.open("/dev/iommu"), world.open("/dev/vfio/devices/vfio2")];
    expect(world.call(d, uapi.VFIO_DEVICE_BIND_IOMMUFD, 16, 0, iommu, 0)).toBe(0);
    expect([world.writes(0x1000), world.takeFault(iommu)]).toEqual([false, [WRITE | BLOCKED, 12, A_STREAM, 0x1000, 0, 0]]);
    expect(world.call(iommu, iommufd.IOMMU_IOAS_ALLOC, 12, 0, 0)).toBe(0);
    expect(world.call(d, uapi.VFIO_DEVICE_ATTACH_IOMMUFD_PT, 12, 0, world.answer(8))).toBe(0);
    expect([world.writes(0x1000), world.takeFault(iommu)]).toEqual([false, [WRITE, 12, A_STREAM, 0x1000, 0, 0]]);
    world.close(d);
    world.machine.trace.clear();
    expect([world.writes(0x1000), world.takeFault(iommu)]).toEqual([false, -ENOENT]);
    expect(world.machine.trace.lines("iommu_fault")).toEqual([`iommu_fault(${A_STREAM},4096,1,aborted)`]);
  });

  it("are not the next owner's: each has its own, and a container without an IOMMU has none", () => {
    const world = new FaultStage(TYPE1_V2);
    const { c, g } = world.container();
    world.writes(0x1000);
    expect(world.ioctl(g, uapi.VFIO_GROUP_UNSET_CONTAINER, 0)).toBe(0);
    expect(world.takeFault(c)).toBe(-EINVAL);
    const next = world.open("/dev/vfio/vfio");
    expect([world.takeFault(next), world.setContainer(g, next), world.ioctl(next, uapi.VFIO_SET_IOMMU, 3), world.takeFault(next)]).toEqual([-EINVAL, 0, 0, -ENOENT]);
  });
});
