import { describe, expect, it } from "vitest";
import { Msi } from "../../arch/pci/config-registers.js";
import { IommuDma } from "../../host/iommu/dma.js";
import type { IommuGroup } from "../../host/iommu/group.js";
import { type XenGuest, XenHypervisor } from "../../host/xen/hypervisor.js";
import { XenMsiDomain } from "../../host/xen/msi-domain.js";
import { run } from "../../sim/step.js";
import { EBUSY, EFAULT, EINVAL, EPERM } from "../../uapi/errno.js";
import * as uapi from "../../uapi/vfio.js";
import { ARGUMENTS, MEMORY, MEMORY_SIZE } from "../../explore/stages/vfio-stage.js";
import { EVENTFD, MSI, PciStage, type PciStageOptions, TRIGGER } from "../../explore/stages/pci-stage.js";
import { SpaprBackend } from "./spapr.js";
import { XenIommuBackend } from "./xen.js";

// One suite for every IOMMU backend that maps (vfio.md 17, 18, 19, 21.3): what holds whoever translates.

const GUEST = 5;
const TCE = { windowStart: 0n, windowSize: 0x4000_0000n, dynamicPageSizes: 0x1_1000n, maxLevels: 4 };
const half = (value: bigint | number): number[] => [Number(BigInt.asUintN(32, BigInt(value))), Number(BigInt(value) >> 32n)];

interface Kind {
  readonly name: string;
  readonly type: number;
  /** The container is /dev/iommu. */
  readonly isIommufd?: boolean;
  readonly isSpapr?: boolean;
  readonly isXen?: boolean;
  /** A direction alone cannot be mapped: memory_mapping has none. */
  readonly hasNoDirections?: boolean;
  /** What is mapped may be mapped over: a translation entry is simply written. */
  readonly overwrites?: boolean;
}

const KINDS: readonly Kind[] = [
  { name: "type1 v1", type: uapi.VFIO_TYPE1_IOMMU },
  { name: "type1 v2", type: uapi.VFIO_TYPE1v2_IOMMU },
  { name: "iommufd as type1 v1", type: uapi.VFIO_TYPE1_IOMMU, isIommufd: true },
  { name: "iommufd as type1 v2", type: uapi.VFIO_TYPE1v2_IOMMU, isIommufd: true },
  { name: "spapr v1", type: uapi.VFIO_SPAPR_TCE_IOMMU, isSpapr: true, overwrites: true },
  { name: "spapr v2", type: uapi.VFIO_SPAPR_TCE_v2_IOMMU, isSpapr: true, overwrites: true },
  { name: "xen", type: uapi.VFIO_XEN_IOMMU, isXen: true, hasNoDirections: true },
];

class IommuStage extends PciStage {
  readonly xen: XenHypervisor;
  readonly dmaA: IommuDma;
  readonly dmaB: IommuDma;

  constructor(readonly kind: Kind, options: PciStageOptions = {}) {
    super({ ...options, separateGroups: true, lockedMemoryLimit: options.lockedMemoryLimit ?? 2 ** 31, ...(kind.isSpapr ? { tce: TCE } : {}) });
    this.xen = new XenHypervisor(this.sim);
    this.xen.addGuest(GUEST);
    this.vfio.registerIommu(new SpaprBackend(this.sim));
    this.vfio.registerIommu(new XenIommuBackend(this.sim, this.xen, GUEST, options.allowUnsafeInterrupts));
    this.dmaA = new IommuDma(this.smmu, this.pciGroup, 0x600);
    this.dmaB = new IommuDma(this.smmu, this.groupB, 0x601);
  }

  get groupB(): IommuGroup {
    const { group } = this.B;
    if (group === null) throw new Error("B has no group");
    return group;
  }

  /** A container of the kind with group 12 in it, ready to map. */
  container(): { c: number; g: number } {
    const c = this.open(this.kind.isIommufd ? "/dev/iommu" : "/dev/vfio/vfio");
    const g = this.open("/dev/vfio/12");
    expect(this.setContainer(g, c)).toBe(0);
    expect(this.ioctl(c, uapi.VFIO_SET_IOMMU, this.kind.type)).toBe(0);
    // A device that is opened attaches its group to an iommufd.
    if (this.kind.isIommufd) expect(this.deviceFd(g, this.A.name)).toBeGreaterThan(0);
    if (this.kind.type === uapi.VFIO_SPAPR_TCE_IOMMU) expect(this.ioctl(c, uapi.VFIO_IOMMU_ENABLE, 0)).toBe(0);
    if (this.kind.type === uapi.VFIO_SPAPR_TCE_v2_IOMMU) expect(this.register(c, MEMORY, 0x4_0000)).toBe(0);
    return { c, g };
  }

  register(c: number, vaddr: number, size: number, request = uapi.VFIO_IOMMU_SPAPR_REGISTER_MEMORY): number {
    return this.call(c, request, 24, 0, ...half(vaddr), ...half(size));
  }

  /** What a device reads at an address; null: the transaction was terminated. */
  dmaRead(iova: number, length = 4, dma = this.dmaA): number[] | null {
    const bytes = new Uint8Array(length);
    return run(dma.read(iova, bytes)) ? [...bytes] : null;
  }

  dmaWrite(iova: number, bytes: number[], dma = this.dmaA): boolean {
    return run(dma.write(iova, Uint8Array.from(bytes)));
  }
}

describe.each(KINDS)("the IOMMU backend $name", (kind) => {
  const stage = (): { world: IommuStage; c: number; g: number } => {
    const world = new IommuStage(kind);
    return { world, ...world.container() };
  };

  it("is found by CHECK_EXTENSION, and chosen once", () => {
    const { world, c } = stage();
    expect(world.ioctl(c, uapi.VFIO_CHECK_EXTENSION, kind.type)).toBe(1);
    if (!kind.isIommufd) expect(world.ioctl(c, uapi.VFIO_SET_IOMMU, kind.type)).toBe(-EINVAL);
  });

  it("leads DMA to the memory that was mapped, across pages, and terminates what is outside", () => {
    const { world, c } = stage();
    expect(world.map(c, 0x10_0000n, 0x2000n, MEMORY + 0x3000)).toBe(0);
    expect(world.dmaWrite(0x10_0ffe, [1, 2, 3, 4])).toBe(true);
    expect([0, 1, 2, 3].map((i) => world.process.memory.getU8(MEMORY + 0x3ffe + i))).toEqual([1, 2, 3, 4]);
    expect(world.dmaRead(0x10_0ffe)).toEqual([1, 2, 3, 4]);
    for (const iova of [0xf_fffc, 0x10_2000, 0]) expect(world.dmaRead(iova)).toBeNull();
    expect(world.dmaWrite(0x10_1ffe, [9, 9, 9, 9])).toBe(false);
    expect(world.smmu.events.records.map((each) => each.iova)).toEqual([0xf_fffc, 0x10_2000, 0, 0x10_2000]);
  });

  it("20.1: takes a group whose members could forge messages only where it was asked for, or hardware knows each endpoint's", () => {
    const refuses = (allowUnsafeInterrupts: boolean): boolean => {
      const world = new IommuStage(kind, { isMsiIsolated: false, allowUnsafeInterrupts, core: { allowUnsafeInterrupts } });
      const c = world.open(kind.isIommufd ? "/dev/iommu" : "/dev/vfio/vfio");
      const g = world.open("/dev/vfio/12");
      world.setContainer(g, c);
      const result = world.ioctl(c, uapi.VFIO_SET_IOMMU, kind.type);
      return result === -EPERM || (kind.isIommufd === true && world.deviceFd(g, world.A.name) === -EPERM);
    };
    expect([refuses(false), refuses(true)]).toEqual([kind.isSpapr !== true, false]);
  });

  it("K24: a group whose reserved addresses are mapped already does not join", () => {
    const world = new IommuStage(kind, { reservedOfB: [{ start: 0x4000n, end: 0x4fffn, kind: "reserved" }] });
    const { c } = world.container();
    world.map(c, 0x4000n, 0x1000n);
    const g = world.open("/dev/vfio/13");
    const joined = world.setContainer(g, c);
    const opened = world.deviceFd(g, world.B.name);
    expect(Math.min(joined, opened)).toBeLessThan(0);
    expect(world.dmaRead(0x4000, 4, world.dmaB)).toBeNull();
    if (kind.type === uapi.VFIO_SPAPR_TCE_IOMMU) return;
    world.unmap(c, 0x4000n, 0x1000n);
    if (!kind.isIommufd) expect(world.setContainer(g, c)).toBe(0);
    expect(world.deviceFd(g, world.B.name)).toBeGreaterThan(0);
  });

  it("17.5: DMA to another device's registers reaches them, and nothing where they do not decode", () => {
    if (kind.type === uapi.VFIO_SPAPR_TCE_IOMMU || kind.type === uapi.VFIO_SPAPR_TCE_v2_IOMMU) return;
    const { world, c, g } = stage();
    const d = world.deviceFd(g, world.A.name);
    world.configWrite(d, 4, 2, 6);
    const bar = run(world.process.mmap(d, 0x1000, 0));
    expect(world.map(c, 0x9000n, 0x1000n, bar)).toBe(0);
    world.bar0.values.set(8, 0x77);
    expect(world.dmaRead(0x9008)).toEqual([0x77, 0, 0, 0]);
    expect([world.dmaWrite(0x9008, [1, 0, 0, 0]), world.bar0.values.get(8)]).toEqual([true, 1]);
    world.configWrite(d, 4, 2, 0);
    expect(world.dmaRead(0x9008)).toBeNull();
  });

  it("allows what was asked for and no more", () => {
    const { world, c } = stage();
    expect(world.map(c, 0x1000n, 0x1000n, MEMORY, uapi.VFIO_DMA_MAP_FLAG_READ)).toBe(kind.hasNoDirections ? -95 : 0);
    expect(world.map(c, 0x2000n, 0x1000n, MEMORY, uapi.VFIO_DMA_MAP_FLAG_WRITE)).toBe(kind.hasNoDirections ? -95 : 0);
    if (kind.hasNoDirections) return;
    expect([world.dmaRead(0x1000), world.dmaWrite(0x1000, [1])]).toEqual([[0, 0, 0, 0], false]);
    expect([world.dmaRead(0x2000), world.dmaWrite(0x2000, [1])]).toEqual([null, true]);
    expect(world.smmu.events.records.map((each) => each.fault)).toEqual(["F_PERMISSION", "F_PERMISSION"]);
  });

  it("ends DMA with the unmap, and with the group that leaves", () => {
    const { world, c, g } = stage();
    world.map(c, 0x1000n, 0x1000n);
    world.map(c, 0x8000n, 0x1000n);
    expect(world.unmap(c, 0x1000n, 0x1000n)[0]).toBe(0);
    expect([world.dmaRead(0x1000), world.dmaRead(0x8000)]).toEqual([null, [0, 0, 0, 0]]);
    run(world.process.exit());
    expect([world.dmaRead(0x8000), world.pciGroup.describeOwnership(), world.process.lockedMemory]).toEqual([null, "kernel 0 default", 0]);
    expect(g).toBeGreaterThan(0);
  });

  it("reaches no memory from another group, before and after that joins and leaves", () => {
    const { world, c } = stage();
    world.map(c, 0x1000n, 0x1000n);
    expect(world.dmaRead(0x1000, 4, world.dmaB)).toBeNull();
    const other = world.open("/dev/vfio/13");
    const joined = world.setContainer(other, c);
    if (kind.type === uapi.VFIO_SPAPR_TCE_IOMMU) {
      expect(joined).toBe(-EBUSY);
      return;
    }
    const b = world.deviceFd(other, world.B.name);
    expect(world.dmaRead(0x1000, 4, world.dmaB)).toEqual([0, 0, 0, 0]);
    world.close(b);
    expect(world.ioctl(other, uapi.VFIO_GROUP_UNSET_CONTAINER, 0)).toBe(0);
    expect([world.dmaRead(0x1000, 4, world.dmaB), world.dmaRead(0x1000)]).toEqual([null, [0, 0, 0, 0]]);
  });

  it("maps nothing over the doorbells that its group reserves, and a device that writes another's message there reaches nobody", () => {
    const { world, c, g } = stage();
    const outside = [uapi.VFIO_SPAPR_TCE_IOMMU, uapi.VFIO_SPAPR_TCE_v2_IOMMU].includes(kind.type);
    expect(world.map(c, 0xfee0_0000n, 0x1000n)).toBe(outside ? -6 : -EINVAL);
    expect(world.map(c, 0xfedf_f000n, 0x2000n)).toBe(outside ? -6 : -EINVAL);
    const { host } = world.machine;
    host.msi = new XenMsiDomain(host.irqs, world.xen.pirqs);
    const d = world.deviceFd(g, world.A.name);
    const E = world.eventfd();
    world.configWrite(d, 4, 2, 6);
    expect(world.setIrqs(d, MSI, EVENTFD | TRIGGER, 0, 1, E)).toBe(0);
    const data = world.A.fn.peek(world.A.fn.capability(5) + Msi.DATA_64, 2);
    run(world.root.message(world.B.fn.requesterId, 0, 0xfee0_0000 | 0, data));
    world.settle();
    expect([data, world.take(E), world.dmaWrite(0xfee0_0000, [data]), world.dmaWrite(0xfee0_0000, [data], world.dmaB)]).toEqual([run(world.xen.pirqs.numbers())[0], -11, false, false]);
  });

  it.each(["dgc", "dcg", "gdc", "gcd", "cdg", "cgd"])("a monitor that closes in the order %s leaves nothing mapped, locked or owned", (order) => {
    const { world, c, g } = stage();
    const fds: Readonly<Record<string, number>> = { c, g, d: world.deviceFd(g, world.A.name) };
    world.map(c, 0x1000n, 0x1000n);
    expect(world.dmaRead(0x1000)).not.toBeNull();
    for (const which of order) {
      expect(world.close(fds[which])).toBe(0);
      const isOwned = world.pciGroup.describeOwnership() !== "kernel 0 default";
      if (!isOwned) expect(world.dmaRead(0x1000)).toBeNull();
    }
    run(world.process.exit());
    world.settle();
    expect([world.dmaRead(0x1000), world.dmaWrite(0x1000, [1]), world.pciGroup.describeOwnership(), world.process.lockedMemory]).toEqual([null, false, "kernel 0 default", 0]);
  });

  it("is told of mappings twice: refused, or written over where the hardware's entry is all there is", () => {
    const { world, c } = stage();
    world.map(c, 0x1000n, 0x2000n);
    const again = world.map(c, 0x2000n, 0x1000n, MEMORY + 0x9000);
    expect(again).toBe(kind.overwrites ? 0 : -17);
    world.process.memory.setU8(MEMORY + 0x9000, 7);
    expect(world.dmaRead(0x2000, 1)).toEqual([kind.overwrites ? 7 : 0]);
  });

  it("refuses what is not of whole pages, has no flag that it knows, or points nowhere", () => {
    const { world, c } = stage();
    const before = world.process.lockedMemory;
    expect(world.map(c, 0x800n, 0x1000n)).toBe(-EINVAL);
    expect(world.map(c, 0x1000n, 0x800n)).toBe(-EINVAL);
    expect(world.map(c, 0x1000n, 0x1000n, MEMORY + 0x800)).toBe(-EINVAL);
    expect(world.map(c, 0x1000n, 0n)).toBe(-EINVAL);
    expect(world.map(c, 0x1000n, 0x1000n, MEMORY, 0x13)).toBe(-EINVAL);
    expect(world.map(c, 0x1000n, 0x1000n, MEMORY + MEMORY_SIZE)).toBe(kind.type === uapi.VFIO_SPAPR_TCE_v2_IOMMU ? -EINVAL : -EFAULT);
    expect(world.call(c, uapi.VFIO_IOMMU_MAP_DMA, 31, 3)).toBe(-EINVAL);
    expect(world.ioctl(c, uapi.VFIO_IOMMU_MAP_DMA, 0xdead_0000)).toBe(-EFAULT);
    expect(world.ioctl(c, uapi.VFIO_IOMMU_UNMAP_DMA, 0xdead_0000)).toBe(-EFAULT);
    expect(world.call(c, uapi.VFIO_IOMMU_UNMAP_DMA, 23, 0)).toBe(-EINVAL);
    expect(world.unmap(c, 0x1000n, 0x1000n, 0x10)[0]).toBe(-EINVAL);
    expect([world.dmaRead(0x1000), world.process.lockedMemory]).toEqual([null, before]);
  });

  it("leaves the account as it was when a mapping ends", () => {
    const { world, c } = stage();
    const before = world.process.lockedMemory;
    for (let i = 0; i < 3; i++) {
      expect(world.map(c, 0x1000n, 0x4000n)).toBe(0);
      expect(world.unmap(c, 0x1000n, 0x4000n)[0]).toBe(0);
    }
    expect(world.process.lockedMemory).toBe(before);
  });

  it("has large and small runs of pages come and go without a trace of each other", () => {
    const { world, c } = stage();
    for (let i = 0; i < 16; i++) expect(world.map(c, BigInt(0x2000 * i), 0x1000n, MEMORY + 0x1000 * i)).toBe(0);
    for (let i = 0; i < 16; i += 2) expect(world.unmap(c, BigInt(0x2000 * i), 0x1000n)[0]).toBe(0);
    for (let i = 0; i < 16; i++) {
      world.process.memory.setU8(MEMORY + 0x1000 * i, i);
      expect(world.dmaRead(0x2000 * i, 1)).toEqual(i % 2 === 0 ? null : [i]);
    }
    expect(world.map(c, 0n, 0x2000n, MEMORY + 0x2_0000)).toBe(0);
    expect(world.dmaRead(0x1000, 1)).toEqual([0]);
  });

  it("no request that it does not know does anything", () => {
    const { world, c } = stage();
    expect(world.ioctl(c, 0x3bff, ARGUMENTS)).toBe(-25);
    expect(world.ioctl(c, uapi.VFIO_EEH_PE_OP, ARGUMENTS)).toBe(-25);
  });
});

describe("18: windows of a Power machine", () => {
  const stage = (index: 4 | 5, options = {}): { world: IommuStage; c: number } => {
    const world = new IommuStage(KINDS[index], options);
    return { world, c: world.container().c };
  };

  it("v1: is enabled once, with all of its window on the account", () => {
    const { world, c } = stage(4);
    expect(world.process.lockedMemory).toBe(0x4000_0000);
    expect(world.ioctl(c, uapi.VFIO_IOMMU_ENABLE, 0)).toBe(-EBUSY);
    expect(world.ioctl(c, uapi.VFIO_IOMMU_DISABLE, 0)).toBe(0);
    expect(world.ioctl(c, uapi.VFIO_IOMMU_DISABLE, 0)).toBe(-EPERM);
    expect([world.map(c, 0n, 0x1000n), world.unmap(c, 0n, 0x1000n)[0], world.process.lockedMemory]).toEqual([-EPERM, -EPERM, 0]);
    Object.assign(world.process, { lockedMemoryLimit: 0x1000 });
    expect(world.ioctl(c, uapi.VFIO_IOMMU_ENABLE, 0)).toBe(-12);
  });

  it("v1 knows nothing of windows and registered memory, v2 nothing of enabling", () => {
    const one = stage(4);
    for (const request of [17, 18, 19, 20]) expect(one.world.call(one.c, 0x3b64 + request, 64)).toBe(-25);
    const two = stage(5);
    for (const request of [15, 16]) expect(two.world.ioctl(two.c, 0x3b64 + request, 0)).toBe(-25);
  });

  it.each([4, 5] as const)("%i: tells the window, and outside of it nothing is mapped", (index) => {
    const { world, c } = stage(index);
    expect(world.call(c, uapi.VFIO_IOMMU_SPAPR_TCE_GET_INFO, 15)).toBe(-EINVAL);
    expect(world.call(c, uapi.VFIO_IOMMU_SPAPR_TCE_GET_INFO, 32)).toBe(0);
    expect([world.answer(4), world.answer(8), world.answer(12)]).toEqual([index === 5 ? 1 : 0, 0, 0x4000_0000]);
    if (index === 5) expect([world.answer64(16), world.answer(28)]).toEqual([0x1_1000n, 4]);
    expect(world.map(c, 0x4000_0000n, 0x1000n)).toBe(-6);
    expect(world.map(c, 0x3fff_f000n, 0x2000n)).toBe(-EINVAL);
    expect(world.unmap(c, 0x4000_0000n, 0x1000n)[0]).toBe(-6);
  });

  it("v2: memory is registered once, on the account, and not let go while it is mapped", () => {
    const { world, c } = stage(5);
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
    const world = new IommuStage(KINDS[5]);
    const { c, g } = world.container();
    const bar = run(world.process.mmap(world.deviceFd(g, world.A.name), 0x1_0000, 0));
    const before = world.process.lockedMemory;
    expect([world.register(c, bar, 0x1_0000), world.process.lockedMemory]).toEqual([-EFAULT, before]);
  });

  it("v2: is one process's memory", () => {
    const { world, c } = stage(5);
    const other = world.newProcess("other");
    const theirs = world.process.sendFile(c, other);
    expect(world.ioctl(theirs, uapi.VFIO_IOMMU_SPAPR_TCE_GET_INFO, ARGUMENTS, other)).toBe(-EPERM);
  });

  it("v2: makes a second window, of pages that its memory has, and takes it back with what it maps", () => {
    const { world, c } = stage(5);
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

describe("21.3: memory of a guest of Xen", () => {
  /** Machine frames by page of MEMORY: runs of 70, 70 and 60 pages. */
  const runs = (page: number): number => (page < 70 ? 0x1000 : page < 140 ? 0x3000 : 0x5000) + page;

  class Xen extends XenHypervisor {
    guest(id: number): XenGuest {
      return this.made.get(id) ?? this.addGuest(id);
    }
    private readonly made = new Map<number, XenGuest>();
    override addGuest(id: number): XenGuest {
      const guest = super.addGuest(id);
      this.made.set(id, guest);
      return guest;
    }
  }

  function stage(options: ConstructorParameters<typeof XenHypervisor>[1] = {}): { world: PciStage; xen: Xen; calls: string[]; c: number } {
    const world = new PciStage();
    const calls: string[] = [];
    const xen = new Xen(world.sim, { frameOf: (_process, address) => runs((address - MEMORY) / 4096), ...options });
    xen.addGuest(GUEST);
    const inner = xen.memoryMapping.bind(xen);
    xen.memoryMapping = (...args: Parameters<typeof inner>) => {
      calls.push(`${args[4] ? "+" : "-"}${args[3]}@${args[1]}`);
      return inner(...args);
    };
    world.vfio.registerIommu(new XenIommuBackend(world.sim, xen, GUEST));
    const c = world.open("/dev/vfio/vfio");
    world.setContainer(world.open("/dev/vfio/12"), c);
    world.ioctl(c, uapi.VFIO_SET_IOMMU, uapi.VFIO_XEN_IOMMU);
    return { world, xen, calls, c };
  }

  it("vector 97: is mapped run by run, 64 frames a call, and a call that fails undoes those before it", () => {
    const { world, xen, calls, c } = stage();
    expect(world.map(c, 0n, 0xc_8000n)).toBe(0);
    expect(run(xen.guest(GUEST).frames())).toBe(200);
    expect(calls).toEqual(["+64@0", "+6@64", "+64@70", "+6@134", "+60@140"]);
    expect(world.unmap(c, 0n, 0xc_8000n)).toEqual([0, 0xc_8000n]);
    expect(run(xen.guest(GUEST).frames())).toBe(0);
    const failing = stage({ mappingResult: (gfn) => (gfn === 70 ? -12 : 0) });
    expect(failing.world.map(failing.c, 0n, 0xc_8000n)).toBe(-12);
    expect(failing.calls).toEqual(["+64@0", "+6@64", "+64@70", "-6@64", "-64@0"]);
    expect(run(failing.xen.guest(GUEST).frames())).toBe(0);
    expect([failing.world.process.lockedMemory, failing.world.unmap(failing.c, 0n, 0n, uapi.VFIO_DMA_UNMAP_FLAG_ALL)]).toEqual([0, [0, 0n]]);
  });

  it("vector 98: frames that may not be given are not, and nothing of the mapping is left", () => {
    const { world, xen, c } = stage({ iomemPermission: (mfn) => mfn < 0x5000 });
    expect(world.map(c, 0n, 0xc_8000n)).toBe(-EPERM);
    expect([world.process.lockedMemory, run(xen.memoryMapping(GUEST, 0, 0x1000, 65, true))]).toEqual([0, -7]);
    expect(run(xen.memoryMapping(GUEST, 0, 2 ** 34, 1, true))).toBe(-EINVAL);
  });

  it("a member that another guest has is refused, and those before it go back", () => {
    const world = new PciStage();
    const xen = new XenHypervisor(world.sim);
    xen.addGuest(GUEST);
    xen.addGuest(6);
    run(xen.assign(world.B.name, 6));
    world.vfio.registerIommu(new XenIommuBackend(world.sim, xen, GUEST));
    const c = world.open("/dev/vfio/vfio");
    world.setContainer(world.open("/dev/vfio/12"), c);
    expect(world.ioctl(c, uapi.VFIO_SET_IOMMU, uapi.VFIO_XEN_IOMMU)).toBe(-EBUSY);
    expect(run(xen.ownerOf(world.A.name))).toBe(0);
  });

  it("is the control domain's to give", () => {
    const world = new PciStage();
    const xen = new XenHypervisor(world.sim, { callerDomain: 3 });
    world.vfio.registerIommu(new XenIommuBackend(world.sim, xen, GUEST));
    const c = world.open("/dev/vfio/vfio");
    world.setContainer(world.open("/dev/vfio/12"), c);
    expect(world.ioctl(c, uapi.VFIO_SET_IOMMU, uapi.VFIO_XEN_IOMMU)).toBe(-EPERM);
  });
});
