import { describe, expect, it } from "vitest";
import { VfioStage } from "../../explore/stages/vfio-stage.js";
import { IommuGroup, type IommuGroupOptions } from "../../host/iommu/group.js";
import { run } from "../../sim/step.js";
import { VFIO_DMA_CC_IOMMU, VFIO_TYPE1v2_IOMMU } from "../../uapi/vfio.js";
import { Type1Backend } from "./type1.js";
import { Type1Instance } from "./type1-instance.js";

// What groups of different IOMMUs make of one address space (vfio.md 17.1, 17.3, 17.4).

class Space {
  readonly instance: Type1Instance;
  private next = 50;

  constructor(private readonly world = new VfioStage()) {
    const instance = new Type1Backend(world.sim).open(VFIO_TYPE1v2_IOMMU);
    if (!(instance instanceof Type1Instance)) throw new Error(`open: ${String(instance)}`);
    this.instance = instance;
  }

  /** A group that is attached. */
  with(options: IommuGroupOptions): IommuGroup {
    const group = new IommuGroup(this.world.sim, this.next++, options);
    expect(run(this.instance.attachGroup(group))).toBe(0);
    return group;
  }

  get isCoherent(): boolean {
    return run(this.instance.checkExtension(VFIO_DMA_CC_IOMMU)) === 1;
  }

  leave(group: IommuGroup): void {
    run(this.instance.detachGroup(group));
  }
}

describe("one type1 address space over several IOMMUs", () => {
  it("17.1: enforces coherency as long as every domain does, whichever came first, and none where there is none", () => {
    const space = new Space();
    expect(space.isCoherent).toBe(false);
    const [coherent, other] = [space.with({}), space.with({ enforcesCoherency: false })];
    expect(space.isCoherent).toBe(false);
    space.leave(coherent);
    expect(space.isCoherent).toBe(false);
    space.with({});
    expect(space.isCoherent).toBe(false);
    space.leave(other);
    expect(space.isCoherent).toBe(true);
  });

  it("17.3, step 7: groups share a domain that is of the same IOMMU and the same coherency, and no other", () => {
    const space = new Space();
    const domain = (options: IommuGroupOptions): object | string => run(space.with(options).current());
    const first = domain({ iommu: "a" });
    const weak = domain({ iommu: "a", enforcesCoherency: false });
    const other = domain({ iommu: "b" });
    expect(new Set([first, weak, other]).size).toBe(3);
    expect([domain({ iommu: "a" }) === first, domain({ iommu: "a", enforcesCoherency: false }) === weak, domain({ iommu: "b" }) === other]).toEqual([true, true, true]);
  });

  it("17.4: sizes below the CPU's page are one page; without one of them the smallest common size is the unit", () => {
    const sizes = (...each: bigint[]): [bigint, bigint] => {
      const space = new Space();
      for (const pageSizes of each) space.with({ iommu: `of ${pageSizes}`, pageSizes });
      return [space.instance.pageSizes, space.instance.unit];
    };
    expect(sizes(0x4020_0200n)).toEqual([0x4020_1000n, 0x1000n]);
    expect(sizes(0x4020_0e00n, 0x20_0400n)).toEqual([0x20_1000n, 0x1000n]);
    expect(sizes(0x4020_0200n, 0x4020_0400n)).toEqual([0x4020_0000n, 0x20_0000n]);
    expect(sizes(0x4021_0000n, 0x4021_1000n)).toEqual([0x4021_0000n, 0x1_0000n]);
  });
});
