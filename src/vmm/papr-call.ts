import type { AddressSpace } from "../host/memory.js";
import { kvm_run } from "../uapi/kvm.js";
import type { Word64 } from "./ppc-kvm.js";

const TWO32 = 0x1_0000_0000;

/** A hypercall in a vCPU's run page (KVM_EXIT_PAPR_HCALL): number and arguments, which are r4 and on; its answers go there, too. */
export class PaprCall {
  constructor(
    private readonly memory: AddressSpace,
    private readonly runAddress: number,
  ) {}

  /** -1: one with bits above 31, which is none. */
  get number(): number {
    const { hi, lo } = this.at(kvm_run.papr_hcall.nr.offset);
    return hi === 0 ? lo >>> 0 : -1;
  }

  word(i: number): Word64 {
    return this.at(kvm_run.papr_hcall.args[i].offset);
  }

  /** As a number: exact below 2^53, and no less than that for what is not. */
  value(i: number): number {
    const { hi, lo } = this.word(i);
    return (hi >>> 0) * TWO32 + (lo >>> 0);
  }

  answer(i: number, { hi, lo }: Word64): void {
    this.put(kvm_run.papr_hcall.args[i].offset, hi, lo);
  }

  /** r3 */
  finish(status: number): void {
    this.put(kvm_run.papr_hcall.ret.offset, status < 0 ? -1 : 0, status);
  }

  private at(offset: number): Word64 {
    return { lo: this.memory.getU32(this.runAddress + offset) | 0, hi: this.memory.getU32(this.runAddress + offset + 4) | 0 };
  }

  private put(offset: number, hi: number, lo: number): void {
    this.memory.setU32(this.runAddress + offset, lo >>> 0);
    this.memory.setU32(this.runAddress + offset + 4, hi >>> 0);
  }
}
