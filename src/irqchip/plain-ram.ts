import { AddressSpace } from "../host/memory.js";
import { reads, writes } from "../sim/access.js";
import type { Step } from "../sim/step.js";
import type { GuestRam } from "./contract.js";

/** A range of guest memory with no slots behind it, for a controller without a VM around it. */
export class PlainRam implements GuestRam {
  readonly memory = new AddressSpace();

  /** @param start guest physical address, `size` bytes behind it; both multiples of 4 KiB */
  constructor(start: number, size: number) {
    this.memory.map(start, size);
  }

  *readWords(address: number, into: Int32Array, words: number): Step<boolean> {
    yield reads(this, "bytes");
    if (!this.memory.isReadable(address, 4 * words)) return false;
    for (let i = 0; i < words; i++) into[i] = this.memory.getU32(address + 4 * i);
    return true;
  }

  *writeWords(address: number, from: Int32Array, words: number): Step<boolean> {
    yield writes(this, "bytes");
    if (!this.memory.isWritable(address, 4 * words)) return false;
    for (let i = 0; i < words; i++) this.memory.setU32(address + 4 * i, from[i] >>> 0);
    return true;
  }

  *readByte(address: number): Step<number> {
    yield reads(this, "bytes");
    return this.memory.isReadable(address, 1) ? this.memory.getU8(address) : -1;
  }

  *writeByte(address: number, value: number): Step<boolean> {
    yield writes(this, "bytes");
    if (!this.memory.isWritable(address, 1)) return false;
    this.memory.setU8(address, value);
    return true;
  }

  *isVisible(address: number): Step<boolean> {
    yield reads(this, "bytes");
    return this.memory.isReadable(address, 1);
  }
}
