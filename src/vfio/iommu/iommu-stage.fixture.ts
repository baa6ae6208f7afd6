import { expect } from "vitest";
import type { DmaPort } from "../../device/dma-port.js";
import type { PciFunction } from "../../device/pci/function.js";
import { IommuDma } from "../../host/iommu/dma.js";
import type { IommuGroup, TceGeometry } from "../../host/iommu/group.js";
import { BusMaster } from "../../host/pci/bus-master.js";
import type { PciDevice } from "../../host/pci/pci-device.js";
import { PhysicalMemory } from "../../host/physical-memory.js";
import { XenHypervisor } from "../../host/xen/hypervisor.js";
import { run } from "../../sim/step.js";
import * as iommufd from "../../uapi/iommufd.js";
import * as uapi from "../../uapi/vfio.js";
import { ARGUMENTS, MEMORY } from "../../explore/stages/vfio-stage.js";
import { PciStage, type PciStageOptions } from "../../explore/stages/pci-stage.js";
import { SpaprBackend } from "./spapr.js";
import { XenIommuBackend } from "./xen.js";

/** A guest of Xen. */
export const GUEST = 5;
export const TCE: TceGeometry = { windowStart: 0n, windowSize: 0x4000_0000n, dynamicPageSizes: 0x1_1000n, maxLevels: 4 };

/** A u64 as two words. */
export const half = (value: bigint | number): number[] => [Number(BigInt.asUintN(32, BigInt(value))), Number(BigInt.asUintN(64, BigInt(value)) >> 32n)];

/** One way to have DMA translated. */
export interface Kind {
  readonly name: string;
  /** What SET_IOMMU is given; 0 of an iommufd whose user names address spaces. */
  readonly type: number;
  /** The container is /dev/iommu. */
  readonly isIommufd?: boolean;
  readonly isNative?: boolean;
  readonly isSpapr?: boolean;
  /** A direction alone cannot be mapped: memory_mapping has none. */
  readonly hasNoDirections?: boolean;
  /** What is mapped may be mapped over: a translation entry is simply written. */
  readonly overwrites?: boolean;
  /** Nothing guards the devices: there is nothing to map, and all memory to reach. */
  readonly isNoIommu?: boolean;
}

export const SPAPR_V1: Kind = { name: "spapr v1", type: uapi.VFIO_SPAPR_TCE_IOMMU, isSpapr: true, overwrites: true };
export const SPAPR_V2: Kind = { name: "spapr v2", type: uapi.VFIO_SPAPR_TCE_v2_IOMMU, isSpapr: true, overwrites: true };
export const TYPE1_V2: Kind = { name: "type1 v2", type: uapi.VFIO_TYPE1v2_IOMMU };

export const NOIOMMU: Kind = { name: "noiommu", type: uapi.VFIO_NOIOMMU_IOMMU, isNoIommu: true };

/** Every backend that maps. */
export const MAPPING_KINDS: readonly Kind[] = [
  { name: "type1 v1", type: uapi.VFIO_TYPE1_IOMMU },
  TYPE1_V2,
  { name: "iommufd as type1 v1", type: uapi.VFIO_TYPE1_IOMMU, isIommufd: true },
  { name: "iommufd as type1 v2", type: uapi.VFIO_TYPE1v2_IOMMU, isIommufd: true },
  { name: "iommufd native", type: 0, isIommufd: true, isNative: true },
  SPAPR_V1,
  SPAPR_V2,
  { name: "xen", type: uapi.VFIO_XEN_IOMMU, hasNoDirections: true },
];

/** Every backend that there is. */
export const KINDS: readonly Kind[] = [...MAPPING_KINDS, NOIOMMU];

/** What a {@link Kind} asks of the host: no-iommu mode is a module parameter, and for who may do raw I/O. */
const hostOf = (kind: Kind, options: PciStageOptions): PciStageOptions => ({
  ...options,
  separateGroups: true,
  lockedMemoryLimit: options.lockedMemoryLimit ?? 2 ** 31,
  ...(kind.isSpapr ? { tce: options.tce ?? TCE } : {}),
  ...(kind.isNoIommu ? { hasNoIommu: true, capabilities: ["SYS_RAWIO"], core: { ...options.core, enableUnsafeNoiommuMode: true } } : {}),
});

/** Fixture F with A and B in groups of their own, and DMA of theirs, to be translated by one {@link Kind}. */
export class IommuStage extends PciStage {
  readonly xen: XenHypervisor;
  /** RAM as devices have it that no IOMMU guards. */
  readonly physical = new PhysicalMemory();
  readonly dmaA: DmaPort;
  readonly dmaB: DmaPort;
  /** Of an iommufd whose user names them: the address space. */
  private ioas = 0;
  private ownFile = -1;

  constructor(readonly kind: Kind, options: PciStageOptions = {}) {
    super(hostOf(kind, options));
    this.xen = new XenHypervisor(this.sim);
    this.xen.addGuest(GUEST);
    this.vfio.registerIommu(new SpaprBackend(this.sim));
    this.vfio.registerIommu(new XenIommuBackend(this.sim, this.xen, GUEST, options.allowUnsafeInterrupts));
    this.dmaA = this.dmaOf(this.A);
    this.dmaB = this.dmaOf(this.B);
  }

  private dmaOf({ fn, group }: PciDevice): DmaPort {
    return group === null ? this.mastering(fn) : new IommuDma(this.smmu, group, fn.requesterId);
  }

  private mastering(fn: PciFunction): BusMaster {
    const dma = new BusMaster(this.physical);
    dma.fn = fn;
    return dma;
  }

  /** VFIO's group of a function. */
  groupOf({ name }: PciDevice): IommuGroup {
    const device = this.pciDriver.deviceOf(name);
    if (device === null) throw new Error(`${name} is not bound`);
    return device.group.iommuGroup;
  }

  /** Opens it. */
  groupFile(device: PciDevice): number {
    return this.open(`/dev/vfio/${this.kind.isNoIommu ? "noiommu-" : ""}${this.groupOf(device).id}`);
  }

  ownership(): string {
    return this.groupOf(this.A).describeOwnership();
  }

  /** A container of the kind with A's group in it, ready to map; `g` is -1 where the user has no group's file. */
  container(): { c: number; g: number } {
    const { isIommufd, isNative, type } = this.kind;
    const c = this.open(isIommufd ? "/dev/iommu" : "/dev/vfio/vfio");
    if (isNative) {
      expect(this.call(c, iommufd.IOMMU_IOAS_ALLOC, 12, 0, 0)).toBe(0);
      this.ioas = this.answer(8);
      this.ownFile = this.attachByItself(c, this.A);
      expect(this.ownFile).toBeGreaterThan(0);
      return { c, g: -1 };
    }
    const g = this.groupFile(this.A);
    expect(this.setContainer(g, c)).toBe(0);
    expect(this.ioctl(c, uapi.VFIO_SET_IOMMU, type)).toBe(0);
    // A device that is opened attaches its group to an iommufd.
    if (isIommufd) expect((this.ownFile = this.deviceFd(g, this.A.name))).toBeGreaterThan(0);
    if (this.kind === SPAPR_V1) expect(this.ioctl(c, uapi.VFIO_IOMMU_ENABLE, 0)).toBe(0);
    if (this.kind === SPAPR_V2) expect(this.register(c, MEMORY, 0x4_0000)).toBe(0);
    return { c, g };
  }

  /** A's file. */
  deviceA(g: number): number {
    return this.kind.isIommufd ? this.ownFile : this.deviceFd(g, this.A.name);
  }

  /** B and its group join the container: B's file, or the errno that refused them, with nothing left open. */
  join(c: number): number {
    if (this.kind.isNative) return this.attachByItself(c, this.B);
    const g = this.groupFile(this.B);
    const joined = this.setContainer(g, c);
    const d = joined < 0 ? joined : this.deviceFd(g, this.B.name);
    // The device's file, if there is one, has the group until it is closed.
    this.close(g);
    return d;
  }

  private attachByItself(c: number, { name }: PciDevice): number {
    const device = this.pciDriver.deviceOf(name);
    const d = this.open(`/dev/vfio/devices/vfio${device === null ? -1 : this.vfio.cdevOf(device)}`);
    const bound = this.call(d, uapi.VFIO_DEVICE_BIND_IOMMUFD, 16, 0, c, 0);
    const result = bound < 0 ? bound : this.call(d, uapi.VFIO_DEVICE_ATTACH_IOMMUFD_PT, 12, 0, this.ioas);
    if (result < 0) this.close(d);
    return result < 0 ? result : d;
  }

  override map(c: number, iova: bigint, size: bigint, vaddr: bigint | number = MEMORY, flags = 3): number {
    if (!this.kind.isNative) return super.map(c, iova, size, vaddr, flags);
    const readable = flags & uapi.VFIO_DMA_MAP_FLAG_READ ? iommufd.IOMMU_IOAS_MAP_READABLE : 0;
    const access = readable | (flags & uapi.VFIO_DMA_MAP_FLAG_WRITE ? iommufd.IOMMU_IOAS_MAP_WRITEABLE : 0) | (flags & ~3);
    return this.call(c, iommufd.IOMMU_IOAS_MAP, 40, iommufd.IOMMU_IOAS_MAP_FIXED_IOVA | access, this.ioas, 0, ...half(vaddr), ...half(size), ...half(iova));
  }

  override unmap(c: number, iova: bigint, size: bigint, flags = 0): [number, bigint] {
    if (!this.kind.isNative) return super.unmap(c, iova, size, flags);
    return [this.call(c, iommufd.IOMMU_IOAS_UNMAP, 24, this.ioas, ...half(iova), ...half(size)), this.answer64(16)];
  }

  /** All of what is mapped, as {@link unmap}. */
  unmapAll(c: number): [number, bigint] {
    if (!this.kind.isNative) return super.unmap(c, 0n, 0n, uapi.VFIO_DMA_UNMAP_FLAG_ALL);
    return this.unmap(c, 0n, 0xffff_ffff_ffff_ffffn);
  }

  /** Ranges that may be mapped, `end` the last byte of each: IOMMU_IOAS_IOVA_RANGES, or the capability of IOMMU_GET_INFO. */
  iovaRanges(c: number): { start: bigint; end: bigint }[] {
    const listAt = (at: number, count: number) => Array.from({ length: count }, (_, i) => ({ start: this.answer64(at + 16 * i), end: this.answer64(at + 16 * i + 8) }));
    if (this.kind.isNative) {
      expect(this.call(c, iommufd.IOMMU_IOAS_IOVA_RANGES, 32, this.ioas, 16, 0, ...half(MEMORY), 0, 0)).toBe(0);
      return listAt(MEMORY - ARGUMENTS, this.answer(8));
    }
    expect(this.call(c, uapi.VFIO_IOMMU_GET_INFO, 0x800)).toBe(0);
    let at = this.answer(16);
    while (at !== 0 && this.answer(at) % 0x1_0000 !== uapi.VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE) at = this.answer(at + 4);
    return at === 0 ? [] : listAt(at + 16, this.answer(at + 8));
  }

  /** Where A reaches the first page of {@link MEMORY}: mapped for it, or where it is. */
  reach(c: number): number {
    if (this.kind.isNoIommu) return this.physical.addressOf(this.process, MEMORY);
    expect(this.map(c, 0x1000n, 0x1000n)).toBe(0);
    return 0x1000;
  }

  /** SPAPR, version 2. */
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
