import type { X86Trap } from "../kvm/x86/guest.js";
import type { VcpuX86 } from "../kvm/x86/vcpu.js";
import type { Step } from "../sim/step.js";

const PAGE = 4096;
const TWO_32 = 0x1_0000_0000;

/**
 * A load or store of the command guest as KVM's instruction emulation makes it: a page at a time, the address wrapping at
 * 4 GiB; what is memory is accessed there, the rest by the vCPU's trap, an exit for each part. The parts of one access come
 * without anything between them.
 */
export class GuestAccess {
  private address = 0;
  /** Bytes of the whole, and how many are done. */
  private size = 0;
  private done = 0;
  private part = 0;
  private isWrite = false;
  private readonly bytes = new DataView(new ArrayBuffer(4));

  begin(address: number, size: number, isWrite: boolean, value: number): void {
    this.address = address;
    this.size = size;
    this.done = 0;
    this.part = 0;
    this.isWrite = isWrite;
    this.bytes.setInt32(0, value | 0, true);
  }

  /** Goes on with what is no trap: true when the trap of the vCPU has to be performed, false when the access is over. */
  *proceed(vcpu: VcpuX86): Step<boolean> {
    while (this.done < this.size) {
      const at = (this.address + this.done) % TWO_32;
      this.part = Math.min(this.size - this.done, PAGE - (at % PAGE));
      const hva = yield* vcpu.vm.slots.translate(at, this.part, this.isWrite);
      if (hva < 0) {
        this.describe(vcpu.trap, at);
        return true;
      }
      this.inMemory(vcpu, hva);
      this.done += this.part;
    }
    return false;
  }

  /** The trap was performed. */
  completed({ low }: X86Trap): void {
    for (let i = 0; i < this.part && !this.isWrite; i++) this.bytes.setUint8(this.done + i, (low >>> (8 * i)) & 0xff);
    this.done += this.part;
  }

  /** What a load gave. */
  get value(): number {
    return this.size === 4 ? this.bytes.getInt32(0, true) : this.bytes.getInt32(0, true) & ((1 << (8 * this.size)) - 1);
  }

  private describe(trap: X86Trap, address: number): void {
    trap.address = address;
    trap.isWrite = this.isWrite;
    trap.size = this.part;
    trap.low = 0;
    trap.high = 0;
    for (let i = 0; i < this.part && this.isWrite; i++) trap.low |= this.bytes.getUint8(this.done + i) << (8 * i);
  }

  private inMemory(vcpu: VcpuX86, hva: number): void {
    const { memory } = vcpu.vm.process;
    for (let i = 0; i < this.part; i++) {
      if (this.isWrite) memory.setU8(hva + i, this.bytes.getUint8(this.done + i));
      else this.bytes.setUint8(this.done + i, memory.getU8(hva + i));
    }
  }
}
