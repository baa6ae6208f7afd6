import type { AddressSpace } from "../host/memory.js";

/** The guest's RAM as a guest of the other byte order has it: words with the most significant byte first, by guest real addresses. */
export class GuestWords {
  /** @param ram where RAM is, in the VMM and in the guest, bytes */
  constructor(
    private readonly memory: AddressSpace,
    private readonly ram: { readonly user: number; readonly guest: number; readonly size: number },
  ) {}

  /** Where `size` bytes are in the VMM; -1 where any of them is no RAM. */
  userAt(address: number, size: number): number {
    const offset = address - this.ram.guest;
    return offset >= 0 && offset + size <= this.ram.size ? this.ram.user + offset : -1;
  }

  /** A word of RAM, u32. */
  get(address: number): number {
    return swapped(this.memory.getU32(this.userAt(address, 4)));
  }

  set(address: number, value: number): void {
    this.memory.setU32(this.userAt(address, 4), swapped(value));
  }
}

const swapped = (word: number): number => ((word << 24) | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00) | (word >>> 24)) >>> 0;
