import type { IommuDomain } from "../../host/iommu/domain.js";
import type { IommuGroup } from "../../host/iommu/group.js";
import type { Process } from "../../host/process.js";
import { guarded } from "../../sim/access.js";
import { Lifetime } from "../../sim/lifetime.js";
import { Mutex } from "../../sim/lock.js";
import type { Sim } from "../../sim/sim.js";
import type { Step } from "../../sim/step.js";
import { EBUSY, EINVAL, ENOTTY, EPERM } from "../../uapi/errno.js";
import {
  VFIO_DMA_CC_IOMMU,
  VFIO_IOMMU_DIRTY_PAGES,
  VFIO_IOMMU_GET_INFO,
  VFIO_IOMMU_MAP_DMA,
  VFIO_IOMMU_UNMAP_DMA,
  VFIO_UPDATE_VADDR,
} from "../../uapi/vfio.js";
import type { IommuInstance } from "./backend.js";
import { collides, commonRanges, type IovaRange } from "./iova-ranges.js";
import type { Type1Backend } from "./type1.js";
import { dirtyPages } from "./type1-dirty.js";
import { DmaList, type DmaSpace, type Type1Dma, unpinPages } from "./type1-dma.js";
import { copyOutInfo } from "./info.js";
import { mapDma } from "./type1-map.js";
import { unmapDma } from "./type1-unmap.js";

const PAGE = 4096n;
const FROM_THE_PAGE_UP = 0xffff_ffff_ffff_f000n;

/** By the smallest of some page sizes. */
const isAligned = (addresses: bigint, pageSizes: bigint): boolean => (addresses & ((pageSizes & -pageSizes) - 1n)) === 0n;

interface Attached {
  readonly domain: IommuDomain;
  readonly groups: IommuGroup[];
}

/** One container's type1 state (vfio.md 17). All of it is under `lock`. */
export class Type1Instance implements IommuInstance, DmaSpace {
  readonly lock: Mutex;
  private readonly lifetime = new Lifetime("type 1 IOMMU of a container");
  readonly dmas = new DmaList();
  /** Mappings that may still be made. */
  available: number;
  tracksDirtyPages = false;
  ranges: readonly IovaRange[] = [];
  pageSizes = FROM_THE_PAGE_UP;
  private domains: Attached[] = [];

  constructor(
    private readonly sim: Sim,
    private readonly backend: Type1Backend,
    readonly isV2: boolean,
    private readonly isNesting: boolean,
  ) {
    this.lock = new Mutex(sim, "vfio_iommu.lock");
    this.lifetime.spans(this, this.lock);
    this.available = backend.dmaEntryLimit;
  }

  /** Lock held: addresses and sizes are multiples of it. */
  get unit(): bigint {
    return this.pageSizes & -this.pageSizes;
  }

  *checkExtension(extension: number): Step<number> {
    if (extension === VFIO_UPDATE_VADDR) return 1;
    if (extension !== VFIO_DMA_CC_IOMMU) return this.backend.checkExtension(extension);
    yield* this.lock.lock();
    const enforces = this.domains.length > 0 && this.domains.every((each) => each.domain.enforcesCoherency);
    yield* this.lock.unlock();
    return enforces ? 1 : 0;
  }

  *ioctl(process: Process, request: number, argument: number): Step<number> {
    switch (request) {
      case VFIO_IOMMU_GET_INFO:
        return yield* this.getInfo(process, argument);
      case VFIO_IOMMU_MAP_DMA:
        return yield* mapDma(this, process, argument);
      case VFIO_IOMMU_UNMAP_DMA:
        return yield* unmapDma(this, process, argument);
      case VFIO_IOMMU_DIRTY_PAGES:
        return yield* dirtyPages(this, process, argument);
      default:
        return -ENOTTY;
    }
  }

  private *getInfo(process: Process, argument: number): Step<number> {
    yield* this.lock.lock();
    const { pageSizes, ranges, available } = this;
    yield* this.lock.unlock();
    return copyOutInfo(process, argument, { pageSizes, ranges, available, tracksDirtyPages: true });
  }

  *attachGroup(group: IommuGroup): Step<number> {
    yield* this.lock.lock();
    const error = this.checkGroup(group);
    const result = error === 0 ? yield* this.join(group) : error;
    yield* this.lock.unlock();
    return result;
  }

  /** vfio.md 17.3, 1 to 6. */
  private checkGroup(group: IommuGroup): number {
    const dmas = this.dmas.all();
    if (dmas.some((dma) => dma.hasInvalidVaddr)) return -EBUSY;
    if (this.groups().includes(group)) return -EINVAL;
    if (this.isNesting && !group.canNest) return -EINVAL;
    // What was mapped before may lie where this group's messages or holes are (host-irq.md K24).
    if (!this.sim.hazards.attachWithoutLook && collides(dmas, group)) return -EINVAL;
    if (this.commonRanges(group).length === 0) return -EINVAL;
    return group.isMsiIsolated || this.backend.allowUnsafeInterrupts ? 0 : -EPERM;
  }

  /**
   * A domain that the group can use, of the same coherency, serves another group too; a new one gets every mapping before it is used, or
   * -EINVAL where its pages are larger than one of them.
   */
  private *join(group: IommuGroup): Step<number> {
    let attached = this.domains.find((each) => group.canUse(each.domain) && each.domain.enforcesCoherency === group.enforcesCoherency);
    if (attached === undefined) {
      attached = { domain: group.newDomain(), groups: [] };
      const dmas = this.dmas.all();
      if (!dmas.every(({ iova, vaddr, size }) => isAligned(iova | BigInt(vaddr) | size, group.pageSizes))) return -EINVAL;
      for (let i = 0; i < dmas.length; i++) yield* attached.domain.map(dmas[i]);
      this.domains.push(attached);
    }
    attached.groups.push(group);
    yield* group.attach(attached.domain);
    this.recompute();
    return 0;
  }

  *detachGroup(group: IommuGroup): Step<void> {
    yield* this.lock.lock();
    const attached = this.domains.find((each) => each.groups.includes(group));
    if (attached !== undefined) {
      attached.groups.splice(attached.groups.indexOf(group), 1);
      yield* group.attach(null);
      if (attached.groups.length === 0) {
        if (this.domains.length === 1) yield* this.removeAll();
        this.domains.splice(this.domains.indexOf(attached), 1);
      }
      this.recompute();
    }
    yield* this.lock.unlock();
  }

  private groups(): IommuGroup[] {
    return this.domains.flatMap((each) => each.groups);
  }

  private commonRanges(...joining: IommuGroup[]): IovaRange[] {
    const domains = this.domains.map((each) => each.domain);
    return commonRanges([...this.groups(), ...joining], domains);
  }

  /** Ranges and page sizes that all groups share: wider after one has left. */
  private recompute(): void {
    const groups = this.groups();
    this.ranges = groups.length === 0 ? [] : this.commonRanges();
    let sizes = groups.reduce((common, group) => common & group.pageSizes, 0xffff_ffff_ffff_ffffn);
    if ((sizes & (PAGE - 1n)) !== 0n) sizes |= PAGE;
    this.pageSizes = sizes & FROM_THE_PAGE_UP;
  }

  *insert(dma: Type1Dma): Step<number> {
    this.dmas.add(dma);
    this.available--;
    for (let i = 0; i < this.domains.length; i++) yield* this.domains[i].domain.map(dma);
    return 0;
  }

  *remove(dma: Type1Dma): Step<void> {
    for (let d = 0; d < this.domains.length; d++) yield* this.domains[d].domain.unmap(dma.iova, dma.size);
    this.dmas.remove(dma);
    this.available++;
    unpinPages(dma);
  }

  private *removeAll(): Step<void> {
    for (let dma = this.dmas.last; dma !== undefined; dma = this.dmas.last) yield* this.remove(dma);
  }

  *release(): Step<void> {
    yield* this.lock.lock();
    yield* this.removeAll();
    yield* this.lock.unlock();
    this.lifetime.free();
  }
}
guarded(Type1Instance, (instance) => instance.lock, "available", "tracksDirtyPages", "ranges", "pageSizes", "domains");
