import { block, reads, writes } from "../../sim/access.js";
import type { Step } from "../../sim/step.js";
import { EVENT_ID_BITS, ItsDevice } from "./its-devices.js";
import type { Lpis } from "./lpis.js";

const MOST = 0xffff;

/**
 * The translations of an ITS that were made lately, asked before any mutex is taken (gic-its.md B7.3). It checks nothing
 * again: whatever changes an answer empties it first (hazard R25). Each entry holds its LPI.
 */
export class TranslationCache {
  private readonly devices = new Map<number, ItsDevice>();
  private count = 0;

  constructor(private readonly lpis: Lpis) {}

  /** The LPI of an event, 0 when it is not known. */
  *find(deviceId: number, event: number): Step<number> {
    yield reads(this, "entries");
    return this.devices.get(deviceId)?.intid(event) ?? 0;
  }

  /** its_lock is held, so that no invalidation comes between the translation and this (hazard R26). */
  *insert(deviceId: number, event: number, intid: number): Step<void> {
    if (deviceId > MOST || event > MOST) return;
    yield* this.lpis.hold(intid);
    yield writes(this, "entries");
    let device = this.devices.get(deviceId);
    if (device === undefined) this.devices.set(deviceId, (device = new ItsDevice(deviceId, EVENT_ID_BITS, 0)));
    const old = device.intid(event);
    device.map(event, intid, 0);
    if (old === 0) this.count++;
    else yield* this.lpis.release(old);
  }

  *invalidate(): Step<void> {
    yield writes(this, "entries");
    if (this.count === 0) return;
    const gone = [...this.devices.values()];
    this.devices.clear();
    this.count = 0;
    for (let i = 0; i < gone.length; i++)
      for (let event = gone[i].next(0); event >= 0; event = gone[i].next(event + 1)) yield* this.lpis.release(gone[i].intid(event));
  }

  /** Entries, for tests. */
  get size(): number {
    return this.count;
  }
}
block(TranslationCache, "count");
