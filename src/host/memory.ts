import { freeWhole, Lifetime, touchWhole } from "../sim/lifetime.js";
import { type Step, STRAIGHT } from "../sim/step.js";

/** Bytes from which on a view pays; shorter copies allocate nothing. */
const LONG = 512;
const PAGE = 4096;
/** Bytes that a page has before more of it is accessed: of most explored worlds' pages only so much ever is. */
const BEGINNING = 256;
const NO_BYTES: DataView = new DataView(new ArrayBuffer(0));
/** Where mmap begins: see {@link AddressSpace}. */
const MMAP_BASE = 0x5000_0000;

/** A load or store to a mapping whose page cannot be had: a BAR that does not decode (vfio.md 14). */
export class SigBus extends Error {}

/** Device registers behind an address: what a mapped device region reaches. Values are the low 32 bits; throws {@link SigBus}. */
export interface DeviceRegion {
  read(offset: number, size: number): Step<number>;
  write(offset: number, size: number, value: number): Step<void>;
  /** How another device reaches them, where a processor has page tables in its way. */
  readonly byBus?: DeviceRegion | undefined;
}

/** Bytes of the largest access to registers that is aligned and has no more than `left`: 4, 2 or 1. */
export function pieceAt(at: number, left: number): number {
  if (left >= 4 && at % 4 === 0) return 4;
  return left >= 2 && at % 2 === 0 ? 2 : 1;
}

/** A range of a process's addresses: what mmap made. */
export interface Area {
  readonly start: number;
  /** First address after it. */
  readonly end: number;
  readonly writable: boolean;
  /** Bytes; the unit in which its pages are pinned and accounted. */
  readonly pageSize: number;
  /** Ordinary memory, or a device region whose accesses reach the device. */
  readonly kind: "ram" | "device";
  /** For "device": the registers, and the offset of `start` in them. */
  readonly region: DeviceRegion | null;
  readonly regionOffset: number;
  /** The mmap that made it, whole: what another mmap makes at the same addresses is other memory. */
  readonly made: { readonly start: number; readonly end: number };
}

export interface AreaOptions {
  writable?: boolean;
  pageSize?: number;
  region?: DeviceRegion;
  regionOffset?: number;
}

/** What a pin keeps of pages that their process has unmapped: where they were, and the frames of those that were touched, by page number. */
interface Orphans {
  readonly ranges: { start: number; end: number }[];
  readonly frames: Map<number, DataView>;
}

const NO_AREAS: readonly Area[] = [];

/**
 * Pages held for hardware (IOMMU mappings): what is written through one outlives the process's mapping of it, as a pinned
 * frame does.
 */
export class PinnedPages {
  private orphans: Orphans | null = null;

  constructor(
    private readonly space: AddressSpace,
    readonly start: number,
    readonly length: number,
    /** Of the smallest pages in it, bytes: so much lies together in physical memory. */
    readonly pageSize: number,
    private readonly devices: readonly Area[],
  ) {
    if (!STRAIGHT) new Lifetime("pin of pages at", `0x${start.toString(16)}`).spans(this);
  }

  /** The frame that holds the byte `offset` from the start; the byte is at `(start + offset) % 4096` in it. */
  frame(offset: number): DataView {
    touchWhole(this);
    const address = this.start + offset;
    return this.orphans === null ? this.space.frame(address) : this.orphanFrame(address, this.orphans);
  }

  private orphanFrame(address: number, { ranges, frames }: Orphans): DataView {
    const page = Math.floor(address / PAGE);
    const known = frames.get(page);
    if (known !== undefined) return known;
    if (!ranges.some((range) => address >= range.start && address < range.end)) return this.space.frame(address);
    const empty = new DataView(new ArrayBuffer(PAGE));
    frames.set(page, empty);
    return empty;
  }

  /** The registers `offset` from the start, and where in them; null of memory. */
  registersAt(offset: number): { readonly region: DeviceRegion; readonly offset: number } | null {
    if (this.devices.length === 0) return null;
    const address = this.start + offset;
    const area = this.devices.find(({ start, end }) => address >= start && address < end);
    return area === undefined || area.region === null ? null : { region: area.region, offset: area.regionOffset + address - area.start };
  }

  /** Hardware needs them no longer. */
  unpin(): void {
    this.space.unpin(this);
  }

  /** The process unmaps a range: its frames of it are the pin's alone from now on. */
  keep(start: number, end: number, frames: ReadonlyMap<number, DataView>): void {
    if (end <= this.start || start >= this.start + this.length) return;
    const kept: Orphans = (this.orphans ??= { ranges: [], frames: new Map() });
    kept.ranges.push({ start, end });
    for (const [page, frame] of frames)
      if (page * PAGE >= start && page * PAGE < end && !kept.frames.has(page)) kept.frames.set(page, frame);
  }
}

/**
 * The memory of one process: areas over paged bytes, little-endian. Addresses are numbers of up to 52 bits. A caller
 * checks `isReadable`/`isWritable` first (false is the EFAULT of a system call) and then accesses freely. What is accessed
 * at every interrupt had better lie below 2^31: larger numbers are allocated wherever a call that takes them is not inlined.
 */
export class AddressSpace {
  /** Ascending; and the one found last. */
  private areas: Area[] = [];
  private lastArea: Area | null = null;
  private readonly pages = new Map<number, DataView>();
  private readonly pins = new Set<PinnedPages>();
  private readonly sought = { hva: 0 };
  /** The page used last: its address, its bytes, and how many of them there are. */
  private lastStart = -PAGE;
  private lastView = NO_BYTES;
  private lastLength = 0;

  /** Maps `length` bytes at `start`; both multiples of `pageSize`. False when the range is taken. */
  map(start: number, length: number, options: AreaOptions = {}): boolean {
    const at = this.behind(start);
    if (at < this.areas.length && this.areas[at].start < start + length) return false;
    const { writable = true, pageSize = PAGE, region = null, regionOffset = 0 } = options;
    const kind = region === null ? "ram" : "device";
    const end = start + length;
    this.areas.splice(at, 0, { start, end, writable, pageSize, kind, region, regionOffset, made: { start, end } });
    return true;
  }

  /** Unmaps the pages of a range, `start` a multiple of the page size: areas that reach beyond it keep the rest. */
  unmap(start: number, length: number): void {
    const end = Math.ceil((start + length) / PAGE) * PAGE;
    // A pin keeps the very frame: a page that is longer later would be another one.
    if (this.pins.size > 0) for (const page of this.pages.keys()) if (page * PAGE >= start && page * PAGE < end) this.view(page * PAGE, PAGE);
    for (const pin of this.pins) pin.keep(start, end, this.pages);
    this.areas = this.areas.flatMap((area) => without(area, start, end));
    this.lastArea = null;
    for (let page = Math.floor(start / PAGE); page * PAGE < end; page++) this.pages.delete(page);
    this.lastStart = -PAGE;
  }

  /** The lowest free address from `from` on with `length` free bytes behind it: what mmap chooses. */
  findFree(length: number, from = MMAP_BASE): number {
    let at = from;
    for (let i = this.behind(from); i < this.areas.length && this.areas[i].start < at + length; i++) at = Math.ceil(this.areas[i].end / PAGE) * PAGE;
    return at;
  }

  /** Holds pages for hardware until {@link unpin}; the caller has checked that they are mapped. */
  pin(start: number, length: number): PinnedPages {
    let pageSize = Infinity;
    const within = this.areas.filter((area) => area.start < start + length && start < area.end);
    for (const area of within) pageSize = Math.min(pageSize, area.pageSize);
    const devices = within.filter((area) => area.kind === "device");
    const pin = new PinnedPages(this, start, length, pageSize, devices.length === 0 ? NO_AREAS : devices);
    this.pins.add(pin);
    return pin;
  }

  unpin(pin: PinnedPages): void {
    this.pins.delete(pin);
    freeWhole(pin);
  }

  /** The page that holds an address, as bytes. */
  frame(address: number): DataView {
    return this.view(address, PAGE);
  }

  /** Is a device region mapped anywhere in [start, end)? */
  hasDeviceIn(start: number, end: number): boolean {
    return this.areas.some((area) => area.kind === "device" && area.start < end && start < area.end);
  }

  areaAt(address: number): Area | null {
    this.sought.hva = address;
    return this.areaOf(this.sought);
  }

  /** The same of an address in an object: as an argument it is allocated wherever the call is not inlined. */
  areaOf({ hva: address }: { readonly hva: number }): Area | null {
    const last = this.lastArea;
    if (last !== null && address >= last.start && address < last.end) return last;
    const at = this.behind(address);
    if (at === this.areas.length || address < this.areas[at].start) return null;
    this.lastArea = this.areas[at];
    return this.lastArea;
  }

  /** Index of the first area that ends behind an address. */
  private behind(address: number): number {
    const { areas } = this;
    let low = 0;
    for (let high = areas.length; low < high; ) {
      const middle = (low + high) >>> 1;
      if (areas[middle].end > address) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  isReadable(address: number, length: number): boolean {
    return this.covers(address, length, false);
  }

  isWritable(address: number, length: number): boolean {
    return this.covers(address, length, true);
  }

  private covers(address: number, length: number, writing: boolean): boolean {
    const end = address + length;
    // A u64 that a structure carries may be beyond any address, where sums are not exact.
    if (address < 0 || length < 0 || !Number.isSafeInteger(end)) return false;
    let at = address;
    while (at < end) {
      const area = this.areaAt(at);
      if (area === null || area.kind !== "ram" || (writing && !area.writable)) return false;
      at = area.end;
    }
    return true;
  }

  /** Copies in; false (nothing copied) where not readable: EFAULT. */
  copyIn(address: number, into: Uint8Array, length = into.length): boolean {
    if (!this.isReadable(address, length)) return false;
    for (let done = 0; done < length; ) {
      let at = offsetInPage(address + done);
      const end = Math.min(length, done + PAGE - at);
      const view = this.view(address + done, at + end - done);
      if (end - done >= LONG) {
        into.set(new Uint8Array(view.buffer, view.byteOffset + at, end - done), done);
        done = end;
      } else for (; done < end; done++) into[done] = view.getUint8(at++);
    }
    return true;
  }

  /** {@link copyIn} by words, for structures: about half of the time. */
  copyStructure(address: number, into: DataView, length: number): boolean {
    if (!this.isReadable(address, length)) return false;
    const at = offsetInPage(address);
    let done = 0;
    if (at + length <= PAGE) {
      const view = this.view(address, at + length);
      for (; done + 4 <= length; done += 4) into.setUint32(done, view.getUint32(at + done, true), true);
    }
    for (; done < length; done++) into.setUint8(done, this.getU8(address + done));
    return true;
  }

  /** Copies out; false (nothing copied) where not writable: EFAULT. */
  copyOut(address: number, from: Uint8Array, length = from.length): boolean {
    if (!this.isWritable(address, length)) return false;
    for (let done = 0; done < length; ) {
      let at = offsetInPage(address + done);
      const end = Math.min(length, done + PAGE - at);
      const view = this.view(address + done, at + end - done);
      if (end - done >= LONG) {
        new Uint8Array(view.buffer, view.byteOffset + at, end - done).set(from.subarray(done, end));
        done = end;
      } else for (; done < end; done++) view.setUint8(at++, from[done]);
    }
    return true;
  }

  getU8(address: number): number {
    const at = offsetInPage(address);
    return this.view(address, at + 1).getUint8(at);
  }

  setU8(address: number, value: number): void {
    const at = offsetInPage(address);
    this.view(address, at + 1).setUint8(at, value);
  }

  getU32(address: number): number {
    const at = offsetInPage(address);
    if (at <= PAGE - 4) return this.view(address, at + 4).getUint32(at, true);
    return (this.getU8(address) | (this.getU8(address + 1) << 8) | (this.getU8(address + 2) << 16) | (this.getU8(address + 3) << 24)) >>> 0;
  }

  setU32(address: number, value: number): void {
    const at = offsetInPage(address);
    if (at <= PAGE - 4) this.view(address, at + 4).setUint32(at, value, true);
    else for (let i = 0; i < 4; i++) this.setU8(address + i, (value >>> (8 * i)) & 0xff);
  }

  /** An unsigned 64-bit number, exact up to 2^53-1. */
  getU64(address: number): number {
    return this.getU32(address + 4) * 0x100000000 + this.getU32(address);
  }

  setU64(address: number, value: number): void {
    this.setU32(address, value % 0x100000000);
    this.setU32(address + 4, Math.floor(value / 0x100000000));
  }

  /** A string of ASCII letters, and the NUL that ends it. */
  setText(address: number, text: string): void {
    for (let i = 0; i < text.length; i++) this.setU8(address + i, text.charCodeAt(i));
    this.setU8(address + text.length, 0);
  }

  /** The page that holds an address, at least as far as `end`, from the page's start. */
  private view(address: number, end: number): DataView {
    const offset = address - this.lastStart;
    if (offset >= 0 && offset < PAGE && end <= this.lastLength) return this.lastView;
    const page = Math.floor(address / PAGE);
    let view = this.pages.get(page) ?? NO_BYTES;
    if (view.byteLength < end) this.pages.set(page, (view = lengthened(view, end)));
    this.lastStart = page * PAGE;
    this.lastView = view;
    this.lastLength = view.byteLength;
    return view;
  }
}

/** By the low bits: a remainder of what is larger than an int32 is slow. */
const offsetInPage = (address: number): number => address & (PAGE - 1);

/** The bytes of a page with others behind them, up to `end` at least. */
function lengthened(view: DataView, end: number): DataView {
  const bytes = new ArrayBuffer(end <= BEGINNING ? BEGINNING : PAGE);
  if (view.byteLength > 0) new Uint8Array(bytes).set(new Uint8Array(view.buffer));
  return new DataView(bytes);
}

/** What is left of an area without the range: nothing, a piece, or one on either side. */
function without(area: Area, start: number, end: number): Area[] {
  if (area.end <= start || area.start >= end) return [area];
  const rest: Area[] = [];
  if (area.start < start) rest.push({ ...area, end: start });
  if (area.end > end) rest.push({ ...area, start: end, regionOffset: area.regionOffset + end - area.start });
  return rest;
}
