import { Irte, type IrteSink } from "../../arch/x86/irte.js";
import { POSTED_DESCRIPTOR_SIZE, type PostedDescriptor } from "../../arch/x86/posted-descriptor.js";
import { reads, shared, writes } from "../../sim/access.js";
import { Ev } from "../../sim/event.js";
import type { Sim } from "../../sim/sim.js";
import type { Step } from "../../sim/step.js";
import { ENOSPC } from "../../uapi/errno.js";
import type { LocalApics } from "./local-apics.js";

/** VT-d 5.1.3: reasons of interrupt remapping faults. */
const enum Fault {
  INDEX_BEYOND_TABLE = 0x21,
  NOT_PRESENT = 0x22,
  COMPATIBILITY_BLOCKED = 0x25,
  WRONG_SOURCE = 0x26,
}

const TABLE_ENTRIES = 65536;
/** Where KVM's descriptors lie in host memory. */
const FIRST_DESCRIPTOR = 0x1000_0000;

// The address of a message (VT-d 5.1.5.2): bit 4 remappable, bit 3 the data's low half is added, 19:5 and 2 the handle.
const MESSAGE_BASE = 0xfee0_0000;
const MESSAGE_PREFIX = MESSAGE_BASE >>> 20;
const REMAPPABLE = 1 << 4;
const SUBHANDLE_VALID = 1 << 3;

/** Bits of a requester id that count, by SQ: all; all but function bit 2; but 2 and 1; no function bits. */
const QUALIFIERS: readonly number[] = [0xffff, 0xfffb, 0xfff9, 0xfff8];
const VERIFY_ID = 1;
const VERIFY_BUS = 2;

/** VT-d 9.10: may a source use the entry whose third word this is? */
function isAllowed(word: number, requesterId: number): boolean {
  const validation = (word >> 18) & 3;
  if (validation === VERIFY_ID) return ((word ^ requesterId) & QUALIFIERS[(word >> 16) & 3]) === 0;
  if (validation !== VERIFY_BUS) return true;
  const bus = requesterId >> 8;
  return bus >= ((word >> 8) & 0xff) && bus <= (word & 0xff);
}

/** Address of a message that goes through entry `index`; its data is added to the index. */
export function remappableAddress(index: number): number {
  return MESSAGE_BASE + ((index & 0x7fff) << 5) + REMAPPABLE + SUBHANDLE_VALID + ((index >> 15) << 2);
}

/**
 * The interrupt remapping and posting hardware of a VT-d unit (VT-d 5; x86-irqchip.md 10.5), in x2APIC mode: every message
 * of a device or an IOAPIC goes through an entry that its source may use.
 */
export class InterruptRemapping implements IrteSink {
  /** Faults that were recorded. */
  faults = 0;
  /** Messages that became notifications or were merged into a descriptor, and those that reached the host's CPUs. */
  posted = 0;
  remappedCount = 0;
  private readonly entries: (Irte | undefined)[] = [];
  private readonly descriptors = new Map<number, PostedDescriptor>();
  private nextDescriptor = FIRST_DESCRIPTOR;
  /** Of the message under way, for the record of a fault. */
  private source = 0;

  constructor(
    private readonly sim: Sim,
    private readonly apics: LocalApics,
  ) {}

  // Software's side: the table and memory.

  /** `count` entries in a row, aligned to their number: the first index, or -ENOSPC. */
  *allocate(count: number): Step<number> {
    let size = 1;
    while (size < count) size *= 2;
    yield writes(this, "entries");
    for (let first = 0; first + size <= TABLE_ENTRIES; first += size) {
      if (this.entries.slice(first, first + size).some((entry) => entry !== undefined)) continue;
      for (let i = 0; i < size; i++) this.entries[first + i] = new Irte();
      return first;
    }
    return -ENOSPC;
  }

  *free(first: number, count: number): Step<void> {
    yield writes(this, "entries");
    for (let i = 0; i < count; i++) this.entries[first + i] = undefined;
  }

  /** The entry at an allocated index. */
  *entry(index: number): Step<Irte> {
    yield reads(this, "entries");
    const entry = this.entries[index];
    if (entry === undefined) throw new Error(`remapping entry ${index} is not allocated`);
    return entry;
  }

  /** Host memory for one posted-interrupt descriptor: its address. */
  reserve(): number {
    this.nextDescriptor += POSTED_DESCRIPTOR_SIZE;
    return this.nextDescriptor - POSTED_DESCRIPTOR_SIZE;
  }

  /** From now on this descriptor lies at an address that {@link reserve} gave. */
  place(address: number, descriptor: PostedDescriptor): void {
    this.descriptors.set(address, descriptor);
  }

  // Hardware's side.

  /** A write of a bus master: false where the address is no message's. */
  *message(requesterId: number, addressHi: number, addressLo: number, data: number): Step<boolean> {
    if (addressHi !== 0 || addressLo >>> 20 !== MESSAGE_PREFIX) return false;
    if ((addressLo & REMAPPABLE) === 0) {
      this.record(requesterId, -1, Fault.COMPATIBILITY_BLOCKED);
      return true;
    }
    const handle = ((addressLo >> 5) & 0x7fff) | ((addressLo & 4) << 13);
    const index = addressLo & SUBHANDLE_VALID ? handle + (data & 0xffff) : handle;
    yield* this.interrupt(requesterId, index);
    return true;
  }

  /** A message through an entry, by a device or by an IOAPIC's redirection entry. */
  *interrupt(requesterId: number, index: number): Step<void> {
    yield reads(this, "entries");
    const entry = index < TABLE_ENTRIES ? this.entries[index] : undefined;
    if (entry === undefined) {
      this.record(requesterId, index, index < TABLE_ENTRIES ? Fault.NOT_PRESENT : Fault.INDEX_BEYOND_TABLE);
      return;
    }
    yield reads(entry, "words");
    if (!isAllowed(entry.words[2], requesterId)) {
      this.record(requesterId, index, Fault.WRONG_SOURCE);
      return;
    }
    this.source = requesterId;
    yield* entry.deliver(this);
  }

  descriptorAt(address: number): PostedDescriptor | null {
    this.posted++;
    return this.descriptors.get(address) ?? null;
  }

  coalesced(vector: number): void {
    this.sim.emit(Ev.pi_coalesced, this.source, vector, "PIR already set");
  }

  /** x2APIC mode: NDST is the APIC id. */
  *notify(ndst: number, vector: number): Step<void> {
    this.sim.emit(Ev.pi_notification, ndst, vector);
    yield* this.apics.send(ndst, vector);
  }

  *remapped(entry: Irte): Step<void> {
    this.remappedCount++;
    yield reads(entry, "words");
    const destination = entry.words[1] >>> 0;
    const vector = (entry.words[0] >> 16) & 0xff;
    yield* this.apics.send(destination, vector);
  }

  *fault(isRecorded: boolean): Step<void> {
    if (isRecorded) this.record(this.source, -1, Fault.NOT_PRESENT);
  }

  private record(requesterId: number, index: number, reason: number): void {
    this.faults++;
    this.sim.emit(Ev.intr_remap_fault, requesterId, index, reason);
  }
}
shared(InterruptRemapping, "entries");
