import type { ChipRules } from "../../irqchip/x86/chip-rules.js";
import { x2apicApiFlags } from "../../irqchip/x86/local-apics.js";
import * as K from "../../uapi/kvm.js";
import * as X from "../../uapi/x86.js";

const MAX_VCPUS = 1024;
const MAX_VCPU_IDS = 4096;

/** What x86 answers to KVM_CHECK_EXTENSION beside the common answers; unknown: 0. */
const ANSWERS: ReadonlyMap<number, number> = new Map([
  [K.KVM_CAP_IRQCHIP, 1],
  [X.KVM_CAP_EXT_CPUID, 1],
  [K.KVM_CAP_NR_MEMSLOTS, 32764],
  [K.KVM_CAP_MP_STATE, 1],
  [X.KVM_CAP_COALESCED_MMIO, 2],
  [X.KVM_CAP_COALESCED_PIO, 1],
  [X.KVM_CAP_USER_NMI, 1],
  [X.KVM_CAP_REINJECT_CONTROL, 1],
  [K.KVM_CAP_IRQ_INJECT_STATUS, 1],
  [X.KVM_CAP_PIT2, 1],
  [X.KVM_CAP_PIT_STATE2, 1],
  [X.KVM_CAP_SET_BOOT_CPU_ID, 1],
  [X.KVM_CAP_VCPU_EVENTS, 1],
  [K.KVM_CAP_IOAPIC_POLARITY_IGNORED, 1],
  [X.KVM_CAP_ENABLE_CAP_VM, 1],
  [X.KVM_CAP_CHECK_EXTENSION_VM, 1],
  [K.KVM_CAP_MAX_VCPUS, MAX_VCPUS],
  [K.KVM_CAP_MAX_VCPU_ID, MAX_VCPU_IDS],
]);

/** What x86 hosts and kernels differ in. */
interface X86Kernel {
  /** Physical CPUs online. */
  readonly cpus: number;
  readonly rules: ChipRules;
  readonly hasApicv: boolean;
}

export function x86Capability(capability: number, { cpus, rules, hasApicv }: X86Kernel, isSplit: boolean): number {
  switch (capability) {
    case K.KVM_CAP_NR_VCPUS:
      return Math.min(cpus, MAX_VCPUS);
    case X.KVM_CAP_VAPIC:
      return hasApicv ? 0 : 1;
    case K.KVM_CAP_SPLIT_IRQCHIP:
      return rules.hasSplitIrqchip ? 1 : 0;
    case K.KVM_CAP_X2APIC_API:
      // EOI broadcast suppression can be enabled where the IOAPIC is user space's (x86-irqchip.md 8.5).
      return x2apicApiFlags(rules) & (isSplit ? -1 : ~K.KVM_X2APIC_ENABLE_SUPPRESS_EOI_BROADCAST);
    default:
      return ANSWERS.get(capability) ?? 0;
  }
}
