import { describe, expect, it } from "vitest";
import * as kvm from "./kvm.js";
import { _IOC_NR, _IOC_SIZE, _IOC_TYPE, _IOW } from "./ioctl.js";
import { offsets } from "./offsets.fixture.js";
import { kvm_ioapic_state, kvm_pic_state } from "./x86.js";

describe("linux/kvm.h", () => {
  it("requests have the encoded values of kvm-irq-core.md 0.3 and host-irq.md 4.1", () => {
    const encoded = {
      KVM_CHECK_EXTENSION: 0x0000ae03,
      KVM_CREATE_IRQCHIP: 0x0000ae60,
      KVM_IRQ_LINE: 0x4008ae61,
      KVM_IRQ_LINE_STATUS: 0xc008ae67,
      KVM_SET_GSI_ROUTING: 0x4008ae6a,
      KVM_IRQFD: 0x4020ae76,
      KVM_IOEVENTFD: 0x4040ae79,
      KVM_ENABLE_CAP: 0x4068aea3,
      KVM_SIGNAL_MSI: 0x4020aea5,
      KVM_CREATE_DEVICE: 0xc00caee0,
      KVM_SET_DEVICE_ATTR: 0x4018aee1,
      KVM_GET_DEVICE_ATTR: 0x4018aee2,
      KVM_HAS_DEVICE_ATTR: 0x4018aee3,
      KVM_GET_API_VERSION: 0xae00,
      KVM_CREATE_VM: 0xae01,
      KVM_GET_VCPU_MMAP_SIZE: 0xae04,
      KVM_CREATE_VCPU: 0xae41,
      KVM_SET_USER_MEMORY_REGION: 0x4020ae46,
      KVM_RUN: 0xae80,
      KVM_SET_SIGNAL_MASK: 0x4004ae8b,
      KVM_GET_MP_STATE: 0x8004ae98,
      KVM_SET_MP_STATE: 0x4004ae99,
      KVM_GET_ONE_REG: 0x4010aeab,
      KVM_SET_ONE_REG: 0x4010aeac,
      KVM_GET_REG_LIST: 0xc008aeb0,
      KVM_ARM_SET_DEVICE_ADDR: 0x4010aeab,
      KVM_ARM_VCPU_INIT: 0x4020aeae,
      KVM_ARM_PREFERRED_TARGET: 0x8020aeaf,
      KVM_ARM_VCPU_FINALIZE: 0x4004aec2,
    };
    expect(kvm).toMatchObject(encoded);
  });

  it("x86 and powerpc requests have the numbers of x86-irqchip.md 1 and xics.md 1, and the kernel's sizes and directions", () => {
    expect(kvm).toMatchObject({
      KVM_GET_IRQCHIP: 0xc208ae62,
      KVM_SET_IRQCHIP: 0x8208ae63,
      KVM_INTERRUPT: 0x4004ae86,
      KVM_GET_LAPIC: 0x8400ae8e,
      KVM_SET_LAPIC: 0x4400ae8f,
      KVM_PPC_RTAS_DEFINE_TOKEN: 0x4080aeac,
    });
  });

  it("a request comes apart into type, number and size", () => {
    expect([_IOC_TYPE(kvm.KVM_IRQFD), _IOC_NR(kvm.KVM_IRQFD), _IOC_SIZE(kvm.KVM_IRQFD)]).toEqual([0xae, 0x76, 32]);
    expect(() => _IOW(0xae, 0, 0x4000)).toThrow(RangeError);
    expect(() => _IOW(0x1ae, 0, 4)).toThrow(RangeError);
    expect(() => _IOW(0xae, 0x100, 4)).toThrow(RangeError);
  });

  it("structures have the sizes and offsets of the kernel", () => {
    const layouts: [{ name: string; size: number }, number, object][] = [
      [kvm.kvm_irq_level, 8, { irq: 0, status: 0, level: 4 }],
      [kvm.kvm_irqfd, 32, { fd: 0, gsi: 4, flags: 8, resamplefd: 12, pad: 16 }],
      [kvm.kvm_irq_routing, 8, { nr: 0, flags: 4 }],
      [
        kvm.kvm_irq_routing_entry,
        48,
        {
          gsi: 0,
          type: 4,
          flags: 8,
          pad: 12,
          irqchip: { irqchip: 16, pin: 20 },
          msi: { address_lo: 16, address_hi: 20, data: 24, devid: 28 },
          adapter: { ind_addr: 16, summary_addr: 24, ind_offset: 32, summary_offset: 40, adapter_id: 44 },
          hv_sint: { vcpu: 16, sint: 20 },
          xen_evtchn: { port: 16, vcpu: 20, priority: 24 },
        },
      ],
      [kvm.kvm_msi, 32, { address_lo: 0, address_hi: 4, data: 8, flags: 12, devid: 16, pad: 20 }],
      [kvm.kvm_create_device, 12, { type: 0, fd: 4, flags: 8 }],
      [kvm.kvm_device_attr, 24, { flags: 0, group: 4, attr: 8, addr: 16 }],
      [kvm.kvm_ioeventfd, 64, { datamatch: 0, addr: 8, len: 16, fd: 20, flags: 24, pad: 28 }],
      [kvm.kvm_enable_cap, 104, { cap: 0, flags: 4, args: [8, 16, 24, 32], pad: 40 }],
      [kvm.kvm_userspace_memory_region, 32, { slot: 0, flags: 4, guest_phys_addr: 8, memory_size: 16, userspace_addr: 24 }],
      [kvm.kvm_signal_mask, 4, { len: 0 }],
      [kvm.kvm_mp_state, 4, { mp_state: 0 }],
      [kvm.kvm_one_reg, 16, { id: 0, addr: 8 }],
      [kvm.kvm_reg_list, 8, { n: 0 }],
      [kvm.kvm_vcpu_init, 32, { target: 0, features: [4, 8, 12, 16, 20, 24, 28] }],
      [kvm.kvm_arm_device_addr, 16, { id: 0, addr: 8 }],
      [kvm.kvm_irqchip, 520, { chip_id: 0, pad: 4, chip: 8 }],
      [kvm.kvm_lapic_state, 1024, { regs: 0 }],
      [kvm.kvm_interrupt, 4, { irq: 0 }],
      [kvm.kvm_rtas_token_args, 128, { name_: 0, token: 120 }],
      [kvm.kvm_arch_forwarded_irq, 16, { fd: 0, index: 4, subindex: 8, gsi: 12 }],
      [kvm.kvm_vfio_spapr_tce, 8, { groupfd: 0, tablefd: 4 }],
    ];
    for (const [layout, size, expected] of layouts) {
      expect(layout.size, layout.name).toBe(size);
      expect(offsets(layout), layout.name).toEqual(expected);
    }
  });

  it("x86 chip records are those of x86-irqchip.md 4.2 and 5.8", () => {
    expect(kvm_pic_state.size).toBe(16);
    expect(Object.values(offsets(kvm_pic_state))).toEqual(Array.from({ length: 16 }, (_, i) => i));
    expect(kvm_ioapic_state.size).toBe(216);
    expect(offsets(kvm_ioapic_state)).toEqual({
      base_address: 0,
      ioregsel: 8,
      id: 12,
      irr: 16,
      pad: 20,
      redirtbl: Array.from({ length: 24 }, (_, i) => 24 + 8 * i),
    });
  });

  it("kvm_run has the layout of host-irq.md 4.4", () => {
    const data = Array.from({ length: 16 }, (_, i) => 40 + 8 * i);
    expect(kvm.kvm_run.size).toBe(2352);
    expect(offsets(kvm.kvm_run)).toEqual({
      request_interrupt_window: 0,
      immediate_exit: 1,
      exit_reason: 8,
      ready_for_interrupt_injection: 12,
      if_flag: 13,
      flags: 14,
      cr8: 16,
      apic_base: 24,
      hw: { hardware_exit_reason: 32 },
      fail_entry: { hardware_entry_failure_reason: 32, cpu: 40 },
      io: { direction: 32, size: 33, port: 34, count: 36, data_offset: 40 },
      mmio: { phys_addr: 32, data: 40, len: 48, is_write: 52 },
      internal: { suberror: 32, ndata: 36, data },
      system_event: { type: 32, ndata: 36, data },
      tpr_access: { rip: 32, is_write: 40 },
      eoi: { vector: 32 },
      epr: { epr: 32 },
      papr_hcall: { nr: 32, ret: 40, args: Array.from({ length: 9 }, (_, i) => 48 + 8 * i) },
      arm_nisv: { esr_iss: 32, fault_ipa: 40 },
      kvm_valid_regs: 288,
      kvm_dirty_regs: 296,
      device_irq_level: 304,
    });
  });

  it("an fd field takes -1, a gsi takes any u32 and neither takes the other's", () => {
    const view = new DataView(new ArrayBuffer(32));
    kvm.kvm_irqfd.fd.set(view, -1);
    kvm.kvm_irqfd.gsi.set(view, 0xffff_ffff);
    expect(() => kvm.kvm_irqfd.gsi.set(view, -1)).toThrow("kvm_irqfd.gsi");
    expect(() => kvm.kvm_irqfd.fd.set(view, 0xffff_ffff)).toThrow("kvm_irqfd.fd");
  });
});
