import { describe, expect, it } from "vitest";
import { Msi } from "../../arch/pci/config-registers.js";
import { TAINT_USER } from "../../host/machine.js";
import { XenMsiDomain } from "../../host/xen/msi-domain.js";
import { run } from "../../sim/step.js";
import { EBUSY, EFAULT, EINVAL, ENOTTY, EOPNOTSUPP, EPERM } from "../../uapi/errno.js";
import * as iommufd from "../../uapi/iommufd.js";
import * as uapi from "../../uapi/vfio.js";
import { ARGUMENTS, MEMORY, MEMORY_SIZE } from "../../explore/stages/vfio-stage.js";
import { EVENTFD, MSI, PciStage, TRIGGER } from "../../explore/stages/pci-stage.js";
import { IommuStage, type Kind, KINDS, MAPPING_KINDS, NOIOMMU, SPAPR_V1, SPAPR_V2 } from "./iommu-stage.fixture.js";

// One suite for every IOMMU backend (vfio.md 17, 18, 19, 21.3): what holds whoever translates, and whoever does not.

const stage = (kind: Kind): { world: IommuStage; c: number; g: number } => {
  const world = new IommuStage(kind);
  return { world, ...world.container() };
};

describe.each(KINDS)("the IOMMU backend $name", (kind) => {
  it("is found by CHECK_EXTENSION, and chosen once", () => {
    if (kind.isNative) return;
    const { world, c } = stage(kind);
    expect(world.ioctl(c, uapi.VFIO_CHECK_EXTENSION, kind.type)).toBe(1);
    if (!kind.isIommufd) expect(world.ioctl(c, uapi.VFIO_SET_IOMMU, kind.type)).toBe(-EINVAL);
  });

  it("20.1: takes a group whose members could forge messages only where it was asked for, or hardware knows each endpoint's, or nobody guards it at all", () => {
    const refuses = (allowUnsafeInterrupts: boolean): boolean => {
      const world = new IommuStage(kind, { isMsiIsolated: false, allowUnsafeInterrupts, core: { allowUnsafeInterrupts } });
      const c = world.open(kind.isIommufd ? "/dev/iommu" : "/dev/vfio/vfio");
      if (kind.isNative) return world.call(world.open("/dev/vfio/devices/vfio2"), uapi.VFIO_DEVICE_BIND_IOMMUFD, 16, 0, c, 0) === -EPERM;
      const g = world.groupFile(world.A);
      world.setContainer(g, c);
      const result = world.ioctl(c, uapi.VFIO_SET_IOMMU, kind.type);
      return result === -EPERM || (kind.isIommufd === true && world.deviceFd(g, world.A.name) === -EPERM);
    };
    expect([refuses(false), refuses(true)]).toEqual([!kind.isSpapr && !kind.isNoIommu, false]);
  });

  it("takes another group of its nature beside the first, and keeps the first when that leaves", () => {
    if (kind === SPAPR_V1) return;
    const { world, c, g } = stage(kind);
    world.configWrite(world.deviceA(g), 4, 2, 6);
    const iova = world.reach(c);
    const b = world.join(c);
    world.configWrite(b, 4, 2, 6);
    expect([world.dmaRead(iova), world.dmaRead(iova, 4, world.dmaB)]).toEqual([[0, 0, 0, 0], [0, 0, 0, 0]]);
    world.close(b);
    expect([world.dmaRead(iova), world.dmaRead(iova, 4, world.dmaB)]).toEqual([[0, 0, 0, 0], null]);
  });

  it.each(["dgc", "dcg", "gdc", "gcd", "cdg", "cgd"])("a monitor that closes in the order %s leaves nothing mapped, locked or owned, and no DMA", (order) => {
    const { world, c, g } = stage(kind);
    const fds: Readonly<Record<string, number>> = { c, g, d: world.deviceA(g) };
    world.configWrite(fds.d, 4, 2, 6);
    const iova = world.reach(c);
    expect(world.dmaRead(iova)).not.toBeNull();
    let isOpen = true;
    for (const which of kind.isNative ? order.replace("g", "") : order) {
      expect(world.close(fds[which])).toBe(0);
      isOpen &&= which !== "d";
      // Nobody takes DMA without an IOMMU away from a device but its own last close.
      const mayReach = kind.isNoIommu ? isOpen : world.ownership() !== "kernel 0 default";
      if (!mayReach) expect(world.dmaRead(iova)).toBeNull();
    }
    run(world.process.exit());
    world.settle();
    expect([world.dmaRead(iova), world.dmaWrite(iova, [1]), world.ownership(), world.process.lockedMemory]).toEqual([null, false, "kernel 0 default", 0]);
  });

  it("no request that it does not know does anything", () => {
    const { world, c } = stage(kind);
    expect(world.ioctl(c, 0x3bff, ARGUMENTS)).toBe(-25);
    expect(world.ioctl(c, uapi.VFIO_EEH_PE_OP, ARGUMENTS)).toBe(-25);
  });
});

// noiommu has no place here: it maps nothing, so nothing is outside, nothing is read-only, nothing is over a doorbell, nothing ends
// before the device is closed, and nobody is told. What it does instead is said below, rule by rule.
describe.each(MAPPING_KINDS)("the IOMMU backend $name, which maps", (kind) => {
  it("leads DMA to the memory that was mapped, across pages, and terminates what is outside", () => {
    const { world, c } = stage(kind);
    expect(world.map(c, 0x10_0000n, 0x2000n, MEMORY + 0x3000)).toBe(0);
    expect(world.dmaWrite(0x10_0ffe, [1, 2, 3, 4])).toBe(true);
    expect([0, 1, 2, 3].map((i) => world.process.memory.getU8(MEMORY + 0x3ffe + i))).toEqual([1, 2, 3, 4]);
    expect(world.dmaRead(0x10_0ffe)).toEqual([1, 2, 3, 4]);
    for (const iova of [0xf_fffc, 0x10_2000, 0]) expect(world.dmaRead(iova)).toBeNull();
    expect(world.dmaWrite(0x10_1ffe, [9, 9, 9, 9])).toBe(false);
    expect(world.smmu.events.records.map((each) => each.iova)).toEqual([0xf_fffc, 0x10_2000, 0, 0x10_2000]);
  });

  it("K24: a group whose reserved addresses are mapped already does not join", () => {
    const world = new IommuStage(kind, { reservedOfB: [{ start: 0x4000n, end: 0x4fffn, kind: "reserved" }] });
    const { c } = world.container();
    world.map(c, 0x4000n, 0x1000n);
    expect(world.join(c)).toBeLessThan(0);
    expect(world.dmaRead(0x4000, 4, world.dmaB)).toBeNull();
    if (kind === SPAPR_V1) return;
    world.unmap(c, 0x4000n, 0x1000n);
    expect(world.join(c)).toBeGreaterThan(0);
  });

  it("17.5: DMA to another device's registers reaches them, and nothing where they do not decode", () => {
    if (kind.isSpapr) return;
    const { world, c, g } = stage(kind);
    const d = world.deviceA(g);
    world.configWrite(d, 4, 2, 6);
    const bar = run(world.process.mmap(d, 0x1000, 0));
    // iommufd pins what it maps, and registers are no pages that could be pinned.
    expect(world.map(c, 0x9000n, 0x1000n, bar)).toBe(kind.isIommufd ? -EFAULT : 0);
    if (kind.isIommufd) return;
    world.bar0.values.set(8, 0x77);
    expect(world.dmaRead(0x9008)).toEqual([0x77, 0, 0, 0]);
    expect([world.dmaWrite(0x9008, [1, 0, 0, 0]), world.bar0.values.get(8)]).toEqual([true, 1]);
    world.configWrite(d, 4, 2, 0);
    expect(world.dmaRead(0x9008)).toBeNull();
  });

  it("a device's last close ends what DMA has of its registers: the next user's are not reached by a mapping of before", () => {
    if (kind.isSpapr || kind.isIommufd) return;
    const world = new IommuStage(kind, { separateGroups: true });
    const c = world.open("/dev/vfio/vfio");
    const [a, b] = ["/dev/vfio/12", "/dev/vfio/13"].map((path) => world.open(path));
    for (const group of [a, b]) world.setContainer(group, c);
    expect(world.ioctl(c, uapi.VFIO_SET_IOMMU, kind.type)).toBe(0);
    world.deviceFd(b, world.B.name);
    let d = world.deviceFd(a, world.A.name);
    world.configWrite(d, 4, 2, 6);
    const bar = run(world.process.mmap(d, 0x1000, 0));
    expect(world.map(c, 0x9000n, 0x1000n, bar)).toBe(0);
    world.bar0.values.set(8, 0x77);
    expect(world.dmaRead(0x9008, 4, world.dmaB)).toEqual([0x77, 0, 0, 0]);
    run(world.process.munmap(bar, 0x1000));
    world.close(d);
    d = world.deviceFd(a, world.A.name);
    world.configWrite(d, 4, 2, 6);
    world.bar0.values.set(8, 0x5e);
    expect([world.dmaRead(0x9008, 4, world.dmaB), world.dmaWrite(0x9008, [1, 0, 0, 0], world.dmaB), world.bar0.values.get(8)]).toEqual([null, false, 0x5e]);
  });

  it("allows what was asked for and no more", () => {
    const { world, c } = stage(kind);
    expect(world.map(c, 0x1000n, 0x1000n, MEMORY, uapi.VFIO_DMA_MAP_FLAG_READ)).toBe(kind.hasNoDirections ? -95 : 0);
    expect(world.map(c, 0x2000n, 0x1000n, MEMORY, uapi.VFIO_DMA_MAP_FLAG_WRITE)).toBe(kind.hasNoDirections ? -95 : 0);
    if (kind.hasNoDirections) return;
    expect([world.dmaRead(0x1000), world.dmaWrite(0x1000, [1])]).toEqual([[0, 0, 0, 0], false]);
    expect([world.dmaRead(0x2000), world.dmaWrite(0x2000, [1])]).toEqual([null, true]);
    expect(world.smmu.events.records.map((each) => each.fault)).toEqual(["F_PERMISSION", "F_PERMISSION"]);
  });

  it("ends DMA with the unmap, and with the group that leaves", () => {
    const { world, c } = stage(kind);
    world.map(c, 0x1000n, 0x1000n);
    world.map(c, 0x8000n, 0x1000n);
    expect(world.unmap(c, 0x1000n, 0x1000n)[0]).toBe(0);
    expect([world.dmaRead(0x1000), world.dmaRead(0x8000)]).toEqual([null, [0, 0, 0, 0]]);
    run(world.process.exit());
    expect([world.dmaRead(0x8000), world.ownership(), world.process.lockedMemory]).toEqual([null, "kernel 0 default", 0]);
  });

  it("reaches no memory from another group, before and after that joins and leaves", () => {
    const { world, c } = stage(kind);
    world.map(c, 0x1000n, 0x1000n);
    expect(world.dmaRead(0x1000, 4, world.dmaB)).toBeNull();
    const b = world.join(c);
    if (kind === SPAPR_V1) {
      expect(b).toBe(-EBUSY);
      return;
    }
    expect(world.dmaRead(0x1000, 4, world.dmaB)).toEqual([0, 0, 0, 0]);
    world.close(b);
    expect([world.dmaRead(0x1000, 4, world.dmaB), world.dmaRead(0x1000)]).toEqual([null, [0, 0, 0, 0]]);
  });

  it("maps nothing over the doorbells that its group reserves, and a device that writes another's message there reaches nobody", () => {
    const { world, c, g } = stage(kind);
    expect(world.map(c, 0xfee0_0000n, 0x1000n)).toBe(kind.isSpapr ? -6 : -EINVAL);
    expect(world.map(c, 0xfedf_f000n, 0x2000n)).toBe(kind.isSpapr ? -6 : -EINVAL);
    const { host } = world.machine;
    host.msi = new XenMsiDomain(host.irqs, world.xen.pirqs);
    const d = world.deviceA(g);
    const E = world.eventfd();
    world.configWrite(d, 4, 2, 6);
    expect(world.setIrqs(d, MSI, EVENTFD | TRIGGER, 0, 1, E)).toBe(0);
    const data = world.A.fn.peek(world.A.fn.capability(5) + Msi.DATA_64, 2);
    run(world.root.message(world.B.fn.requesterId, 0, 0xfee0_0000 | 0, data));
    world.settle();
    expect([data, world.take(E), world.dmaWrite(0xfee0_0000, [data]), world.dmaWrite(0xfee0_0000, [data], world.dmaB)]).toEqual([run(world.xen.pirqs.numbers())[0], -11, false, false]);
  });

  it("is told of mappings twice: refused, or written over where the hardware's entry is all there is", () => {
    const { world, c } = stage(kind);
    world.map(c, 0x1000n, 0x2000n);
    const again = world.map(c, 0x2000n, 0x1000n, MEMORY + 0x9000);
    expect(again).toBe(kind.overwrites ? 0 : -17);
    world.process.memory.setU8(MEMORY + 0x9000, 7);
    expect(world.dmaRead(0x2000, 1)).toEqual([kind.overwrites ? 7 : 0]);
  });

  it("refuses what is not of whole pages, has no flag that it knows, or points nowhere", () => {
    const { world, c } = stage(kind);
    const before = world.process.lockedMemory;
    expect(world.map(c, 0x800n, 0x1000n)).toBe(-EINVAL);
    expect(world.map(c, 0x1000n, 0x800n)).toBe(-EINVAL);
    expect(world.map(c, 0x1000n, 0x1000n, MEMORY + 0x800)).toBe(-EINVAL);
    expect(world.map(c, 0x1000n, 0n)).toBe(-EINVAL);
    expect(world.map(c, 0x1000n, 0x1000n, MEMORY, 0x13)).toBe(kind.isNative ? -EOPNOTSUPP : -EINVAL);
    expect(world.map(c, 0x1000n, 0x1000n, MEMORY + MEMORY_SIZE)).toBe(kind === SPAPR_V2 ? -EINVAL : -EFAULT);
    const [MAP, UNMAP] = kind.isNative ? [iommufd.IOMMU_IOAS_MAP, iommufd.IOMMU_IOAS_UNMAP] : [uapi.VFIO_IOMMU_MAP_DMA, uapi.VFIO_IOMMU_UNMAP_DMA];
    expect([world.call(c, MAP, 31, 3), world.call(c, UNMAP, 23, 0)]).toEqual([-EINVAL, -EINVAL]);
    expect([world.ioctl(c, MAP, 0xdead_0000), world.ioctl(c, UNMAP, 0xdead_0000)]).toEqual([-EFAULT, -EFAULT]);
    if (!kind.isNative) expect(world.unmap(c, 0x1000n, 0x1000n, 0x10)[0]).toBe(-EINVAL);
    expect([world.dmaRead(0x1000), world.process.lockedMemory]).toEqual([null, before]);
  });

  it("leaves the account as it was when a mapping ends", () => {
    const { world, c } = stage(kind);
    const before = world.process.lockedMemory;
    for (let i = 0; i < 3; i++) {
      expect(world.map(c, 0x1000n, 0x4000n)).toBe(0);
      expect(world.unmap(c, 0x1000n, 0x4000n)[0]).toBe(0);
    }
    expect(world.process.lockedMemory).toBe(before);
  });

  it("has large and small runs of pages come and go without a trace of each other", () => {
    const { world, c } = stage(kind);
    for (let i = 0; i < 16; i++) expect(world.map(c, BigInt(0x2000 * i), 0x1000n, MEMORY + 0x1000 * i)).toBe(0);
    for (let i = 0; i < 16; i += 2) expect(world.unmap(c, BigInt(0x2000 * i), 0x1000n)[0]).toBe(0);
    for (let i = 0; i < 16; i++) {
      world.process.memory.setU8(MEMORY + 0x1000 * i, i);
      expect(world.dmaRead(0x2000 * i, 1)).toEqual(i % 2 === 0 ? null : [i]);
    }
    expect(world.map(c, 0n, 0x2000n, MEMORY + 0x2_0000)).toBe(0);
    expect(world.dmaRead(0x1000, 1)).toEqual([0]);
  });
});

describe("the IOMMU backend noiommu, which does not map", () => {
  const [own, foreign] = [MEMORY + 0x3ffe, MEMORY + 0x5ffe];

  function stageOfTwo() {
    const { world, c, g } = stage(NOIOMMU);
    const d = world.deviceA(g);
    world.configWrite(d, 4, 2, 6);
    return { world, c, d, other: world.newProcess("another") };
  }

  it("knows none of the requests that map, unmap, register or tell", () => {
    const { world, c } = stageOfTwo();
    const { VFIO_IOMMU_GET_INFO: INFO, VFIO_IOMMU_MAP_DMA: MAP, VFIO_IOMMU_UNMAP_DMA: UNMAP, VFIO_IOMMU_ENABLE: ENABLE, VFIO_IOMMU_DIRTY_PAGES: DIRTY } = uapi;
    for (const request of [INFO, MAP, UNMAP, ENABLE, DIRTY]) expect(world.call(c, request, 32, 3)).toBe(-ENOTTY);
    expect(world.process.lockedMemory).toBe(0);
  });

  it("a device reaches its user's memory and another's, for reading and for writing, and nobody hears of it", () => {
    const { world, other } = stageOfTwo();
    const [at, beside] = [world.physical.addressOf(world.process, own), world.physical.addressOf(other, foreign)];
    expect([world.dmaWrite(at, [1, 2, 3, 4]), world.dmaWrite(beside, [5, 6, 7, 8])]).toEqual([true, true]);
    expect([0, 1, 2, 3].map((i) => [world.process.memory.getU8(own + i), other.memory.getU8(foreign + i)])).toEqual([[1, 5], [2, 6], [3, 7], [4, 8]]);
    expect([world.dmaRead(at), world.dmaRead(beside), world.dmaRead(0)]).toEqual([[1, 2, 3, 4], [5, 6, 7, 8], null]);
    expect(world.smmu.events.records).toEqual([]);
  });

  it("a device that writes another's message raises the other's interrupt, where no domain of the host's checks", () => {
    const { world, d } = stageOfTwo();
    const E = world.eventfd();
    expect(world.setIrqs(d, MSI, EVENTFD | TRIGGER, 0, 1, E)).toBe(0);
    const data = world.A.fn.peek(world.A.fn.capability(5) + Msi.DATA_64, 2);
    run(world.root.message(world.B.fn.requesterId, 0, 0xfee0_0000 | 0, data));
    world.settle();
    expect(world.take(E)).toBe(1);
  });

  it("19: is there only where the host was told so, and taints the kernel as soon as it has a device", () => {
    const world = new IommuStage(NOIOMMU);
    expect(world.machine.host.tainted).toBe(TAINT_USER);
    const strict = new PciStage({ hasNoIommu: true });
    expect([strict.ioctl(strict.open("/dev/vfio/vfio"), uapi.VFIO_CHECK_EXTENSION, uapi.VFIO_NOIOMMU_IOMMU), strict.pciDriver.deviceOf(strict.A.name), strict.machine.host.tainted]).toEqual([0, null, 0]);
  });
});
