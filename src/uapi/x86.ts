// x86's asm/kvm.h: chip records of KVM_GET/SET_IRQCHIP (x86-irqchip.md 1, 4.2, 5.8), and what of a vCPU's state user space
// reads and writes.
import { _IO, _IOR, _IOW, _IOWR } from "./ioctl.js";
import { KVMIO } from "./kvm.js";
import { struct, type U16, u16, type U32, u32, type U64, u64, u64s, type U8, u8 } from "./struct.js";

export const KVM_IRQCHIP_PIC_MASTER = 0;
export const KVM_IRQCHIP_PIC_SLAVE = 1;
export const KVM_IRQCHIP_IOAPIC = 2;
export const KVM_NR_IRQCHIPS = 3;
export const KVM_IOAPIC_NUM_PINS = 24;

export const kvm_pic_state = struct("kvm_pic_state", 16, {
  last_irr: u8(0),
  irr: u8(1),
  imr: u8(2),
  isr: u8(3),
  priority_add: u8(4),
  irq_base: u8(5),
  read_reg_select: u8(6),
  poll: u8(7),
  special_mask: u8(8),
  init_state: u8(9),
  auto_eoi: u8(10),
  rotate_on_auto_eoi: u8(11),
  special_fully_nested_mode: u8(12),
  init4: u8(13),
  elcr: u8(14),
  elcr_mask: u8(15),
});

export const kvm_ioapic_state = struct("kvm_ioapic_state", 216, {
  base_address: u64(0),
  ioregsel: u32(8),
  id: u32(12),
  irr: u32(16),
  pad: u32(20),
  redirtbl: u64s(24, KVM_IOAPIC_NUM_PINS),
});

/** Offsets in the 1024 bytes of KVM_GET/SET_LAPIC (x86-irqchip.md 7.1); vector v is bit v mod 32 of base + (v / 32) * 16. */
export const LAPIC_REGISTER = {
  id: 0x20,
  version: 0x30,
  tpr: 0x80,
  apr: 0x90,
  ppr: 0xa0,
  ldr: 0xd0,
  dfr: 0xe0,
  svr: 0xf0,
  isr: 0x100,
  tmr: 0x180,
  irr: 0x200,
  esr: 0x280,
  lvtCmci: 0x2f0,
  icrLo: 0x300,
  icrHi: 0x310,
  lvtTimer: 0x320,
  lvtThermal: 0x330,
  lvtPerf: 0x340,
  lvtLint0: 0x350,
  lvtLint1: 0x360,
  lvtError: 0x370,
  timerInitial: 0x380,
  timerDivide: 0x3e0,
} as const;

export const kvm_regs = struct("kvm_regs", 144, {
  rax: u64(0),
  rbx: u64(8),
  rcx: u64(16),
  rdx: u64(24),
  rsi: u64(32),
  rdi: u64(40),
  rsp: u64(48),
  rbp: u64(56),
  r: u64s(64, 8),
  rip: u64(128),
  rflags: u64(136),
});

interface Segment {
  readonly base: U64;
  readonly limit: U32;
  readonly selector: U16;
  readonly type: U8;
  readonly present: U8;
  readonly dpl: U8;
  readonly db: U8;
  readonly s: U8;
  readonly l: U8;
  readonly g: U8;
  readonly avl: U8;
  readonly unusable: U8;
  readonly [field: string]: U8 | U16 | U32 | U64;
}

/** struct kvm_segment, 24 bytes. */
const segment = (at: number): Segment => ({
  base: u64(at),
  limit: u32(at + 8),
  selector: u16(at + 12),
  type: u8(at + 14),
  present: u8(at + 15),
  dpl: u8(at + 16),
  db: u8(at + 17),
  s: u8(at + 18),
  l: u8(at + 19),
  g: u8(at + 20),
  avl: u8(at + 21),
  unusable: u8(at + 22),
});

export const kvm_sregs = struct("kvm_sregs", 312, {
  cs: segment(0),
  ds: segment(24),
  es: segment(48),
  fs: segment(72),
  gs: segment(96),
  ss: segment(120),
  tr: segment(144),
  ldt: segment(168),
  gdt: { base: u64(192), limit: u16(200) },
  idt: { base: u64(208), limit: u16(216) },
  cr0: u64(224),
  cr2: u64(232),
  cr3: u64(240),
  cr4: u64(248),
  cr8: u64(256),
  efer: u64(264),
  apic_base: u64(272),
  interrupt_bitmap: u64s(280, 4),
});

export const kvm_tpr_access_ctl = struct("kvm_tpr_access_ctl", 40, { enabled: u32(0), flags: u32(4) });
export const kvm_vapic_addr = struct("kvm_vapic_addr", 8, { vapic_addr: u64(0) });

/** The entries follow. */
export const kvm_cpuid2 = struct("kvm_cpuid2", 8, { nent: u32(0), padding: u32(4) });
export const kvm_cpuid_entry2 = struct("kvm_cpuid_entry2", 40, {
  function: u32(0),
  index: u32(4),
  flags: u32(8),
  eax: u32(12),
  ebx: u32(16),
  ecx: u32(20),
  edx: u32(24),
});

export const kvm_vcpu_events = struct("kvm_vcpu_events", 64, {
  exception: { injected: u8(0), nr: u8(1), has_error_code: u8(2), pending: u8(3), error_code: u32(4) },
  interrupt: { injected: u8(8), nr: u8(9), soft: u8(10), shadow: u8(11) },
  nmi: { injected: u8(12), pending: u8(13), masked: u8(14) },
  sipi_vector: u32(16),
  flags: u32(20),
  smi: { smm: u8(24), pending: u8(25), smm_inside_nmi: u8(26), latched_init: u8(27) },
});

export const KVM_VCPUEVENT_VALID_NMI_PENDING = 1 << 0;
export const KVM_VCPUEVENT_VALID_SIPI_VECTOR = 1 << 1;
export const KVM_VCPUEVENT_VALID_SHADOW = 1 << 2;
export const KVM_VCPUEVENT_VALID_SMM = 1 << 3;

/** Header; `nmsrs` entries follow. */
export const kvm_msrs = struct("kvm_msrs", 8, { nmsrs: u32(0), pad: u32(4) });
export const kvm_msr_entry = struct("kvm_msr_entry", 16, { index: u32(0), reserved: u32(4), data: u64(8) });

export const kvm_pit_config = struct("kvm_pit_config", 64, { flags: u32(0) });
export const KVM_PIT_SPEAKER_DUMMY = 1 << 0;

interface PitChannelState {
  readonly count: U32;
  readonly latched_count: U16;
  readonly count_latched: U8;
  readonly status_latched: U8;
  readonly status: U8;
  readonly read_state: U8;
  readonly write_state: U8;
  readonly write_latch: U8;
  readonly rw_mode: U8;
  readonly mode: U8;
  readonly bcd: U8;
  readonly gate: U8;
  readonly count_load_time: U64;
  readonly [field: string]: U8 | U16 | U32 | U64;
}

/** struct kvm_pit_channel_state, 24 bytes. */
const pitChannel = (at: number): PitChannelState => ({
  count: u32(at),
  latched_count: u16(at + 4),
  count_latched: u8(at + 6),
  status_latched: u8(at + 7),
  status: u8(at + 8),
  read_state: u8(at + 9),
  write_state: u8(at + 10),
  write_latch: u8(at + 11),
  rw_mode: u8(at + 12),
  mode: u8(at + 13),
  bcd: u8(at + 14),
  gate: u8(at + 15),
  count_load_time: u64(at + 16),
});

export const kvm_pit_state2 = struct("kvm_pit_state2", 112, { channels: [pitChannel(0), pitChannel(24), pitChannel(48)] as const, flags: u32(72) });
export const kvm_reinject_control = struct("kvm_reinject_control", 32, { pit_reinject: u8(0) });

export const KVM_GET_SUPPORTED_CPUID = _IOWR(KVMIO, 0x05, kvm_cpuid2.size);
export const KVM_SET_TSS_ADDR = _IO(KVMIO, 0x47);
export const KVM_SET_IDENTITY_MAP_ADDR = _IOW(KVMIO, 0x48, 8);
export const KVM_REINJECT_CONTROL = _IO(KVMIO, 0x71);
export const KVM_CREATE_PIT2 = _IOW(KVMIO, 0x77, kvm_pit_config.size);
export const KVM_GET_PIT2 = _IOR(KVMIO, 0x9f, kvm_pit_state2.size);
export const KVM_SET_PIT2 = _IOW(KVMIO, 0xa0, kvm_pit_state2.size);
export const KVM_SET_BOOT_CPU_ID = _IO(KVMIO, 0x78);
export const KVM_GET_REGS = _IOR(KVMIO, 0x81, kvm_regs.size);
export const KVM_SET_REGS = _IOW(KVMIO, 0x82, kvm_regs.size);
export const KVM_GET_SREGS = _IOR(KVMIO, 0x83, kvm_sregs.size);
export const KVM_SET_SREGS = _IOW(KVMIO, 0x84, kvm_sregs.size);
export const KVM_GET_MSRS = _IOWR(KVMIO, 0x88, kvm_msrs.size);
export const KVM_SET_MSRS = _IOW(KVMIO, 0x89, kvm_msrs.size);
export const KVM_SET_CPUID2 = _IOW(KVMIO, 0x90, kvm_cpuid2.size);
export const KVM_TPR_ACCESS_REPORTING = _IOWR(KVMIO, 0x92, kvm_tpr_access_ctl.size);
export const KVM_SET_VAPIC_ADDR = _IOW(KVMIO, 0x93, kvm_vapic_addr.size);
export const KVM_NMI = _IO(KVMIO, 0x9a);
export const KVM_GET_VCPU_EVENTS = _IOR(KVMIO, 0x9f, kvm_vcpu_events.size);
export const KVM_SET_VCPU_EVENTS = _IOW(KVMIO, 0xa0, kvm_vcpu_events.size);

export const KVM_CAP_VAPIC = 6;
export const KVM_CAP_EXT_CPUID = 7;
export const KVM_CAP_COALESCED_MMIO = 15;
export const KVM_CAP_USER_NMI = 22;
export const KVM_CAP_REINJECT_CONTROL = 24;
export const KVM_CAP_PIT2 = 33;
export const KVM_CAP_PIT_STATE2 = 35;
export const KVM_CAP_SET_BOOT_CPU_ID = 34;
export const KVM_CAP_XEN_HVM = 38;
export const KVM_CAP_VCPU_EVENTS = 41;
export const KVM_CAP_ENABLE_CAP_VM = 98;
export const KVM_CAP_S390_IRQCHIP = 99;
export const KVM_CAP_CHECK_EXTENSION_VM = 105;
export const KVM_CAP_HYPERV_SYNIC = 123;
export const KVM_CAP_COALESCED_PIO = 162;

/** Device attributes of a vCPU, and of /dev/kvm. */
export const KVM_VCPU_TSC_CTRL = 0;
export const KVM_VCPU_TSC_OFFSET = 0;
export const KVM_X86_GRP_SYSTEM = 0;
export const KVM_X86_XCOMP_GUEST_SUPP = 0;

export const MSR_IA32_TSC = 0x10;
export const MSR_IA32_APICBASE = 0x1b;

/** IA32_APIC_BASE */
export const MSR_IA32_APICBASE_BSP = 1 << 8;
export const MSR_IA32_APICBASE_ENABLE = 1 << 11;

export const X86_EFLAGS_FIXED = 1 << 1;
export const X86_EFLAGS_IF = 1 << 9;

/** CPUID.1:ECX */
export const CPUID_1_ECX_X2APIC = 1 << 21;
export const CPUID_1_ECX_TSC_DEADLINE = 1 << 24;

/** KVM's paravirtual end of interrupt: bit 0 enables it, the rest is the guest physical address of its word. */
export const MSR_KVM_PV_EOI_EN = 0x4b564d04;
