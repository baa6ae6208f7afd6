import type { Receivers } from "../contract.js";

/** The pin of the RTC, whose ticks user space wants to know consumed (x86-irqchip.md 1). */
export const RTC_PIN = 8;
/** The kernel's KVM_MAX_VCPUS as distributions build it. */
const MAX_VCPUS = 1024;

/**
 * Who still has to end the last RTC tick (x86-irqchip.md 5.7): while anybody does, a further tick asked for with
 * status is coalesced. By vCPU index; all of it under the IOAPIC's lock.
 */
export class RtcStatus implements Receivers {
  /** EOIs outstanding. */
  pendingEoi = 0;
  /** 1: received a tick and has not ended it. */
  private readonly received = new Uint8Array(MAX_VCPUS);
  /** The vector it was received with. */
  private readonly vectors = new Uint8Array(MAX_VCPUS);
  private delivering = 0;

  reset(): void {
    this.pendingEoi = 0;
    this.received.fill(0);
  }

  /** The receivers of a tick with `vector` follow by {@link add}. */
  begin(vector: number): void {
    this.delivering = vector;
  }

  add(vcpuIndex: number): void {
    this.received[vcpuIndex] = 1;
    this.vectors[vcpuIndex] = this.delivering;
  }

  /** The vector whose EOI this vCPU owes, -1 when none. */
  owes(vcpuIndex: number): number {
    return this.received[vcpuIndex] === 0 ? -1 : this.vectors[vcpuIndex];
  }

  /** A vCPU ended `vector`. False: more EOIs than ticks, so that all has to be counted anew. */
  eoi(vcpuIndex: number, vector: number): boolean {
    if (this.owes(vcpuIndex) !== vector) return true;
    this.received[vcpuIndex] = 0;
    return --this.pendingEoi >= 0;
  }

  /** What IRR and ISR of a vCPU say about the RTC's vector now. False as for {@link eoi}. */
  restore(vcpuIndex: number, vector: number, isPending: boolean): boolean {
    if (isPending === (this.received[vcpuIndex] !== 0)) return true;
    if (isPending) {
      this.received[vcpuIndex] = 1;
      this.vectors[vcpuIndex] = vector;
      this.pendingEoi++;
      return true;
    }
    this.received[vcpuIndex] = 0;
    return --this.pendingEoi >= 0;
  }
}
