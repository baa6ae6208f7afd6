import { Spinlock } from "../../sim/lock.js";
import type { Sim } from "../../sim/sim.js";
import type { ItsNode } from "./its-node.js";
import type { ItsVm, VlpiMap } from "./its-vm.js";

/** A device behind an ITS: its LPIs, one for each event, and of forwarded events what they are for the guest. */
export class ItsDevice {
  /** event_map.vlpi_lock */
  readonly vlpiLock: Spinlock;
  /** By event: the CPU of its collection. */
  readonly cpus: Int32Array;
  /** By event: in use. */
  readonly used: Uint8Array;
  /** The VM that its forwarded events belong to. */
  vm: ItsVm | null = null;
  /** By event; null while none is forwarded. */
  vlpiMaps: (VlpiMap | null)[] | null = null;
  vlpis = 0;

  constructor(
    sim: Sim,
    readonly node: ItsNode,
    readonly deviceId: number,
    /** A power of two. */
    readonly events: number,
    readonly lpiBase: number,
    readonly itt: number,
  ) {
    this.vlpiLock = new Spinlock(sim, "event_map.vlpi_lock");
    this.cpus = new Int32Array(events);
    this.used = new Uint8Array(events);
  }

  eventOf(lpi: number): number {
    return lpi - this.lpiBase;
  }

  /** The first of `count` free events in a row, a power of two, -1. */
  take(count: number): number {
    const free = count === 1 ? this.used.indexOf(0) : 0;
    for (let first = free; first >= 0 && first + count <= this.events; first += count) {
      if (count > 1 && this.used.subarray(first, first + count).includes(1)) continue;
      this.used.fill(1, first, first + count);
      return first;
    }
    return -1;
  }
}
