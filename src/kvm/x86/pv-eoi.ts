import type { Lapic } from "../../irqchip/x86/lapic/lapic.js";
import { reads } from "../../sim/access.js";
import type { Step } from "../../sim/step.js";
import type { X86Trap } from "./guest.js";
import type { VcpuX86 } from "./vcpu.js";

const ENABLED = 1 << 0;
const RESERVED = 1 << 1;
const TWO_32 = 0x1_0000_0000;
/** Bit 0 of the guest's word: the interrupt in service needs no EOI register write; the guest clears the bit instead. */
const PENDING = 1;

/**
 * KVM's paravirtual end of interrupt (Documentation/virt/kvm/x86/msr.rst; arch/x86/kvm/lapic.c): for the one edge
 * interrupt in service the guest clears a bit in its own memory, which KVM sees at the next exit, whatever that is.
 */
export class PvEoi {
  /** Guest physical address of the word, -1 while off. */
  private address = -1;
  /** The bit was set in the guest's memory and KVM has not seen the end. */
  private isOffered = false;
  /** The MSR. */
  private low = 0;
  private high = 0;

  /** The guest writes the MSR: false for a general protection fault. */
  enable(low: number, high: number): boolean {
    if ((low & RESERVED) !== 0) return false;
    this.low = low | 0;
    this.high = high | 0;
    this.address = (low & ENABLED) === 0 ? -1 : (high >>> 0) * TWO_32 + ((low & ~3) >>> 0);
    this.isOffered = false;
    return true;
  }

  /** The guest reads the MSR. */
  read(trap: X86Trap): void {
    trap.low = this.low;
    trap.high = this.high;
  }

  /** INIT: as if the guest had never asked for it. */
  reset(): void {
    this.low = this.high = 0;
    this.address = -1;
    this.isOffered = false;
  }

  /** After injection. Not while another interrupt waits, nor for a vector whose end somebody else has to hear of. */
  *toGuest(vcpu: VcpuX86, lapic: Lapic): Step<void> {
    if (this.address < 0 || this.isOffered) return;
    yield reads(lapic, "irrPending");
    if (lapic.irrPending) return;
    const vector = yield* lapic.highestInService();
    if (vector < 0 || lapic.handled.has(vector)) return;
    this.isOffered = yield* this.store(vcpu, PENDING);
  }

  /**
   * At each exit: a bit that the guest has cleared was an EOI; one that it has not is taken back, and offered anew by the
   * next entry that looks at interrupts. So a handler that exits for anything else ends its interrupt by the register.
   */
  *fromGuest(vcpu: VcpuX86, lapic: Lapic): Step<void> {
    if (!this.isOffered) return;
    this.isOffered = false;
    const isPending = yield* this.isPending(vcpu);
    if (isPending) yield* this.store(vcpu, 0);
    else yield* lapic.eoi();
  }

  private *isPending(vcpu: VcpuX86): Step<boolean> {
    const hva = yield* vcpu.vm.slots.translate(this.address, 1, false);
    return hva >= 0 && (vcpu.vm.process.memory.getU8(hva) & PENDING) !== 0;
  }

  private *store(vcpu: VcpuX86, value: number): Step<boolean> {
    const hva = yield* vcpu.vm.slots.translate(this.address, 1, true);
    if (hva < 0) return false;
    vcpu.vm.process.memory.setU8(hva, value);
    return true;
  }
}
