import { reads, shared, writes } from "../../sim/access.js";
import type { Step } from "../../sim/step.js";
import { DFR_FLAT } from "./lapic/registers.js";

// AVIC's tables in memory (x86-irqchip.md 11, APM vol. 2 15.29.4): hardware walks them for each IPI and device message.

/** Bits 63:32 of a physical entry. */
const IS_RUNNING = 1 << 30;
const VALID = 1 << 31;
const HOST_ID_MASK = 0xfff;
const PAGE_SHIFT = 12;
/** Backing page bits 51:32, in the high half. */
const PAGE_HIGH_MASK = 0xfffff;
const TWO_20 = 0x100000;
const LOGICAL_ENTRIES = 64;
const CLUSTER_SIZE = 4;

/** Physical APIC ID table: by guest id, 64-bit entries as two int32. */
export class AvicPhysicalTable {
  readonly words: Int32Array;

  constructor(readonly size: number) {
    this.words = new Int32Array(size * 2);
  }

  /** A vCPU came: its backing page, by page frame number; it runs nowhere. */
  *install(id: number, backingPage: number): Step<void> {
    yield writes(this, "words");
    const { words } = this;
    words[id * 2] = (backingPage % TWO_20) << PAGE_SHIFT;
    words[id * 2 + 1] = VALID | (Math.floor(backingPage / TWO_20) & PAGE_HIGH_MASK);
  }

  /** Where it runs now; `hostId` -1: nowhere, the last host id stays. */
  *setRunning(id: number, hostId: number): Step<void> {
    yield writes(this, "words");
    const { words } = this;
    if (hostId < 0) {
      words[id * 2 + 1] &= ~IS_RUNNING;
      return;
    }
    words[id * 2] = (words[id * 2] & ~HOST_ID_MASK) | (hostId & HOST_ID_MASK);
    words[id * 2 + 1] |= IS_RUNNING;
  }

  *isValid(id: number): Step<boolean> {
    if (id >= this.size) return false;
    yield reads(this, "words");
    return (this.words[id * 2 + 1] & VALID) !== 0;
  }

  /** The host APIC id that a doorbell goes to, -1 while it does not run. */
  *runsOn(id: number): Step<number> {
    yield reads(this, "words");
    const { words } = this;
    return (words[id * 2 + 1] & IS_RUNNING) === 0 ? -1 : words[id * 2] & HOST_ID_MASK;
  }

  /** Page frame number of the backing page. */
  *backingPage(id: number): Step<number> {
    yield reads(this, "words");
    const { words } = this;
    return (words[id * 2] >>> PAGE_SHIFT) + (words[id * 2 + 1] & PAGE_HIGH_MASK) * TWO_20;
  }
}
shared(AvicPhysicalTable, "words");

/** Logical APIC ID table of xAPIC mode: index is the bit's number (flat) or cluster * 4 + bit; bits 7:0 the guest id, bit 31 valid. */
export class AvicLogicalTable {
  readonly entries = new Int32Array(LOGICAL_ENTRIES);

  /** The index of an LDR under a DFR, -1 where no entry stands for it. */
  static indexOf(ldr: number, dfr: number): number {
    const id = ldr >>> 24;
    const isFlat = dfr === DFR_FLAT;
    const bits = isFlat ? id : id & 0xf;
    if (bits === 0 || (bits & (bits - 1)) !== 0) return -1;
    const bit = 31 - Math.clz32(bits);
    if (isFlat) return bit;
    const cluster = id >>> 4;
    return cluster >= 0xf ? -1 : cluster * CLUSTER_SIZE + bit;
  }

  *set(index: number, guestId: number): Step<void> {
    yield writes(this, "entries");
    this.entries[index] = VALID | (guestId & 0xff);
  }

  *clear(index: number): Step<void> {
    yield writes(this, "entries");
    this.entries[index] = 0;
  }

  /** Guest id, -1 where the entry is not valid. */
  *find(index: number): Step<number> {
    yield reads(this, "entries");
    const entry = this.entries[index];
    return (entry & VALID) === 0 ? -1 : entry & 0xff;
  }
}
shared(AvicLogicalTable, "entries");
