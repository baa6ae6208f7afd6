import type { IommuDomain } from "../../host/iommu/domain.js";
import type { IommuGroup } from "../../host/iommu/group.js";
import type { Process } from "../../host/process.js";
import { MAX_FRAMES, type XenHypervisor } from "../../host/xen/hypervisor.js";
import { guarded } from "../../sim/access.js";
import { Lifetime } from "../../sim/lifetime.js";
import { Mutex } from "../../sim/lock.js";
import type { Sim } from "../../sim/sim.js";
import type { Step } from "../../sim/step.js";
import { EINVAL, ENOTTY, EOPNOTSUPP, EPERM } from "../../uapi/errno.js";
import {
  VFIO_DMA_MAP_FLAG_READ,
  VFIO_DMA_MAP_FLAG_WRITE,
  VFIO_IOMMU_GET_INFO,
  VFIO_IOMMU_MAP_DMA,
  VFIO_IOMMU_UNMAP_DMA,
  VFIO_UNMAP_ALL,
  VFIO_XEN_IOMMU,
  vfio_iommu_type1_dma_map,
  vfio_iommu_type1_dma_unmap,
  VFIO_DMA_UNMAP_FLAG_ALL,
} from "../../uapi/vfio.js";
import type { IommuBackend, IommuInstance } from "./backend.js";
import { copyOutInfo } from "./info.js";
import { collides, commonRanges, type IovaRange } from "./iova-ranges.js";
import { DmaList, type DmaSpace, type Type1Dma, unpinPages } from "./type1-dma.js";
import { mapDma } from "./type1-map.js";
import { unmapDma } from "./type1-unmap.js";

const PAGE = 4096;
const READ_WRITE = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;

/** The IOMMU backend of a kernel above Xen (vfio.md 21.3): what a user maps is memory that a guest's devices reach. */
export class XenIommuBackend implements IommuBackend {
  readonly name = "vfio-iommu-xen";
  readonly isNoIommu = false;

  /**
   * @param target the guest that devices and memory go to
   * @param allowUnsafeInterrupts groups whose members could forge messages are taken all the same (20.1)
   */
  constructor(
    private readonly sim: Sim,
    private readonly xen: XenHypervisor,
    private readonly target: number,
    private readonly allowUnsafeInterrupts = false,
  ) {}

  checkExtension(extension: number): number {
    return extension === VFIO_XEN_IOMMU || extension === VFIO_UNMAP_ALL ? 1 : 0;
  }

  /** -EPERM outside the control domain: hypercalls for others are its privilege. */
  open(type: number): IommuInstance | number {
    if (type !== VFIO_XEN_IOMMU) return -EINVAL;
    return this.xen.isPrivileged ? new XenIommuInstance(this.sim, this.xen, this.target, this.allowUnsafeInterrupts) : -EPERM;
  }
}

const functionsOf = ({ devices }: IommuGroup): string[] => devices.filter(({ isBridge }) => !isBridge).map(({ name }) => name);

/** Frames that lie one behind the other in both spaces. */
interface Run {
  readonly gfn: number;
  readonly mfn: number;
  count: number;
}

class XenIommuInstance implements IommuInstance, DmaSpace {
  readonly lock: Mutex;
  private readonly lifetime = new Lifetime("Xen IOMMU of a container");
  readonly dmas = new DmaList();
  /** The frames that each mapping was made of: what is there when it goes may be other memory. */
  private readonly runs = new Map<Type1Dma, readonly Run[]>();
  readonly unit = BigInt(PAGE);
  readonly isV2 = true;
  readonly tracksDirtyPages = false;
  available = 65535;
  ranges: readonly IovaRange[] = [];
  private groups: IommuGroup[] = [];
  /** The hypervisor's tables for the guest's devices, which follow what it maps. */
  private domain: IommuDomain | null = null;

  constructor(
    sim: Sim,
    private readonly xen: XenHypervisor,
    private readonly target: number,
    private readonly allowUnsafeInterrupts: boolean,
  ) {
    this.lock = new Mutex(sim, "vfio_iommu.lock");
    this.lifetime.spans(this, this.lock);
  }

  *checkExtension(extension: number): Step<number> {
    return extension === VFIO_XEN_IOMMU || extension === VFIO_UNMAP_ALL ? 1 : 0;
  }

  *ioctl(process: Process, request: number, argument: number): Step<number> {
    if (request === VFIO_IOMMU_GET_INFO) return yield* this.getInfo(process, argument);
    if (request === VFIO_IOMMU_MAP_DMA) {
      const { flags, size } = vfio_iommu_type1_dma_map;
      const given = process.memory.isReadable(argument, size) ? process.memory.getU32(argument + flags.offset) : READ_WRITE;
      // memory_mapping gives a guest's device both, or nothing.
      if (given === VFIO_DMA_MAP_FLAG_READ || given === VFIO_DMA_MAP_FLAG_WRITE) return -EOPNOTSUPP;
      return (given & ~READ_WRITE) !== 0 ? -EINVAL : yield* mapDma(this, process, argument);
    }
    if (request !== VFIO_IOMMU_UNMAP_DMA) return -ENOTTY;
    const { flags, size } = vfio_iommu_type1_dma_unmap;
    const given = process.memory.isReadable(argument, size) ? process.memory.getU32(argument + flags.offset) : 0;
    return (given & ~VFIO_DMA_UNMAP_FLAG_ALL) !== 0 ? -EINVAL : yield* unmapDma(this, process, argument);
  }

  private *getInfo(process: Process, argument: number): Step<number> {
    yield* this.lock.lock();
    const { ranges, available } = this;
    yield* this.lock.unlock();
    return copyOutInfo(process, argument, { pageSizes: this.unit, ranges, available, tracksDirtyPages: false });
  }

  /**
   * Each function goes to the guest; the first that another guest has gives those before it back, and so does one that
   * the hypervisor cannot part from a function outside the group. -EINVAL, -EBUSY, -EPERM.
   */
  *attachGroup(group: IommuGroup): Step<number> {
    yield* this.lock.lock();
    let result = this.whyNot(group);
    const functions = functionsOf(group);
    let assigned = 0;
    while (assigned < functions.length && result === 0) {
      result = yield* this.xen.testAssign(functions[assigned], this.target);
      if (result === 0) result = yield* this.xen.assign(functions[assigned], this.target);
      if (result === 0) assigned++;
    }
    for (let i = 0; i < functions.length && result === 0; i++) result = yield* this.checkSiblings(functions[i], functions);
    if (result === 0) yield* this.join(group);
    else while (assigned-- > 0) yield* this.xen.deassign(functions[assigned], this.target);
    yield* this.lock.unlock();
    return result;
  }

  private *checkSiblings(name: string, functions: readonly string[]): Step<number> {
    const siblings = yield* this.xen.deviceGroup(name);
    if (typeof siblings === "number") return siblings;
    return siblings.every((sibling) => functions.includes(sibling)) ? 0 : -EINVAL;
  }

  /** Lock held: as type 1 (17.3, 2 to 6), for the guest's memory is where its devices reach, and their messages go. */
  private whyNot(group: IommuGroup): number {
    if (this.groups.includes(group) || collides(this.dmas.all(), group)) return -EINVAL;
    return group.isMsiIsolated || this.allowUnsafeInterrupts ? 0 : -EPERM;
  }

  private *join(group: IommuGroup): Step<void> {
    this.domain ??= group.newDomain();
    this.groups.push(group);
    this.ranges = commonRanges(this.groups, [this.domain]);
    yield* group.attach(this.domain);
  }

  *detachGroup(group: IommuGroup): Step<void> {
    yield* this.lock.lock();
    const functions = functionsOf(group);
    for (let i = 0; i < functions.length; i++) yield* this.xen.deassign(functions[i], this.target);
    this.groups.splice(this.groups.indexOf(group), 1);
    this.ranges = this.domain === null || this.groups.length === 0 ? [] : commonRanges(this.groups, [this.domain]);
    yield* group.attach(null);
    if (this.groups.length === 0) yield* this.removeAll();
    yield* this.lock.unlock();
  }

  /** Call by call; one that fails takes back those before it, the last first, and no part of the mapping is left. */
  *insert(dma: Type1Dma): Step<number> {
    const runs = this.runsOf(dma);
    const done = { frames: 0 };
    const result = yield* this.mapRuns(runs, done);
    if (result !== 0) {
      yield* this.unmapRuns(runs, done.frames);
      return result;
    }
    if (this.domain !== null) yield* this.domain.map(dma);
    this.dmas.add(dma);
    this.runs.set(dma, runs);
    this.available--;
    return 0;
  }

  /** In calls of at most 64 frames; `done` counts the frames of those that succeeded. */
  private *mapRuns(runs: readonly Run[], done: { frames: number }): Step<number> {
    for (let i = 0; i < runs.length; i++) {
      const { gfn, mfn, count } = runs[i];
      for (let at = 0; at < count; at += MAX_FRAMES) {
        const frames = Math.min(MAX_FRAMES, count - at);
        const result = yield* this.xen.memoryMapping(this.target, gfn + at, mfn + at, frames, true);
        if (result !== 0) return result;
        done.frames += frames;
      }
    }
    return 0;
  }

  /** The first `frames` of the runs, the last call's first. */
  private *unmapRuns(runs: readonly Run[], frames: number): Step<void> {
    let before = runs.reduce((sum, { count }) => sum + count, 0);
    for (let i = runs.length - 1; i >= 0; i--) {
      const { gfn, mfn, count } = runs[i];
      before -= count;
      for (let at = count - 1 - ((count - 1) % MAX_FRAMES); at >= 0; at -= MAX_FRAMES)
        if (before + at < frames) yield* this.xen.memoryMapping(this.target, gfn + at, mfn + at, Math.min(MAX_FRAMES, count - at), false);
    }
  }

  /** Guest frames ascending; a run ends where the machine's frames do not go on. */
  private runsOf({ iova, process, pages }: Type1Dma): Run[] {
    const runs: Run[] = [];
    const first = Number(iova) / PAGE;
    for (let i = 0; i < pages.length / PAGE; i++) {
      const mfn = this.xen.frameOf(process, pages.start + i * PAGE);
      const last = runs.at(-1);
      if (last !== undefined && mfn === last.mfn + last.count) last.count++;
      else runs.push({ gfn: first + i, mfn, count: 1 });
    }
    return runs;
  }

  *remove(dma: Type1Dma): Step<void> {
    const runs = this.runs.get(dma) ?? [];
    this.runs.delete(dma);
    if (this.domain !== null) yield* this.domain.unmap(dma.iova, dma.size);
    yield* this.unmapRuns(runs, dma.pages.length / PAGE);
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
guarded(XenIommuInstance, (instance) => instance.lock, "available", "ranges", "groups", "domain");
