import type { AddressSpace } from "../host/memory.js";
import { reads, shared, writes } from "../sim/access.js";
import type { Step } from "../sim/step.js";
import { EEXIST, EFAULT, EINVAL } from "../uapi/errno.js";
import { KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY } from "../uapi/kvm.js";

const PAGE = 4096;
const MAX_PAGES = 2 ** 31 - 1;
const USER_ADDRESS_END = 2 ** 48;
/** KVM_CAP_NR_MEMSLOTS on arm64. */
export const NR_MEMSLOTS = 32767;

/** A range of guest physical memory and where it lies in the process. */
export class MemorySlot {
  constructor(
    readonly slot: number,
    readonly flags: number,
    readonly gpa: number,
    readonly size: number,
    readonly hva: number,
  ) {}

  get isReadonly(): boolean {
    return (this.flags & KVM_MEM_READONLY) !== 0;
  }
  get end(): number {
    return this.gpa + this.size;
  }
}

/**
 * An access by the guest, and where it goes. Addresses go by an object: as arguments they are allocated, being larger than
 * an int32, wherever a call is not inlined.
 */
export interface GuestAccess {
  /** Guest physical. */
  readonly address: number;
  /** Bytes. */
  readonly size: number;
  readonly isWrite: boolean;
  /** In the process. */
  hva: number;
}

/**
 * The guest's physical memory. The table is replaced as a whole under slots_lock, and whoever read the old one has left
 * its SRCU section before the replacement returns: no guest access uses a slot that is gone.
 */
export class MemorySlots {
  /** Ascending by address. */
  private table: readonly MemorySlot[] = [];
  private last: MemorySlot | null = null;
  private readonly sought = { address: 0 };

  constructor(
    private readonly ipaBits: number,
    private readonly memory: AddressSpace,
  ) {}

  /** The slot of a guest physical address; null where there is none. */
  *find(gpa: number): Step<MemorySlot | null> {
    yield reads(this, "table");
    this.sought.address = gpa;
    return this.slotOf(this.sought);
  }

  private slotOf(at: { readonly address: number }): MemorySlot | null {
    const { last } = this;
    if (last !== null && at.address >= last.gpa && at.address < last.gpa + last.size) return last;
    const found = search(this.table, at);
    if (found !== null) this.last = found;
    return found;
  }

  /** Where a guest physical address lies in the process, -1 where the guest has no memory. */
  *toHva(gpa: number): Step<number> {
    const slot = yield* this.find(gpa);
    return slot === null ? -1 : gpa - slot.gpa + slot.hva;
  }

  /** Where stage 2 maps `size` bytes of the guest for this access, -1 where it does not. */
  *translate(gpa: number, size: number, isWrite: boolean): Step<number> {
    const slot = yield* this.find(gpa);
    if (slot === null || gpa + size > slot.end || (isWrite && slot.isReadonly)) return -1;
    return gpa - slot.gpa + slot.hva;
  }

  /** The same, into `access.hva`; false where it does not. */
  *locate(access: GuestAccess): Step<boolean> {
    yield reads(this, "table");
    const slot = this.slotOf(access);
    if (slot === null || access.address + access.size > slot.end || (access.isWrite && slot.isReadonly)) return false;
    access.hva = access.address - slot.gpa + slot.hva;
    return true;
  }

  /**
   * KVM_SET_USER_MEMORY_REGION (host-irq.md 4.6); the caller holds slots_lock and waits for a grace period afterwards.
   * Numbers of 2^53 and above are Infinity, their low halves are given for the alignment.
   */
  *set(slot: number, flags: number, gpa: number, size: number, hva: number, isAligned: boolean, wraps: boolean): Step<number> {
    const shape = checkShape(slot, flags, size, hva, isAligned, wraps);
    if (shape < 0) return shape;
    yield reads(this, "table");
    const old = this.bySlot(slot);
    if (size === 0) return old === null ? -EINVAL : yield* this.replace(old, null);
    if (old !== null) {
      if (old.hva !== hva || old.size !== size || ((old.flags ^ flags) & KVM_MEM_READONLY) !== 0) return -EINVAL;
      if (old.gpa === gpa && old.flags === flags) return 0;
    }
    const made = new MemorySlot(slot, flags, gpa, size, hva);
    if (old === null || old.gpa !== gpa) {
      const placed = this.checkPlace(made, old);
      if (placed < 0) return placed;
    }
    return yield* this.replace(old, made);
  }

  private checkPlace(made: MemorySlot, old: MemorySlot | null): number {
    for (let i = 0; i < this.table.length; i++) {
      const other = this.table[i];
      if (other !== old && other.gpa < made.end && made.gpa < other.end) return -EEXIST;
    }
    if (made.end > 2 ** this.ipaBits) return -EFAULT;
    const isDevice = this.memory.areaAt(made.hva)?.kind === "device";
    return isDevice && (made.flags & KVM_MEM_LOG_DIRTY_PAGES) !== 0 ? -EINVAL : 0;
  }

  private *replace(old: MemorySlot | null, made: MemorySlot | null): Step<number> {
    yield writes(this, "table");
    const rest = this.table.filter((slot) => slot !== old);
    this.table = made === null ? rest : [...rest, made].sort((a, b) => a.gpa - b.gpa);
    this.last = null;
    return 0;
  }

  private bySlot(slot: number): MemorySlot | null {
    return this.table.find((candidate) => candidate.slot === slot) ?? null;
  }
}
shared(MemorySlots, "table");

function checkShape(slot: number, flags: number, size: number, hva: number, isAligned: boolean, wraps: boolean): number {
  const isPlain = (flags & ~(KVM_MEM_LOG_DIRTY_PAGES | KVM_MEM_READONLY)) === 0;
  const isOfUser = hva + size <= USER_ADDRESS_END;
  const isKnown = (slot & 0xffff) < NR_MEMSLOTS && slot >>> 16 === 0;
  const fits = size <= MAX_PAGES * PAGE;
  return isKnown && isPlain && isAligned && isOfUser && !wraps && fits ? 0 : -EINVAL;
}

function search(table: readonly MemorySlot[], { address }: { readonly address: number }): MemorySlot | null {
  let low = 0;
  let high = table.length - 1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    const slot = table[middle];
    if (address < slot.gpa) high = middle - 1;
    else if (address >= slot.end) low = middle + 1;
    else return slot;
  }
  return null;
}
