import type { AddressSpace } from "../host/memory.js";
import type { GuestRam } from "../irqchip/contract.js";
import { reads, writes } from "../sim/access.js";
import type { Srcu } from "../sim/srcu.js";
import type { Step } from "../sim/step.js";
import type { MemorySlots } from "./memslots.js";

const PAGE = 4096;

/** Of `words` from an address on, those that begin in its page: what is looked up at once. */
function wordsInPage(address: number, words: number): number {
  return Math.min(words, (PAGE - (address & (PAGE - 1)) + 3) >> 2);
}

/** The guest's memory by its slots, inside an srcu section each time (host-irq.md 4.6): what a slot no longer shows is not there. */
export class SlotRam implements GuestRam {
  constructor(
    private readonly slots: MemorySlots,
    private readonly memory: AddressSpace,
    private readonly srcu: Srcu,
  ) {}

  *readWords(address: number, into: Int32Array, words: number): Step<boolean> {
    const section = yield* this.srcu.readLock();
    let isThere = true;
    for (let i = 0; i < words; ) {
      const count = wordsInPage(address + 4 * i, words - i);
      const hva = yield* this.slots.translate(address + 4 * i, 4 * count, false);
      isThere = hva >= 0 && this.memory.isReadable(hva, 4 * count);
      if (!isThere) break;
      for (let n = 0; n < count; n++) {
        yield reads(this, "bytes");
        into[i + n] = this.memory.getU32(hva + 4 * n) | 0;
      }
      i += count;
    }
    yield* this.srcu.readUnlock(section);
    return isThere;
  }

  *writeWords(address: number, from: Int32Array, words: number): Step<boolean> {
    const section = yield* this.srcu.readLock();
    let isThere = true;
    for (let i = 0; i < words; ) {
      const count = wordsInPage(address + 4 * i, words - i);
      const hva = yield* this.slots.translate(address + 4 * i, 4 * count, true);
      isThere = hva >= 0 && this.memory.isWritable(hva, 4 * count);
      if (!isThere) break;
      for (let n = 0; n < count; n++) {
        yield writes(this, "bytes");
        this.memory.setU32(hva + 4 * n, from[i + n] >>> 0);
      }
      i += count;
    }
    yield* this.srcu.readUnlock(section);
    return isThere;
  }

  *readByte(address: number): Step<number> {
    const section = yield* this.srcu.readLock();
    const hva = yield* this.slots.translate(address, 1, false);
    const isThere = hva >= 0 && this.memory.isReadable(hva, 1);
    yield reads(this, "bytes");
    const byte = isThere ? this.memory.getU8(hva) : -1;
    yield* this.srcu.readUnlock(section);
    return byte;
  }

  *writeByte(address: number, value: number): Step<boolean> {
    const section = yield* this.srcu.readLock();
    const hva = yield* this.slots.translate(address, 1, true);
    const isThere = hva >= 0 && this.memory.isWritable(hva, 1);
    yield writes(this, "bytes");
    if (isThere) this.memory.setU8(hva, value);
    yield* this.srcu.readUnlock(section);
    return isThere;
  }

  *isVisible(address: number): Step<boolean> {
    const section = yield* this.srcu.readLock();
    const slot = yield* this.slots.find(address);
    yield* this.srcu.readUnlock(section);
    return slot !== null;
  }
}
