import { describe, expect, it } from "vitest";
import { EINVAL } from "../../uapi/errno.js";
import { IommuStage, type Kind, MAPPING_KINDS } from "./iommu-stage.fixture.js";

// Groups of one IOMMU whose last addresses differ, in one address space (vfio.md 17.3, 4, 7 and 9): 2^39 and 2^48.

const NARROW = 0x7f_ffff_ffffn;
const WIDE = 0xffff_ffff_ffffn;
const BEYOND = NARROW + 1n;

describe.each(MAPPING_KINDS.filter((kind) => kind.isSpapr !== true))("the IOMMU backend $name", (kind: Kind) => {
  it("a domain that two groups shared ends where it was made to end, after the group that it was made for has left", () => {
    const world = new IommuStage(kind, { apertureEnd: NARROW, apertureEndOfB: WIDE });
    const { c, g } = world.container();
    const a = world.deviceA(g);
    expect(world.join(c)).toBeGreaterThan(0);
    for (const fd of [a, g]) if (fd >= 0) world.close(fd);
    expect([world.map(c, BEYOND, 0x1000n), world.map(c, NARROW - 0xfffn, 0x1000n)]).toEqual([-EINVAL, 0]);
    expect([Number(BEYOND) - 0x1000, 0, Number(BEYOND)].map((iova) => world.dmaRead(iova, 1, world.dmaB))).toEqual([[0], null, null]);
  });

  it("what is mapped beyond a group's last address keeps it out; while it is in, nothing is mapped there", () => {
    const world = new IommuStage(kind, { apertureEnd: WIDE, apertureEndOfB: NARROW });
    const { c } = world.container();
    expect(world.map(c, BEYOND, 0x1000n)).toBe(0);
    expect([world.join(c) < 0, world.dmaRead(Number(BEYOND), 1), world.dmaRead(0, 1, world.dmaB)]).toEqual([true, [0], null]);
    expect(world.unmap(c, BEYOND, 0x1000n)[0]).toBe(0);
    const b = world.join(c);
    expect([b > 0, world.map(c, BEYOND, 0x1000n), world.map(c, 0x1000n, 0x1000n)]).toEqual([true, -EINVAL, 0]);
    expect([world.dmaRead(0x1000, 1), world.dmaRead(0x1000, 1, world.dmaB)]).toEqual([[0], [0]]);
    world.close(b);
    expect([world.map(c, BEYOND, 0x1000n), world.dmaRead(Number(BEYOND), 1), world.dmaRead(0, 1)]).toEqual([0, [0], null]);
  });
});
