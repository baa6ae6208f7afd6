import { GITS_TRANSLATER } from "../../../arch/gic/gits.js";
import { block, writes } from "../../../sim/access.js";
import type { Step } from "../../../sim/step.js";
import type { Its } from "./its.js";
import type { Translations } from "./cache.js";
import type { Lpis } from "./lpis.js";

/** [6.1] */
export const TRANSLATIONS_PER_VCPU = 16;

/**
 * [6.1]: the translations of all ITSs of a VM (gic-its.md B7.3). A list, the latest used first, of a length that INIT sets;
 * a new one takes the place of the last. A hit takes the very address of GITS_TRANSLATER.
 */
export class LruTranslations implements Translations {
  private doorbellHi = new Int32Array(0);
  private doorbellLo = new Int32Array(0);
  private deviceId = new Int32Array(0);
  private event = new Int32Array(0);
  /** 0: empty, and so is all behind it. */
  private intid = new Int32Array(0);
  private next = new Int32Array(0);
  private previous = new Int32Array(0);
  private head = -1;
  private tail = -1;

  /** @param perVcpu 0: none is remembered */
  constructor(
    private readonly lpis: Lpis,
    private readonly perVcpu: number,
  ) {}

  /** Nothing is remembered before: at INIT, or at the first ITS after it. */
  *allocate(vcpus: number): Step<void> {
    yield writes(this, "entries");
    if (this.intid.length > 0 || this.perVcpu === 0) return;
    const length = this.perVcpu * vcpus;
    for (const field of ["doorbellHi", "doorbellLo", "deviceId", "event", "intid", "next", "previous"] as const) this[field] = new Int32Array(length);
    for (let place = 0; place < length; place++) {
      this.next[place] = place + 1 < length ? place + 1 : -1;
      this.previous[place] = place - 1;
    }
    this.head = 0;
    this.tail = length - 1;
  }

  *find(addressHi: number, addressLo: number, deviceId: number, event: number): Step<number> {
    yield writes(this, "entries");
    const place = this.placeOf(addressHi, addressLo, deviceId, event);
    return place < 0 ? 0 : this.intid[place];
  }

  *insert(its: Its, deviceId: number, event: number, intid: number): Step<void> {
    const doorbell = its.base + GITS_TRANSLATER;
    const hi = Math.floor(doorbell / 2 ** 32) | 0;
    const lo = doorbell | 0;
    yield writes(this, "entries");
    if (this.tail < 0 || this.placeOf(hi, lo, deviceId, event) >= 0) return;
    const place = this.tail;
    const old = this.intid[place];
    this.doorbellHi[place] = hi;
    this.doorbellLo[place] = lo;
    this.deviceId[place] = deviceId;
    this.event[place] = event;
    this.intid[place] = intid;
    this.toFront(place);
    yield* this.lpis.hold(intid);
    if (old !== 0) yield* this.lpis.release(old);
  }

  *invalidate(): Step<void> {
    yield writes(this, "entries");
    while (this.head >= 0 && this.intid[this.head] !== 0) {
      const { head } = this;
      const intid = this.intid[head];
      this.intid[head] = 0;
      this.toBack(head);
      yield* this.lpis.release(intid);
      yield writes(this, "entries");
    }
  }

  get size(): number {
    return this.intid.reduce((count, intid) => (intid === 0 ? count : count + 1), 0);
  }

  /** A hit comes to the front. */
  private placeOf(hi: number, lo: number, deviceId: number, event: number): number {
    for (let place = this.head; place >= 0 && this.intid[place] !== 0; place = this.next[place])
      if (this.event[place] === event && this.deviceId[place] === deviceId && this.doorbellLo[place] === lo && this.doorbellHi[place] === hi) {
        this.toFront(place);
        return place;
      }
    return -1;
  }

  private unlink(place: number): void {
    const { [place]: next } = this.next;
    const { [place]: previous } = this.previous;
    if (previous < 0) this.head = next;
    else this.next[previous] = next;
    if (next < 0) this.tail = previous;
    else this.previous[next] = previous;
  }

  private toFront(place: number): void {
    if (place === this.head) return;
    this.unlink(place);
    this.next[place] = this.head;
    this.previous[place] = -1;
    this.previous[this.head] = place;
    this.head = place;
  }

  private toBack(place: number): void {
    if (place === this.tail) return;
    this.unlink(place);
    this.next[place] = -1;
    this.previous[place] = this.tail;
    this.next[this.tail] = place;
    this.tail = place;
  }
}
block(LruTranslations, "head", "tail", "intid");
