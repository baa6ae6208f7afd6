import { Lifetime } from "../../../sim/lifetime.js";
import { STRAIGHT } from "../../../sim/step.js";

/** An entry: event id + 1 (0: free), LPI (0: not mapped), collection slot + 1 (0: no collection). */
const WORDS = 3;
const LEAST_ENTRIES = 2;
const EMPTY = new Int32Array(0);

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

/**
 * A device of an ITS and its interrupt translation entries, one for each mapped event (gic-its.md B1): a hash table, so that
 * events far apart cost no more than others.
 */
export class ItsDevice {
  readonly lifetime: Lifetime;
  private entries = EMPTY;
  /** Entries there are, a power of two, less one. */
  private mask = -1;
  /** Entries in use, those of events that were unmapped since it grew among them. */
  private used = 0;
  private mapped = 0;
  /** Mapped events in order; null: to be made anew. */
  private order: Uint16Array | null = null;

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
    const at = this.find(event);
    return at < 0 ? 0 : this.entries[at + 1];
  }

  /** Slot of the event's collection, -1 when it was unmapped. */
  slot(event: number): number {
    const at = this.find(event);
    return at < 0 ? -1 : this.entries[at + 2] - 1;
  }

  map(event: number, intid: number, slot: number): void {
    let at = this.find(event);
    if (at < 0) {
      if (intid === 0) return;
      this.reserve();
      at = this.place(event);
      this.used++;
      this.entries[at] = event + 1;
    }
    const before = this.entries[at + 1] | 0;
    this.entries[at + 1] = intid;
    this.entries[at + 2] = slot + 1;
    if ((before === 0) === (intid === 0)) return;
    this.mapped += intid === 0 ? -1 : 1;
    this.order = null;
  }

  unmap(event: number): void {
    this.map(event, 0, -1);
  }

  /** The first mapped event from `event` on, -1 when there is none. */
  next(event: number): number {
    if (!STRAIGHT) this.lifetime.touch();
    if (this.mapped === 0) return -1;
    this.order ??= this.inOrder();
    const { order } = this;
    let [low, high] = [0, order.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (order[middle] < event) low = middle + 1;
      else high = middle;
    }
    return low === order.length ? -1 : order[low];
  }

  private inOrder(): Uint16Array {
    const order = new Uint16Array(this.mapped);
    let count = 0;
    for (let at = 0; at < this.entries.length; at += WORDS) if (this.entries[at + 1] !== 0) order[count++] = this.entries[at] - 1;
    return order.sort();
  }

  /** Bytes of its entries. */
  get bytes(): number {
    return this.entries.byteLength + (this.order?.byteLength ?? 0);
  }

  /** Where the entry of an event is, -1. */
  private find(event: number): number {
    if (!STRAIGHT) this.lifetime.touch();
    if (this.used === 0) return -1;
    const at = this.place(event);
    return this.entries[at] === 0 ? -1 : at;
  }

  /** Where it is or would be: some entry is always free. */
  private place(event: number): number {
    const { entries, mask } = this;
    for (let i = event & mask; ; i = (i + 1) & mask) {
      const key = entries[i * WORDS];
      if (key === 0 || key === event + 1) return i * WORDS;
    }
  }

  /** Room for one more: at most three quarters are in use, what was unmapped is dropped. */
  private reserve(): void {
    if ((this.used + 1) * 4 <= (this.mask + 1) * 3) return;
    const old = this.entries;
    let next = LEAST_ENTRIES;
    while ((this.mapped + 1) * 4 > next * 3) next *= 2;
    this.entries = new Int32Array(next * WORDS);
    this.mask = next - 1;
    this.used = this.mapped;
    for (let at = 0; at < old.length; at += WORDS) {
      if (old[at + 1] === 0) continue;
      const to = this.place(old[at] - 1);
      for (let word = 0; word < WORDS; word++) this.entries[to + word] = old[at + word];
    }
  }
}
