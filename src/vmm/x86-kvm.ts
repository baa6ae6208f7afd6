import type { Step } from "../sim/step.js";
import { kvm_cpuid2, kvm_cpuid_entry2, KVM_SET_CPUID2 } from "../uapi/x86.js";
import { Descriptor } from "./descriptor.js";

const FEATURES = 1;
const ADDRESS_SIZES = 0x8000_0008;
const PHYSICAL_BITS = 46;

/** A vCPU of x86. */
export class X86KvmVcpu extends Descriptor {
  /** KVM_SET_CPUID2 with these features (leaf 1, ECX). 0 or a negative errno. */
  *setCpuid(ecx: number): Step<number> {
    const { view } = this.args;
    const size = kvm_cpuid2.size + 2 * kvm_cpuid_entry2.size;
    this.args.clear(size);
    kvm_cpuid2.nent.set(view, 2);
    const first = new DataView(view.buffer, kvm_cpuid2.size, kvm_cpuid_entry2.size);
    kvm_cpuid_entry2.function.set(first, FEATURES);
    kvm_cpuid_entry2.ecx.set(first, ecx);
    const second = new DataView(view.buffer, kvm_cpuid2.size + kvm_cpuid_entry2.size, kvm_cpuid_entry2.size);
    kvm_cpuid_entry2.function.set(second, ADDRESS_SIZES);
    kvm_cpuid_entry2.eax.set(second, PHYSICAL_BITS);
    return yield* this.call(KVM_SET_CPUID2, size);
  }
}
