import { Lifetime } from "../../../sim/lifetime.js";
import { STRAIGHT } from "../../../sim/step.js";

/** Events of a page, and the two words of each: LPI (0: not mapped), collection slot + 1 (0: no collection). */
const PAGE_SHIFT = 6;
const PAGE_EVENTS = 1 << PAGE_SHIFT;
const WORDS = 2;

/** Bits of an event id that GITS_TYPER offers. */
export const EVENT_ID_BITS = 16;

/** A collection: the vCPU that its events go to (gic-its.md B1). */
export class ItsCollection {
  /** vcpu_id, -1 while it was named by a mapping only. */
  target = -1;
  readonly lifetime: Lifetime;

  constructor(
    readonly id: number,
    /** Its place in {@link ItsCollections}: what interrupt translation entries refer to. */
    readonly slot: number,
  ) {
    this.lifetime = new Lifetime("collection", id);
  }
}

/** The collections of an ITS, in the order in which they were made. */
export class ItsCollections {
  readonly inOrder: ItsCollection[] = [];
  private readonly byId = new Map<number, ItsCollection>();
  private readonly slots: (ItsCollection | null)[] = [];
  private readonly free: number[] = [];

  find(id: number): ItsCollection | null {
    return this.byId.get(id) ?? null;
  }

  /** Null: an entry whose collection was unmapped. */
  at(slot: number): ItsCollection | null {
    return slot < 0 ? null : this.slots[slot];
  }

  add(id: number): ItsCollection {
    const slot = this.free.pop() ?? this.slots.length;
    const collection = new ItsCollection(id, slot);
    this.slots[slot] = collection;
    this.byId.set(id, collection);
    this.inOrder.push(collection);
    return collection;
  }

  /** No entry refers to it any more. */
  remove(collection: ItsCollection): void {
    this.slots[collection.slot] = null;
    this.free.push(collection.slot);
    this.byId.delete(collection.id);
    this.inOrder.splice(this.inOrder.indexOf(collection), 1);
    collection.lifetime.free();
  }

  /** All of them end. */
  removeAll(): void {
    while (this.inOrder.length > 0) this.remove(this.inOrder[this.inOrder.length - 1]);
  }
}

/** A device of an ITS and its interrupt translation entries, one for each mapped event (gic-its.md B1). */
export class ItsDevice {
  private readonly pages: (Int32Array | null)[] = [];
  readonly lifetime: Lifetime;

  constructor(
    readonly id: number,
    /** Bits of an event id. */
    readonly eventBits: number,
    /** Guest physical address of the interrupt translation table. */
    readonly itt: number,
  ) {
    this.lifetime = new Lifetime("ITS device", id);
  }

  get events(): number {
    return 2 ** this.eventBits;
  }

  /** The LPI of an event, 0 when it is not mapped. */
  intid(event: number): number {
    const page = this.pageOf(event);
    return page === null ? 0 : page[(event & (PAGE_EVENTS - 1)) * WORDS];
  }

  /** Slot of the event's collection, -1 when it was unmapped. */
  slot(event: number): number {
    const page = this.pageOf(event);
    return page === null ? -1 : page[(event & (PAGE_EVENTS - 1)) * WORDS + 1] - 1;
  }

  map(event: number, intid: number, slot: number): void {
    if (!STRAIGHT) this.lifetime.touch();
    const index = event >>> PAGE_SHIFT;
    while (this.pages.length <= index) this.pages.push(null);
    const page = (this.pages[index] ??= new Int32Array(PAGE_EVENTS * WORDS));
    page[(event & (PAGE_EVENTS - 1)) * WORDS] = intid;
    page[(event & (PAGE_EVENTS - 1)) * WORDS + 1] = slot + 1;
  }

  unmap(event: number): void {
    this.map(event, 0, -1);
  }

  /** The first mapped event from `event` on, -1 when there is none. */
  next(event: number): number {
    if (!STRAIGHT) this.lifetime.touch();
    for (let index = event >>> PAGE_SHIFT; index < this.pages.length; index++) {
      const page = this.pages[index];
      if (page === null) continue;
      for (let at = index === event >>> PAGE_SHIFT ? event & (PAGE_EVENTS - 1) : 0; at < PAGE_EVENTS; at++)
        if (page[at * WORDS] !== 0) return index * PAGE_EVENTS + at;
    }
    return -1;
  }

  /** Bytes of its entries. */
  get bytes(): number {
    return this.pages.reduce((sum, page) => sum + (page === null ? 0 : page.byteLength), 0);
  }

  private pageOf(event: number): Int32Array | null {
    if (!STRAIGHT) this.lifetime.touch();
    const index = event >>> PAGE_SHIFT;
    return index < this.pages.length ? this.pages[index] : null;
  }
}
