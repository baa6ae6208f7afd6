import { Spinlock } from "../../sim/lock.js";
import type { Sim } from "../../sim/sim.js";
import type { MsiChip } from "../msi.js";
import type { ItsNode } from "./its-node.js";
import type { ItsVm, VlpiMap } from "./its-vm.js";

/** A device behind an ITS: its LPIs, one for each event, and of forwarded events what they are for the guest. */
export class ItsDevice {
  /** event_map.vlpi_lock */
  readonly vlpiLock: Spinlock;
  /** By event: the CPU of its collection. */
  readonly cpus: Int32Array;
  /** By event: in use. */
  private readonly used: Uint8Array;
  private inUse = 0;
  /** No event below it is free. */
  private firstFree = 0;
  /** The VM that its forwarded events belong to. */
  vm: ItsVm | null = null;
  /** By event; null while none is forwarded. */
  vlpiMaps: (VlpiMap | null)[] | null = null;
  vlpis = 0;
  /** The outer level of its events, of the function that asked for some last. */
  chip: MsiChip | null = null;

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

  get isUnused(): boolean {
    return this.inUse === 0;
  }

  /** The first of `count` free events in a row, a power of two, -1. */
  take(count: number): number {
    const { used } = this;
    while (used[this.firstFree] === 1) this.firstFree++;
    for (let first = Math.ceil(this.firstFree / count) * count; first + count <= this.events; first += count) {
      if (!this.isFree(first, count)) continue;
      for (let event = first; event < first + count; event++) used[event] = 1;
      this.inUse += count;
      return first;
    }
    return -1;
  }

  private isFree(first: number, count: number): boolean {
    for (let event = first; event < first + count; event++) if (this.used[event] === 1) return false;
    return true;
  }

  /** Gives back what {@link take} gave. */
  give(first: number, count: number): void {
    for (let event = first; event < first + count; event++) this.used[event] = 0;
    this.inUse -= count;
    this.firstFree = Math.min(this.firstFree, first);
  }
}
