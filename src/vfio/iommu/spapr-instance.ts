import type { IommuDomain } from "../../host/iommu/domain.js";
import type { IommuGroup } from "../../host/iommu/group.js";
import type { Process } from "../../host/process.js";
import { guarded } from "../../sim/access.js";
import { Lifetime } from "../../sim/lifetime.js";
import { Mutex } from "../../sim/lock.js";
import type { Sim } from "../../sim/sim.js";
import type { Step } from "../../sim/step.js";
import { EBUSY, EINVAL, ENODEV, ENOMEM, ENOSPC, ENOTTY, EPERM } from "../../uapi/errno.js";
import * as uapi from "../../uapi/vfio.js";
import type { IommuInstance } from "./backend.js";
import { collides, LAST_IOVA } from "./iova-ranges.js";
import { getTceInfo, mapTce, unmapTce } from "./spapr-dma.js";
import { createWindow, registerMemory, removeWindow, unregisterMemory } from "./spapr-v2.js";
import { mayLock } from "./type1-dma.js";
import { type TceBacking, TceWindow } from "./tce-window.js";

const PAGE_SHIFT = 12;
/** Windows of a container: the 32-bit one, and one that the user makes. */
const MOST_WINDOWS = 2;
/** Where the second begins. Power has it at 2^59; transactions here carry 52 bits (virq's choice). */
export const SECOND_WINDOW = 1n << 50n;

/** User memory that DMA may reach, registered and accounted once (v2). */
export interface Registered extends TceBacking {
  readonly vaddr: number;
  readonly bytes: number;
}

/** One container's windows (vfio.md 18). All of it is under `lock`. */
export class SpaprInstance implements IommuInstance {
  readonly lock: Mutex;
  private readonly lifetime = new Lifetime("SPAPR IOMMU of a container");
  windows: TceWindow[] = [];
  registered: Registered[] = [];
  isEnabled = false;
  domain: IommuDomain | null = null;
  groups: IommuGroup[] = [];
  /** Whose memory it is: the first that asked for anything. */
  private user: Process | null = null;
  /** On that process's account for the windows: the whole 32-bit one (v1), the tables (v2). */
  private lockedBytes = 0;

  constructor(
    sim: Sim,
    readonly isV2: boolean,
  ) {
    this.lock = new Mutex(sim, "tce_container.lock");
    this.lifetime.spans(this, this.lock);
  }

  *checkExtension(extension: number): Step<number> {
    return extension === uapi.VFIO_SPAPR_TCE_IOMMU || extension === uapi.VFIO_SPAPR_TCE_v2_IOMMU ? 1 : 0;
  }

  *ioctl(process: Process, request: number, argument: number): Step<number> {
    yield* this.lock.lock();
    const result = this.user !== null && this.user !== process ? -EPERM : yield* this.answer(process, request, argument);
    yield* this.lock.unlock();
    return result;
  }

  private *answer(process: Process, request: number, argument: number): Step<number> {
    switch (request) {
      case uapi.VFIO_IOMMU_SPAPR_TCE_GET_INFO:
        return getTceInfo(this, process, argument);
      case uapi.VFIO_IOMMU_MAP_DMA:
        return yield* mapTce(this, process, argument);
      case uapi.VFIO_IOMMU_UNMAP_DMA:
        return yield* unmapTce(this, process, argument);
      default:
        return this.isV2 ? yield* this.answerV2(process, request, argument) : this.answerV1(process, request);
    }
  }

  private answerV1(process: Process, request: number): number {
    if (request === uapi.VFIO_IOMMU_ENABLE) return this.enable(process);
    if (request !== uapi.VFIO_IOMMU_DISABLE) return -ENOTTY;
    if (!this.isEnabled) return -EPERM;
    this.isEnabled = false;
    this.charge(-this.lockedBytes);
    return 0;
  }

  /** The whole window counts as locked from now on, whatever is mapped. */
  private enable(process: Process): number {
    if (this.groups.length === 0) return -ENODEV;
    if (this.isEnabled) return -EBUSY;
    const size = Number(this.groups[0].tce?.windowSize ?? 0n);
    if (size === 0) return -EPERM;
    if (!mayLock(process, size)) return -ENOMEM;
    this.adopt(process);
    this.charge(size);
    this.isEnabled = true;
    return 0;
  }

  private *answerV2(process: Process, request: number, argument: number): Step<number> {
    switch (request) {
      case uapi.VFIO_IOMMU_SPAPR_REGISTER_MEMORY:
        return registerMemory(this, process, argument);
      case uapi.VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY:
        return unregisterMemory(this, process, argument);
      case uapi.VFIO_IOMMU_SPAPR_TCE_CREATE:
        return createWindow(this, process, argument);
      case uapi.VFIO_IOMMU_SPAPR_TCE_REMOVE:
        return yield* removeWindow(this, process, argument);
      default:
        return -ENOTTY;
    }
  }

  /** The first process that asks for memory is the one from then on. */
  adopt(process: Process): void {
    this.user ??= process;
  }

  private charge(bytes: number): void {
    this.lockedBytes += bytes;
    if (this.user !== null) this.user.lockedMemory += bytes;
  }

  /** A region is registered no longer. */
  forget(region: Registered): void {
    region.pages.unpin();
    if (this.user !== null) this.user.lockedMemory -= region.bytes;
  }

  windowAt(iova: bigint): TceWindow | null {
    return this.windows.find((window) => window.has(iova)) ?? null;
  }

  /** The window, or -ENOSPC, -ENOMEM. */
  addWindow(process: Process | null, size: bigint, pageShift: number): TceWindow | number {
    if (this.windows.length >= MOST_WINDOWS) return -ENOSPC;
    const isFirstFree = this.windows.every((window) => window.start === SECOND_WINDOW);
    const start = isFirstFree ? (this.groups[0].tce?.windowStart ?? 0n) : SECOND_WINDOW;
    const tableBytes = Number(size >> BigInt(pageShift)) * 8;
    if (process !== null) {
      if (!mayLock(process, tableBytes)) return -ENOMEM;
      this.adopt(process);
      this.charge(tableBytes);
    }
    const window = new TceWindow(start, size, pageShift, process === null ? 0 : tableBytes);
    this.windows.push(window);
    return window;
  }

  *dropWindow(window: TceWindow): Step<void> {
    if (this.domain !== null) yield* window.clear(this.domain, window.start, window.size);
    this.windows.splice(this.windows.indexOf(window), 1);
    this.charge(-window.tableBytes);
  }

  /**
   * -ENODEV: no group of such a machine. -EBUSY: it is here, or v1 has one. -EPERM: tables of another format. -EINVAL: entries
   * where it reserves. Whether messages are isolated is not asked: the host bridge knows each endpoint's (as in Linux).
   */
  *attachGroup(group: IommuGroup): Step<number> {
    yield* this.lock.lock();
    let result = 0;
    if (group.tce === null) result = -ENODEV;
    else if (this.groups.includes(group)) result = -EBUSY;
    else if (this.groups.some((each) => each.tce?.format !== group.tce?.format)) result = -EPERM;
    else if (this.groups.length > 0 && !this.isV2) result = -EBUSY;
    else if (this.windows.some((window) => collides(window.mapped(), { apertureEnd: LAST_IOVA, reserved: group.reserved }))) result = -EINVAL;
    else yield* this.join(group);
    yield* this.lock.unlock();
    return result;
  }

  private *join(group: IommuGroup): Step<void> {
    this.domain ??= group.newDomain();
    this.groups.push(group);
    const size = group.tce?.windowSize ?? 0n;
    if (this.windows.length === 0 && size > 0n) this.addWindow(null, size, PAGE_SHIFT);
    yield* group.attach(this.domain);
  }

  *detachGroup(group: IommuGroup): Step<void> {
    yield* this.lock.lock();
    this.groups.splice(this.groups.indexOf(group), 1);
    yield* group.attach(null);
    if (this.groups.length === 0) while (this.windows.length > 0) yield* this.dropWindow(this.windows[0]);
    yield* this.lock.unlock();
  }

  *release(): Step<void> {
    yield* this.lock.lock();
    while (this.windows.length > 0) yield* this.dropWindow(this.windows[0]);
    for (const region of this.registered.splice(0)) this.forget(region);
    this.charge(-this.lockedBytes);
    yield* this.lock.unlock();
    this.lifetime.free();
  }
}
guarded(SpaprInstance, (instance) => instance.lock, "windows", "registered", "isEnabled", "domain", "groups", "user", "lockedBytes");
