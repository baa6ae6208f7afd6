import type { IommuDomain } from "../../host/iommu/domain.js";
import type { IommuGroup } from "../../host/iommu/group.js";
import { RangeList } from "../../host/range-list.js";
import { guarded } from "../../sim/access.js";
import { Lifetime } from "../../sim/lifetime.js";
import { Mutex } from "../../sim/lock.js";
import type { Sim } from "../../sim/sim.js";
import type { Step } from "../../sim/step.js";
import { EADDRINUSE, EEXIST, EFAULT, EINVAL, ENOENT, EOVERFLOW } from "../../uapi/errno.js";
import { commonRanges, excludes, type IovaRange, LAST_IOVA } from "../iommu/iova-ranges.js";
import type { IoasArea, IoasPages } from "./ioas-area.js";
import { allocateIova, isAllowed } from "./ioas-alloc.js";

const PAGE = 4096n;

const smallest = ({ pageSizes }: IommuDomain): bigint => pageSizes & -pageSizes;

type HwptKind = Pick<Hwpt, "isAuto" | "isTracked">;

/** A page table that an address space gave to groups of one IOMMU; an object of its own, so that users can name it. */
export class Hwpt {
  readonly groups: IommuGroup[] = [];
  readonly lifetime: Lifetime;
  /** The kernel's, made for an attach, which goes with the last group. */
  readonly isAuto: boolean;
  /** Made for the question which pages are dirty. */
  readonly isTracked: boolean;

  constructor(
    readonly id: number,
    readonly domain: IommuDomain,
    { isAuto, isTracked }: HwptKind,
  ) {
    this.isAuto = isAuto;
    this.isTracked = isTracked;
    this.lifetime = new Lifetime("page table", id);
  }
}

/** A range whose dirty pages are asked for; `keeps`: and not forgotten. */
export interface DirtyRange {
  readonly iova: bigint;
  readonly length: bigint;
  readonly keeps: boolean;
}

/** What a map asks for; `iova` null lets the kernel choose, and comes back filled. */
export interface IoasRequest {
  iova: bigint | null;
  readonly length: bigint;
  readonly isReadable: boolean;
  readonly isWritable: boolean;
}

/** One I/O address space of an iommufd (vfio.md 19; drivers/iommu/iommufd/io_pagetable.c): areas, and the domains that have them. */
export class Ioas {
  readonly lock: Mutex;
  private readonly areas = new RangeList<bigint, IoasArea>(
    (area) => area.iova,
    (area) => area.iova + area.length,
  );
  readonly lifetime: Lifetime;
  private hwpts: Hwpt[] = [];
  private allowed: readonly IovaRange[] = [];
  private hasLargePages = true;

  constructor(
    sim: Sim,
    readonly id: number,
  ) {
    this.lock = new Mutex(sim, "iommufd_ioas.lock");
    this.lifetime = new Lifetime("address space", id);
    this.lifetime.spans(this, this.lock);
  }

  /** Addresses and lengths are multiples of it: of the largest smallest page among the domains, 1 without a domain. Lock held. */
  get alignment(): bigint {
    let alignment = this.hasLargePages ? 1n : PAGE;
    for (const { domain } of this.hwpts) if (smallest(domain) > alignment) alignment = smallest(domain);
    return alignment;
  }

  /** Lock held. */
  get pageSizes(): bigint {
    let sizes = this.hwpts.reduce((common, { domain }) => common & domain.pageSizes, LAST_IOVA);
    if ((sizes & (PAGE - 1n)) !== 0n) sizes = (sizes & ~(PAGE - 1n)) | PAGE;
    return sizes > this.alignment ? sizes : this.alignment;
  }

  /** Where areas may lie, ascending. Lock held. */
  get ranges(): readonly IovaRange[] {
    return commonRanges(
      this.hwpts.flatMap((hwpt) => hwpt.groups),
      this.hwpts.map((hwpt) => hwpt.domain),
    );
  }

  /** Does any domain not make DMA snoop? Lock held. */
  get enforcesCoherency(): boolean {
    return this.hwpts.every((hwpt) => hwpt.domain.enforcesCoherency);
  }

  /** Lock held. */
  get usesLargePages(): boolean {
    return this.hasLargePages;
  }

  /** Lock held: it cannot be destroyed. */
  get isAttached(): boolean {
    return this.hwpts.length > 0;
  }

  /** Lock held. -EADDRINUSE where a range is reserved. */
  setAllowed(allowed: readonly IovaRange[]): number {
    const { ranges } = this;
    if (allowed.some((each) => !ranges.some((range) => each.start >= range.start && each.end <= range.end))) return -EADDRINUSE;
    this.allowed = allowed;
    return 0;
  }

  /** Lock held. What is in large pages cannot be cut afterwards: -EINVAL where a domain has any area, -EADDRINUSE for one of no whole pages. */
  setLargePages(isAllowed: boolean): number {
    if (isAllowed === this.hasLargePages) return 0;
    if (!isAllowed && this.hwpts.length > 0 && this.areas.length > 0) return -EINVAL;
    if (!isAllowed && !this.isAligned(PAGE)) return -EADDRINUSE;
    this.hasLargePages = isAllowed;
    return 0;
  }

  /** Lock held. Where so many bytes have room that begin in some pages: an address, or {@link allocateIova}'s errno. */
  place(pages: IoasPages, offset: bigint, length: bigint): bigint {
    return allocateIova(this.ranges, this.allowed, this.areas, { near: pages.vaddr + offset, length, alignment: this.alignment });
  }

  /** Lock held. 0, -EINVAL, -EOVERFLOW, -EEXIST, -ENOSPC, -EFAULT, -ENOMEM: checks in the kernel's order. */
  *map(pages: IoasPages, offset: bigint, request: IoasRequest): Step<number> {
    const { length } = request;
    const unit = this.alignment - 1n;
    if (length === 0n || (length & unit) !== 0n) return -EINVAL;
    const wanted = request.iova ?? this.place(pages, offset, length);
    if (wanted < 0n) return Number(wanted);
    const error = this.check(wanted, length, unit);
    if (error !== 0) return error;
    if (((pages.vaddr + offset) & unit & (PAGE - 1n)) !== 0n) return -EINVAL;
    const area: IoasArea = { iova: wanted, length, pages, offset, isReadable: request.isReadable, isWritable: request.isWritable };
    const result = yield* this.enterIn(area, this.hwpts);
    if (result !== 0) return result;
    this.areas.add(area);
    request.iova = wanted;
    return 0;
  }

  /** Is every area of whole pages of this size? */
  private isAligned(unit: bigint): boolean {
    return this.areas.all().every(({ iova, length, pages, offset }) => ((iova | length | (pages.vaddr + offset)) & (unit - 1n)) === 0n);
  }

  private check(iova: bigint, length: bigint, unit: bigint): number {
    if ((iova & unit) !== 0n) return -EINVAL;
    if (iova + length - 1n > LAST_IOVA) return -EOVERFLOW;
    if (!isAllowed(this.ranges, iova, length)) return -EINVAL;
    return this.areas.firstIn(iova, iova + length) === undefined ? 0 : -EEXIST;
  }

  /** The area becomes visible to domains, all or none: 0, -EFAULT, -ENOMEM. */
  private *enterIn(area: IoasArea, hwpts: readonly Hwpt[]): Step<number> {
    for (let i = 0; i < hwpts.length; i++) {
      const { iova, length, pages, offset, isReadable, isWritable } = area;
      const held = pages.take(offset, length);
      if (typeof held === "number") return held;
      for (let part = 0; part < held.length; part++) {
        const mapping = { ...held[part], iova: iova + held[part].at, isReadable, isWritable, inSmallPages: !this.hasLargePages };
        yield* hwpts[i].domain.map(mapping);
      }
    }
    return 0;
  }

  private *leaveFrom(area: IoasArea, hwpts: readonly Hwpt[]): Step<void> {
    for (let i = 0; i < hwpts.length; i++) {
      yield* hwpts[i].domain.unmap(area.iova, area.length);
      area.pages.giveBack(area.offset, area.length);
    }
  }

  /**
   * Lock held. Areas wholly inside of [iova, last] go, in ascending order, up to the first that reaches out of it: -ENOENT then,
   * and where there is none at all. `unmapped` counts bytes either way.
   */
  *unmap(iova: bigint, last: bigint, unmapped: { bytes: bigint }): Step<number> {
    unmapped.bytes = 0n;
    for (;;) {
      const area = this.areas.firstIn(iova, last + 1n);
      if (area === undefined) return unmapped.bytes > 0n ? 0 : -ENOENT;
      if (area.iova < iova || area.iova + area.length - 1n > last) return -ENOENT;
      yield* this.leaveFrom(area, this.hwpts);
      this.areas.remove(area);
      unmapped.bytes += area.length;
    }
  }

  /**
   * Lock held. An area that holds both an address and the one before it becomes two (type 1 without v2): 0, or -EINVAL where
   * that is within a page, of which a domain has all or nothing. A head of one byte is none (iopt_area_split).
   */
  cut(address: bigint): number {
    const area = this.areas.firstIn(address, address + 1n);
    if (area === undefined || address <= area.iova + 1n) return 0;
    const head = address - area.iova;
    if (((address | (area.pages.vaddr + area.offset + head)) & (this.alignment - 1n)) !== 0n) return -EINVAL;
    this.areas.remove(area);
    this.areas.add({ ...area, length: head });
    this.areas.add({ ...area, iova: address, length: area.length - head, offset: area.offset + head });
    return 0;
  }

  /** Lock held. The parts of areas that cover a range without a hole; -ENOENT. */
  slices(iova: bigint, length: bigint): readonly IoasArea[] | number {
    if (length === 0n) return -EINVAL;
    if (iova + length - 1n > LAST_IOVA) return -EOVERFLOW;
    const end = iova + length;
    let at = iova;
    const parts: IoasArea[] = [];
    for (const area of this.areas.in(iova, end)) {
      if (area.iova > at) break;
      const stop = area.iova + area.length < end ? area.iova + area.length : end;
      parts.push({ ...area, iova: at, length: stop - at, offset: area.offset + (at - area.iova) });
      at = stop;
    }
    return at === end ? parts : -ENOENT;
  }

  /**
   * A group gets a domain with all areas in it: one that it can use, or a new one. The page table; -EINVAL where it cannot use
   * the one that is wanted, -EADDRINUSE where an area, or an allowed range, is reserved by the group, or as {@link newHwpt}.
   */
  *attach(group: IommuGroup, newId: () => number, wanted: Hwpt | null): Step<Hwpt | number> {
    if (wanted !== null && !group.canUse(wanted.domain)) return -EINVAL;
    yield* this.lock.lock();
    const isReserved = group.reserved.filter(excludes).some(({ start, end }) => this.isUsed(start, end));
    const result = isReserved ? -EADDRINUSE : yield* this.enter(group, newId, wanted);
    yield* this.lock.unlock();
    return result;
  }

  /** Is an area, or a range that the user wants kept, anywhere from `start` to `last`? */
  private isUsed(start: bigint, last: bigint): boolean {
    return this.areas.firstIn(start, last + 1n) !== undefined || this.allowed.some((range) => range.start <= last && start <= range.end);
  }

  private *enter(group: IommuGroup, newId: () => number, wanted: Hwpt | null): Step<Hwpt | number> {
    let hwpt = wanted ?? this.hwpts.find(({ isAuto, domain }) => isAuto && group.canUse(domain) && domain.enforcesCoherency === group.enforcesCoherency);
    if (hwpt === undefined) {
      const made = yield* this.newHwpt(group, newId(), { isAuto: true, isTracked: false });
      if (typeof made === "number") return made;
      hwpt = made;
    }
    hwpt.lifetime.touch();
    hwpt.groups.push(group);
    yield* group.attach(hwpt.domain);
    return hwpt;
  }

  /**
   * Lock held. A page table for a group's IOMMU, with all areas in it (iopt_table_add_domain): -EINVAL for pages larger than the
   * CPU's, -EADDRINUSE where an area does not suit its pages, or ends, as may an allowed range, beyond its last address; -EFAULT, -ENOMEM.
   */
  *newHwpt(group: IommuGroup, id: number, kind: HwptKind): Step<Hwpt | number> {
    const hwpt = new Hwpt(id, group.newDomain(), kind);
    const { domain } = hwpt;
    if (smallest(domain) > PAGE) return -EINVAL;
    if (!this.isAligned(smallest(domain)) || this.isUsed(domain.apertureEnd + 1n, LAST_IOVA)) return -EADDRINUSE;
    const areas = this.areas.all();
    for (let i = 0; i < areas.length; i++) {
      const result = yield* this.enterIn(areas[i], [hwpt]);
      if (result === 0) continue;
      for (let filled = 0; filled < i; filled++) yield* this.leaveFrom(areas[filled], [hwpt]);
      return result;
    }
    this.hwpts.push(hwpt);
    return hwpt;
  }

  /** Lock held; no group has it. */
  *removeHwpt(hwpt: Hwpt): Step<void> {
    const areas = this.areas.all();
    for (let i = 0; i < areas.length; i++) yield* this.leaveFrom(areas[i], [hwpt]);
    this.hwpts.splice(this.hwpts.indexOf(hwpt), 1);
    hwpt.lifetime.free();
  }

  /** Lock held. Runs of pages that were written; -EINVAL where a part is not mapped or nothing is tracked, -EFAULT without room for them. */
  *takeDirty(hwpt: Hwpt, { iova, length, keeps }: DirtyRange, hasRoom: () => boolean): Step<readonly { iova: bigint; length: bigint }[] | number> {
    if (typeof this.slices(iova, length) === "number" || !(yield* hwpt.domain.isTracking())) return -EINVAL;
    if (!hasRoom()) return -EFAULT;
    return yield* hwpt.domain.takeDirty(iova, length, keeps);
  }

  /** The group's DMA is blocked. True: the page table served nobody else, and is gone. */
  *detach(group: IommuGroup, hwpt: Hwpt): Step<boolean> {
    yield* this.lock.lock();
    hwpt.lifetime.touch();
    hwpt.groups.splice(hwpt.groups.indexOf(group), 1);
    if ((yield* group.current()) === hwpt.domain) yield* group.attach(null);
    const isLast = hwpt.isAuto && hwpt.groups.length === 0;
    if (isLast) yield* this.removeHwpt(hwpt);
    yield* this.lock.unlock();
    return isLast;
  }
}
guarded(Ioas, (ioas) => ioas.lock, "areas", "hwpts", "allowed", "hasLargePages");
