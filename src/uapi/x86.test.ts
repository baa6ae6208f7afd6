import { describe, expect, it } from "vitest";
import { offsets } from "./offsets.fixture.js";
import * as x86 from "./x86.js";

describe("x86's asm/kvm.h", () => {
  it("requests have the encoded values of the kernel's headers", () => {
    expect(x86).toMatchObject({
      KVM_GET_SUPPORTED_CPUID: 0xc008ae05,
      KVM_SET_TSS_ADDR: 0xae47,
      KVM_SET_IDENTITY_MAP_ADDR: 0x4008ae48,
      KVM_CREATE_PIT2: 0x4040ae77,
      KVM_REINJECT_CONTROL: 0xae71,
      KVM_GET_PIT2: 0x8070ae9f,
      KVM_SET_PIT2: 0x4070aea0,
      KVM_SET_BOOT_CPU_ID: 0xae78,
      KVM_GET_REGS: 0x8090ae81,
      KVM_SET_REGS: 0x4090ae82,
      KVM_GET_SREGS: 0x8138ae83,
      KVM_SET_SREGS: 0x4138ae84,
      KVM_GET_MSRS: 0xc008ae88,
      KVM_SET_MSRS: 0x4008ae89,
      KVM_SET_CPUID2: 0x4008ae90,
      KVM_TPR_ACCESS_REPORTING: 0xc028ae92,
      KVM_SET_VAPIC_ADDR: 0x4008ae93,
      KVM_NMI: 0xae9a,
      KVM_GET_VCPU_EVENTS: 0x8040ae9f,
      KVM_SET_VCPU_EVENTS: 0x4040aea0,
    });
  });

  it("fields lie where the kernel has them", () => {
    expect(offsets(x86.kvm_sregs)).toMatchObject({ cr0: 224, cr8: 256, efer: 264, apic_base: 272, interrupt_bitmap: [280, 288, 296, 304] });
    expect(offsets(x86.kvm_regs)).toMatchObject({ rax: 0, rbp: 56, rip: 128, rflags: 136 });
    expect(offsets(x86.kvm_vcpu_events)).toMatchObject({ interrupt: { injected: 8, nr: 9, soft: 10, shadow: 11 }, nmi: { injected: 12, pending: 13, masked: 14 }, sipi_vector: 16, flags: 20 });
    expect(offsets(x86.kvm_msr_entry)).toMatchObject({ index: 0, data: 8 });
  });
});
