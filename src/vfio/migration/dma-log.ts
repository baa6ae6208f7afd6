import type { DmaPort } from "../../device/dma-port.js";
import { guarded } from "../../sim/access.js";
import type { Hazards } from "../../sim/hazards.js";
import { Spinlock } from "../../sim/lock.js";
import type { Sim } from "../../sim/sim.js";
import type { Step } from "../../sim/step.js";
import { EINVAL } from "../../uapi/errno.js";

/** Addresses whose writes are logged; `end` is exclusive. */
export interface LogRange {
  readonly start: bigint;
  readonly end: bigint;
}

const PAGE = 4096;
const PAGE_BITS = 12n;

/** The log that a device keeps of what it writes by DMA (vfio.md 15.4), by pages of 4 KiB. */
export class DmaLog {
  readonly lock: Spinlock;
  readonly hazards: Hazards;
  private ranges: readonly LogRange[] | null = null;
  private readonly dirty = new Set<number>();

  constructor(sim: Sim) {
    this.lock = new Spinlock(sim, "vfio_device.log_lock");
    this.hazards = sim.hazards;
  }

  /** -EINVAL where it logs already. */
  *start(ranges: readonly LogRange[]): Step<number> {
    yield* this.lock.lock();
    const isIdle = this.ranges === null;
    if (isIdle) {
      this.ranges = ranges;
      this.dirty.clear();
    }
    yield* this.lock.unlock();
    return isIdle ? 0 : -EINVAL;
  }

  *stop(): Step<number> {
    yield* this.lock.lock();
    const wasLogging = this.ranges !== null;
    this.ranges = null;
    yield* this.lock.unlock();
    return wasLogging ? 0 : -EINVAL;
  }

  /** The device has written. */
  *note(iova: number, length: number): Step<void> {
    yield* this.lock.lock();
    const { ranges } = this;
    for (let page = Math.floor(iova / PAGE); ranges !== null && page * PAGE < iova + length; page++) {
      const at = BigInt(page) << PAGE_BITS;
      if (ranges.some((range) => range.start < at + (1n << PAGE_BITS) && at < range.end)) this.dirty.add(page);
    }
    yield* this.lock.unlock();
  }

  /** Pages written since they were last reported, ascending and clean from now on; -EINVAL where nothing is logged. */
  *take(iova: bigint, length: bigint): Step<readonly number[] | number> {
    yield* this.lock.lock();
    const pages: number[] = [];
    const isLogging = this.ranges !== null;
    for (const page of this.dirty) {
      const at = BigInt(page) << PAGE_BITS;
      if (isLogging && at + (1n << PAGE_BITS) > iova && at < iova + length) pages.push(page);
    }
    for (const page of pages) this.dirty.delete(page);
    yield* this.lock.unlock();
    return isLogging ? pages.sort((a, b) => a - b) : -EINVAL;
  }
}
guarded(DmaLog, (log) => log.lock, "ranges", "dirty");

/**
 * A device's DMA past a log, by pages, so that what was written in front of a fault is noted. Noted when it is written: a
 * report in between misses it, and the next has it; the other way round it would be in none.
 */
export class LoggedDma implements DmaPort {
  constructor(
    private readonly port: DmaPort,
    private readonly log: DmaLog,
  ) {}

  *read(iova: number, into: Uint8Array): Step<boolean> {
    return yield* this.port.read(iova, into);
  }

  *write(iova: number, from: Uint8Array): Step<boolean> {
    for (let done = 0; done < from.length; ) {
      const at = iova + done;
      const count = Math.min(from.length - done, PAGE - (at % PAGE));
      if (this.log.hazards.noteBeforeWrite) yield* this.log.note(at, count);
      if (!(yield* this.port.write(at, from.subarray(done, done + count)))) return false;
      if (!this.log.hazards.noteBeforeWrite) yield* this.log.note(at, count);
      done += count;
    }
    return true;
  }
}
