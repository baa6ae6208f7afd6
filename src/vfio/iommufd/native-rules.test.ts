import { describe, expect, it } from "vitest";
import { MEMORY } from "../../explore/stages/vfio-stage.js";
import { PciStage } from "../../explore/stages/pci-stage.js";
import { EADDRINUSE, EEXIST, EINVAL, ENODEV, ENOSPC, EPERM } from "../../uapi/errno.js";
import * as iommufd from "../../uapi/iommufd.js";
import * as uapi from "../../uapi/vfio.js";
import { half, IommuStage, type Kind } from "../iommu/iommu-stage.fixture.js";
import { HwptStage } from "./hwpt-stage.fixture.js";

// Rules of single lines of an iommufd's requests (vfio.md 19), each of which nothing else fails without.

const { IOMMU_IOAS_MAP_FIXED_IOVA: FIXED, IOMMU_IOAS_MAP_READABLE: READABLE, IOMMU_IOAS_MAP_WRITEABLE: WRITEABLE } = iommufd;
const RANGES = MEMORY + 0x8_0000;

class RulesStage extends HwptStage {
  /** Another address space. */
  readonly other: number;

  constructor() {
    super();
    expect(this.call(this.iommu, iommufd.IOMMU_IOAS_ALLOC, 12, 0, 0)).toBe(0);
    this.other = this.answer(8);
  }

  mapAt(iova: bigint, size: bigint, vaddr: bigint | number = MEMORY, flags = FIXED | READABLE | WRITEABLE, ioas = this.ioas): number {
    return this.call(this.iommu, iommufd.IOMMU_IOAS_MAP, 40, flags, ioas, 0, ...half(vaddr), ...half(size), ...half(iova));
  }

  /** From this space into the other one. */
  copy(from: number, to: number, length: number, flags = FIXED | READABLE | WRITEABLE): number {
    return this.call(this.iommu, iommufd.IOMMU_IOAS_COPY, 40, flags, this.other, this.ioas, ...half(length), ...half(to), ...half(from));
  }

  /** Bytes that were mapped there. */
  unmapAll(ioas: number): bigint {
    expect(this.call(this.iommu, iommufd.IOMMU_IOAS_UNMAP, 24, ioas, 0, 0, 0xffff_ffff, 0xffff_ffff)).toBe(0);
    return this.answer64(16);
  }

  allow(...ranges: (readonly [bigint, bigint])[]): number {
    ranges.flat().forEach((value, i) => half(value).forEach((word, k) => this.process.memory.setU32(RANGES + 8 * i + 4 * k, word)));
    return this.call(this.iommu, iommufd.IOMMU_IOAS_ALLOW_IOVAS, 24, this.ioas, ranges.length, 0, ...half(RANGES));
  }

  compat(op: number, ioas = 0): number {
    const result = this.call(this.iommu, iommufd.IOMMU_VFIO_IOAS, 12, ioas, op);
    return result < 0 ? result : this.answer(4);
  }
}

describe("IOMMU_IOAS_COPY", () => {
  it("makes nothing writable that was given to be read", () => {
    const world = new RulesStage();
    expect(world.mapAt(0x1000n, 0x1000n, MEMORY, FIXED | READABLE)).toBe(0);
    expect([world.copy(0x1000, 0x1000, 0x1000), world.unmapAll(world.other)]).toEqual([-EPERM, 0n]);
    expect(world.copy(0x1000, 0x1000, 0x1000, FIXED | READABLE)).toBe(0);
  });

  it("that fails in the middle leaves nothing of it", () => {
    const world = new RulesStage();
    for (const iova of [0x1000n, 0x2000n]) world.mapAt(iova, 0x1000n);
    world.mapAt(0xa000n, 0x1000n, MEMORY, FIXED | READABLE, world.other);
    expect([world.copy(0x1000, 0x9000, 0x2000), world.unmapAll(world.other)]).toEqual([-EEXIST, 0x1000n]);
  });

  it("looks for one place for all of its parts", () => {
    const world = new RulesStage();
    world.mapAt(0x1_0000n, 0x1000n, MEMORY + 0x1000);
    world.mapAt(0x1_1000n, 0x1000n, MEMORY + 0x5000);
    world.mapAt(0x2000n, 0x1000n, MEMORY, FIXED | READABLE, world.other);
    expect([world.copy(0x1_0000, 0, 0x2000, READABLE | WRITEABLE), world.answer64(24)]).toEqual([0, 0x3000n]);
    expect(world.unmapAll(world.other)).toBe(0x3000n);
  });
});

describe("an address that the kernel chooses", () => {
  it("is as aligned as the memory is, and no more", () => {
    const chosen = (vaddr: number): bigint => {
      const world = new RulesStage();
      expect(world.mapAt(0n, 0x4000n, vaddr, READABLE)).toBe(0);
      return world.answer64(32);
    };
    expect([MEMORY, MEMORY + 0x2000, MEMORY + 0x1000].map(chosen)).toEqual([0x4000n, 0x2000n, 0x1000n]);
  });

  it("is one that the user allows it, and there is none beyond", () => {
    const world = new RulesStage();
    expect(world.allow([0x10_0000n, 0x10_1fffn], [0x20_0000n, 0x20_0fffn])).toBe(0);
    const chosen: bigint[] = [];
    for (let i = 0; i < 3; i++) {
      expect(world.mapAt(0n, 0x1000n, MEMORY, READABLE)).toBe(0);
      chosen.push(world.answer64(32));
    }
    expect([chosen, world.mapAt(0n, 0x1000n, MEMORY, READABLE)]).toEqual([[0x10_0000n, 0x10_1000n, 0x20_0000n], -ENOSPC]);
  });

  it("allowed ranges and a device's reserved ones keep each other out, whichever comes first", () => {
    const world = new RulesStage();
    expect([world.allow([0xfee0_0000n, 0xfee0_0fffn]), world.attach(world.ioas), world.allow(), world.attach(world.ioas)]).toEqual([0, -EADDRINUSE, 0, 0]);
    expect([world.allow([0xfee0_0000n, 0xfee0_0fffn]), world.allow([0x1000n, 0x1fffn])]).toEqual([-EADDRINUSE, 0]);
  });
});

describe("an iommufd that stands for a container", () => {
  const { IOMMU_VFIO_IOAS_GET: GET, IOMMU_VFIO_IOAS_SET: SET, IOMMU_VFIO_IOAS_CLEAR: CLEAR } = iommufd;
  const COMPAT: Kind = { name: "iommufd as type1 v2", type: uapi.VFIO_TYPE1v2_IOMMU, isIommufd: true };

  it("has the address space that it was given, until that is taken away or destroyed", () => {
    const world = new RulesStage();
    const isThere = (): boolean => world.ioctl(world.iommu, uapi.VFIO_CHECK_EXTENSION, uapi.VFIO_DMA_CC_IOMMU) !== -ENODEV;
    expect([world.compat(GET), isThere()]).toEqual([-ENODEV, false]);
    world.compat(SET, world.ioas);
    expect([world.compat(GET), isThere()]).toEqual([world.ioas, true]);
    world.compat(CLEAR);
    expect([world.compat(GET), isThere()]).toEqual([-ENODEV, false]);
    world.compat(SET, world.other);
    expect([world.destroy(world.other), world.compat(GET), isThere()]).toEqual([0, -ENODEV, false]);
  });

  it("unmaps all, or a range, and never all of a range", () => {
    const world = new IommuStage(COMPAT);
    const { c } = world.container();
    world.map(c, 0x1000n, 0x1000n);
    const all = (iova: bigint, size: bigint): number => world.unmap(c, iova, size, uapi.VFIO_DMA_UNMAP_FLAG_ALL)[0];
    expect([all(0x1000n, 0n), all(0n, 0x1000n), world.dmaRead(0x1000)]).toEqual([-EINVAL, -EINVAL, [0, 0, 0, 0]]);
    expect([all(0n, 0n), world.dmaRead(0x1000)]).toEqual([0, null]);
  });

  it("has groups that an IOMMU guards, or groups that none does", () => {
    const world = new PciStage({ hasNoIommu: true, capabilities: ["SYS_RAWIO"], core: { enableUnsafeNoiommuMode: true } });
    const [guarded, bare] = ["/dev/vfio/99", "/dev/vfio/noiommu-100"].map((path) => world.open(path));
    const [first, second] = [world.open("/dev/iommu"), world.open("/dev/iommu")];
    expect([world.setContainer(guarded, first), world.setContainer(bare, first)]).toEqual([0, -EINVAL]);
    expect([world.setContainer(bare, second), world.ioctl(guarded, uapi.VFIO_GROUP_UNSET_CONTAINER, 0), world.setContainer(guarded, second)]).toEqual([0, 0, -EINVAL]);
  });
});
