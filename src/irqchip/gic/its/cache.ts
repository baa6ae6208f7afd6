import { block, reads, writes } from "../../../sim/access.js";
import type { Step } from "../../../sim/step.js";
import type { Its } from "./its.js";
import type { Lpis } from "./lpis.js";

/** Greatest device and event id that is remembered. */
const MOST = 0xffff;
const FIRST_BITS = 6;
const FIRST_CAPACITY = 1 << FIRST_BITS;
const GOLDEN = 0x9e3779b1 | 0;

/**
 * Translations that were made lately, asked before any mutex is taken (gic-its.md B7.3). They are not checked again: what
 * changes an answer empties them before it returns (hazard R25). Each holds its LPI.
 */
export interface Translations {
  /** The LPI of an event, 0 when it is not known; all int32. */
  find(addressHi: number, addressLo: number, deviceId: number, event: number): Step<number>;
  /** its_lock is held, so that no invalidation comes between the translation and this (hazard R26). */
  insert(its: Its, deviceId: number, event: number, intid: number): Step<void>;
  invalidate(): Step<void>;
  /** Entries, for tests. */
  readonly size: number;
}

/** The translations of one ITS, as many as there are: entries in the order of arrival, and a hash of their places. */
export class TranslationCache implements Translations {
  private keys = new Int32Array(FIRST_CAPACITY);
  private intids = new Int32Array(FIRST_CAPACITY);
  /** Where in the hash each is. */
  private slots = new Int32Array(FIRST_CAPACITY);
  /** Place + 1, 0 for free; twice as long. */
  private index = new Int32Array(2 * FIRST_CAPACITY);
  private shift = 32 - FIRST_BITS - 1;
  private count = 0;

  constructor(private readonly lpis: Lpis) {}

  *find(_addressHi: number, _addressLo: number, deviceId: number, event: number): Step<number> {
    yield reads(this, "entries");
    if (deviceId >>> 0 > MOST || event >>> 0 > MOST) return 0;
    const place = this.index[this.slotOf((deviceId << 16) | event)];
    return place === 0 ? 0 : this.intids[place - 1];
  }

  *insert(_its: Its, deviceId: number, event: number, intid: number): Step<void> {
    if (deviceId >>> 0 > MOST || event >>> 0 > MOST) return;
    yield* this.lpis.hold(intid);
    yield writes(this, "entries");
    const key = (deviceId << 16) | event;
    const slot = this.slotOf(key);
    const place = this.index[slot];
    if (place === 0) {
      this.append(slot, key, intid);
      return;
    }
    const old = this.intids[place - 1];
    this.intids[place - 1] = intid;
    yield* this.lpis.release(old);
  }

  /** The youngest first: no other entry's search for its place led over it. */
  *invalidate(): Step<void> {
    yield writes(this, "entries");
    while (this.count > 0) {
      const place = --this.count;
      this.index[this.slots[place]] = 0;
      yield* this.lpis.release(this.intids[place]);
      yield writes(this, "entries");
    }
  }

  get size(): number {
    return this.count;
  }

  /** Bytes of its entries. */
  get bytes(): number {
    return this.keys.byteLength + this.intids.byteLength + this.slots.byteLength + this.index.byteLength;
  }

  private homeOf(key: number): number {
    return Math.imul(key, GOLDEN) >>> this.shift;
  }

  /** Where the key is, or where it goes. */
  private slotOf(key: number): number {
    const { index, keys } = this;
    const mask = index.length - 1;
    let slot = this.homeOf(key);
    for (let place = index[slot]; place !== 0 && keys[place - 1] !== key; place = index[slot]) slot = (slot + 1) & mask;
    return slot;
  }

  private append(slot: number, key: number, intid: number): void {
    if (this.count === this.keys.length) {
      this.grow();
      slot = this.slotOf(key);
    }
    const place = this.count++;
    this.keys[place] = key;
    this.intids[place] = intid;
    this.slots[place] = slot;
    this.index[slot] = place + 1;
  }

  private grow(): void {
    const { keys } = this;
    this.keys = twice(keys);
    this.intids = twice(this.intids);
    this.slots = twice(this.slots);
    this.index = new Int32Array(4 * keys.length);
    this.shift--;
    for (let place = 0; place < keys.length; place++) {
      const slot = this.slotOf(keys[place]);
      this.slots[place] = slot;
      this.index[slot] = place + 1;
    }
  }
}
block(TranslationCache, "count", "index");

function twice(array: Int32Array): Int32Array<ArrayBuffer> {
  const longer = new Int32Array(2 * array.length);
  longer.set(array);
  return longer;
}
