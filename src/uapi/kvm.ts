// linux/kvm.h: requests, capabilities, flags and structures that every architecture shares
// (kvm-irq-core.md 0.3, 2.1, 4.1, 4.8, 6, 8, 9.1; host-irq.md 4).
import { _IO, _IOR, _IOW, _IOWR } from "./ioctl.js";
import { bytes, s32, struct, u16, u32, u32s, u64, u64s, u8 } from "./struct.js";

export const KVMIO = 0xae;
export const KVM_API_VERSION = 12;

// --- Structures ---

/** `status` shares the word of `irq`. */
export const kvm_irq_level = struct("kvm_irq_level", 8, { irq: u32(0), status: s32(0), level: u32(4) });

export const kvm_irqfd = struct("kvm_irqfd", 32, {
  fd: s32(0),
  gsi: u32(4),
  flags: u32(8),
  resamplefd: s32(12),
  pad: bytes(16, 16),
});

/** Header; `nr` entries follow at `kvm_irq_routing.size`. */
export const kvm_irq_routing = struct("kvm_irq_routing", 8, { nr: u32(0), flags: u32(4) });

export const kvm_irq_routing_entry = struct("kvm_irq_routing_entry", 48, {
  gsi: u32(0),
  type: u32(4),
  flags: u32(8),
  pad: u32(12),
  irqchip: { irqchip: u32(16), pin: u32(20) },
  msi: { address_lo: u32(16), address_hi: u32(20), data: u32(24), devid: u32(28) },
  adapter: { ind_addr: u64(16), summary_addr: u64(24), ind_offset: u64(32), summary_offset: u32(40), adapter_id: u32(44) },
  hv_sint: { vcpu: u32(16), sint: u32(20) },
  xen_evtchn: { port: u32(16), vcpu: u32(20), priority: u32(24) },
});

export const kvm_msi = struct("kvm_msi", 32, {
  address_lo: u32(0),
  address_hi: u32(4),
  data: u32(8),
  flags: u32(12),
  devid: u32(16),
  pad: bytes(20, 12),
});

export const kvm_create_device = struct("kvm_create_device", 12, { type: u32(0), fd: u32(4), flags: u32(8) });
export const kvm_device_attr = struct("kvm_device_attr", 24, { flags: u32(0), group: u32(4), attr: u64(8), addr: u64(16) });

export const kvm_ioeventfd = struct("kvm_ioeventfd", 64, {
  datamatch: u64(0),
  addr: u64(8),
  len: u32(16),
  fd: s32(20),
  flags: u32(24),
  pad: bytes(28, 36),
});

export const kvm_enable_cap = struct("kvm_enable_cap", 104, {
  cap: u32(0),
  flags: u32(4),
  args: u64s(8, 4),
  pad: bytes(40, 64),
});

export const kvm_userspace_memory_region = struct("kvm_userspace_memory_region", 32, {
  slot: u32(0),
  flags: u32(4),
  guest_phys_addr: u64(8),
  memory_size: u64(16),
  userspace_addr: u64(24),
});

/** `len` bytes of mask follow; the kernel takes 8. */
export const kvm_signal_mask = struct("kvm_signal_mask", 4, { len: u32(0) });
export const kvm_mp_state = struct("kvm_mp_state", 4, { mp_state: u32(0) });
export const kvm_one_reg = struct("kvm_one_reg", 16, { id: u64(0), addr: u64(8) });
/** `n` register ids (u64) follow. */
export const kvm_reg_list = struct("kvm_reg_list", 8, { n: u64(0) });

export const kvm_vcpu_init = struct("kvm_vcpu_init", 32, { target: u32(0), features: u32s(4, 7) });
export const kvm_arm_device_addr = struct("kvm_arm_device_addr", 16, { id: u64(0), addr: u64(8) });

/** `chip` holds the chip's own record (x86.ts). */
export const kvm_irqchip = struct("kvm_irqchip", 520, { chip_id: u32(0), pad: u32(4), chip: bytes(8, 512) });
/** Registers at their xAPIC offsets. */
export const kvm_lapic_state = struct("kvm_lapic_state", 1024, { regs: bytes(0, 1024) });
export const kvm_interrupt = struct("kvm_interrupt", 4, { irq: u32(0) });
/** powerpc: a NUL-terminated name. */
export const kvm_rtas_token_args = struct("kvm_rtas_token_args", 128, { name_: bytes(0, 120), token: u64(120) });

/** The group-2 argument of the 2014 forwarding series (kvm-irq-core.md 8.3); never in a released kernel. */
export const kvm_arch_forwarded_irq = struct("kvm_arch_forwarded_irq", 16, {
  fd: u32(0),
  index: u32(4),
  subindex: u32(8),
  gsi: u32(12),
});

export const kvm_vfio_spapr_tce = struct("kvm_vfio_spapr_tce", 8, { groupfd: s32(0), tablefd: s32(4) });

/** The first page of a vCPU's mapping (host-irq.md 4.4); members of the union at 32 are grouped by exit reason. */
export const kvm_run = struct("kvm_run", 2352, {
  request_interrupt_window: u8(0),
  immediate_exit: u8(1),
  exit_reason: u32(8),
  ready_for_interrupt_injection: u8(12),
  if_flag: u8(13),
  flags: u16(14),
  cr8: u64(16),
  apic_base: u64(24),
  hw: { hardware_exit_reason: u64(32) },
  fail_entry: { hardware_entry_failure_reason: u64(32), cpu: u32(40) },
  io: { direction: u8(32), size: u8(33), port: u16(34), count: u32(36), data_offset: u64(40) },
  mmio: { phys_addr: u64(32), data: bytes(40, 8), len: u32(48), is_write: u8(52) },
  internal: { suberror: u32(32), ndata: u32(36), data: u64s(40, 16) },
  system_event: { type: u32(32), ndata: u32(36), data: u64s(40, 16) },
  tpr_access: { rip: u64(32), is_write: u32(40) },
  eoi: { vector: u8(32) },
  epr: { epr: u32(32) },
  papr_hcall: { nr: u64(32), ret: u64(40), args: u64s(48, 9) },
  arm_nisv: { esr_iss: u64(32), fault_ipa: u64(40) },
  kvm_valid_regs: u64(288),
  kvm_dirty_regs: u64(296),
  /** arm64 sync registers; only without an in-kernel irqchip. */
  device_irq_level: u64(304),
});

// --- Requests on the system, VM, vCPU and device descriptors ---

export const KVM_GET_API_VERSION = _IO(KVMIO, 0x00);
export const KVM_CREATE_VM = _IO(KVMIO, 0x01);
export const KVM_CHECK_EXTENSION = _IO(KVMIO, 0x03);
export const KVM_GET_VCPU_MMAP_SIZE = _IO(KVMIO, 0x04);
export const KVM_CREATE_VCPU = _IO(KVMIO, 0x41);
export const KVM_SET_USER_MEMORY_REGION = _IOW(KVMIO, 0x46, kvm_userspace_memory_region.size);
export const KVM_CREATE_IRQCHIP = _IO(KVMIO, 0x60);
export const KVM_IRQ_LINE = _IOW(KVMIO, 0x61, kvm_irq_level.size);
export const KVM_IRQ_LINE_STATUS = _IOWR(KVMIO, 0x67, kvm_irq_level.size);
export const KVM_SET_GSI_ROUTING = _IOW(KVMIO, 0x6a, kvm_irq_routing.size);
export const KVM_IRQFD = _IOW(KVMIO, 0x76, kvm_irqfd.size);
export const KVM_IOEVENTFD = _IOW(KVMIO, 0x79, kvm_ioeventfd.size);
export const KVM_RUN = _IO(KVMIO, 0x80);
export const KVM_SET_SIGNAL_MASK = _IOW(KVMIO, 0x8b, kvm_signal_mask.size);
export const KVM_GET_MP_STATE = _IOR(KVMIO, 0x98, kvm_mp_state.size);
export const KVM_SET_MP_STATE = _IOW(KVMIO, 0x99, kvm_mp_state.size);
export const KVM_ENABLE_CAP = _IOW(KVMIO, 0xa3, kvm_enable_cap.size);
export const KVM_SIGNAL_MSI = _IOW(KVMIO, 0xa5, kvm_msi.size);
/** On a VM the same number is KVM_ARM_SET_DEVICE_ADDR. */
export const KVM_GET_ONE_REG = _IOW(KVMIO, 0xab, kvm_one_reg.size);
export const KVM_SET_ONE_REG = _IOW(KVMIO, 0xac, kvm_one_reg.size);
export const KVM_GET_REG_LIST = _IOWR(KVMIO, 0xb0, kvm_reg_list.size);
export const KVM_CREATE_DEVICE = _IOWR(KVMIO, 0xe0, kvm_create_device.size);
export const KVM_SET_DEVICE_ATTR = _IOW(KVMIO, 0xe1, kvm_device_attr.size);
/** Encoded as a write: the kernel only reads the structure, the value goes through `addr`. */
export const KVM_GET_DEVICE_ATTR = _IOW(KVMIO, 0xe2, kvm_device_attr.size);
export const KVM_HAS_DEVICE_ATTR = _IOW(KVMIO, 0xe3, kvm_device_attr.size);

export const KVM_ARM_SET_DEVICE_ADDR = _IOW(KVMIO, 0xab, kvm_arm_device_addr.size);
export const KVM_ARM_VCPU_INIT = _IOW(KVMIO, 0xae, kvm_vcpu_init.size);
export const KVM_ARM_PREFERRED_TARGET = _IOR(KVMIO, 0xaf, kvm_vcpu_init.size);
/** The argument points to an int. */
export const KVM_ARM_VCPU_FINALIZE = _IOW(KVMIO, 0xc2, 4);

export const KVM_GET_IRQCHIP = _IOWR(KVMIO, 0x62, kvm_irqchip.size);
/** Encoded as a read although the kernel reads the structure. */
export const KVM_SET_IRQCHIP = _IOR(KVMIO, 0x63, kvm_irqchip.size);
export const KVM_INTERRUPT = _IOW(KVMIO, 0x86, kvm_interrupt.size);
export const KVM_GET_LAPIC = _IOR(KVMIO, 0x8e, kvm_lapic_state.size);
export const KVM_SET_LAPIC = _IOW(KVMIO, 0x8f, kvm_lapic_state.size);

export const KVM_PPC_RTAS_DEFINE_TOKEN = _IOW(KVMIO, 0xac, kvm_rtas_token_args.size);

// --- Capabilities ---

export const KVM_CAP_IRQCHIP = 0;
export const KVM_CAP_USER_MEMORY = 3;
export const KVM_CAP_NR_VCPUS = 9;
export const KVM_CAP_NR_MEMSLOTS = 10;
export const KVM_CAP_MP_STATE = 14;
export const KVM_CAP_IRQ_ROUTING = 25;
export const KVM_CAP_IRQ_INJECT_STATUS = 26;
export const KVM_CAP_IRQFD = 32;
export const KVM_CAP_IOEVENTFD = 36;
export const KVM_CAP_MAX_VCPUS = 66;
export const KVM_CAP_PPC_UNSET_IRQ = 53;
export const KVM_CAP_ENABLE_CAP = 54;
export const KVM_CAP_PPC_IRQ_LEVEL = 58;
export const KVM_CAP_ONE_REG = 70;
export const KVM_CAP_SIGNAL_MSI = 77;
export const KVM_CAP_IRQFD_RESAMPLE = 82;
export const KVM_CAP_PPC_EPR = 86;
export const KVM_CAP_DEVICE_CTRL = 89;
export const KVM_CAP_IRQ_MPIC = 90;
export const KVM_CAP_PPC_RTAS = 91;
export const KVM_CAP_IRQ_XICS = 92;
export const KVM_CAP_IOAPIC_POLARITY_IGNORED = 97;
export const KVM_CAP_IOEVENTFD_NO_LENGTH = 100;
export const KVM_CAP_ARM_PSCI_0_2 = 102;
export const KVM_CAP_SPLIT_IRQCHIP = 121;
export const KVM_CAP_IOEVENTFD_ANY_LENGTH = 122;
export const KVM_CAP_MAX_VCPU_ID = 128;
export const KVM_CAP_X2APIC_API = 129;
export const KVM_CAP_MSI_DEVID = 131;
export const KVM_CAP_IMMEDIATE_EXIT = 136;
export const KVM_CAP_ARM_USER_IRQ = 144;
export const KVM_CAP_ARM_VM_IPA_SIZE = 165;
export const KVM_CAP_PPC_IRQ_XIVE = 169;
export const KVM_CAP_ARM_IRQ_LINE_LAYOUT_2 = 174;
export const KVM_CAP_ARM_NISV_TO_USER = 177;
export const KVM_CAP_HALT_POLL = 182;

// --- Flags ---

export const KVM_IRQFD_FLAG_DEASSIGN = 1 << 0;
export const KVM_IRQFD_FLAG_RESAMPLE = 1 << 1;

export const KVM_IOEVENTFD_FLAG_DATAMATCH = 1 << 0;
export const KVM_IOEVENTFD_FLAG_PIO = 1 << 1;
export const KVM_IOEVENTFD_FLAG_DEASSIGN = 1 << 2;
export const KVM_IOEVENTFD_FLAG_VIRTIO_CCW_NOTIFY = 1 << 3;
/** Bit 4 (fast MMIO) is accepted and has no effect. */
export const KVM_IOEVENTFD_VALID_FLAG_MASK = 0x1f;

export const KVM_IRQ_ROUTING_IRQCHIP = 1;
export const KVM_IRQ_ROUTING_MSI = 2;
export const KVM_IRQ_ROUTING_S390_ADAPTER = 3;
export const KVM_IRQ_ROUTING_HV_SINT = 4;
export const KVM_IRQ_ROUTING_XEN_EVTCHN = 5;
export const KVM_IRQ_ROUTING_XEN_EVTCHN_PRIO_2LEVEL = 0xffff_ffff;
export const KVM_MSI_VALID_DEVID = 1 << 0;
/** What KVM_CAP_IRQ_ROUTING answers. */
export const KVM_MAX_IRQ_ROUTES = 4096;

export const KVM_MEM_LOG_DIRTY_PAGES = 1 << 0;
export const KVM_MEM_READONLY = 1 << 1;

export const KVM_MP_STATE_RUNNABLE = 0;
export const KVM_MP_STATE_UNINITIALIZED = 1;
export const KVM_MP_STATE_INIT_RECEIVED = 2;
export const KVM_MP_STATE_HALTED = 3;
export const KVM_MP_STATE_SIPI_RECEIVED = 4;
export const KVM_MP_STATE_STOPPED = 5;
export const KVM_MP_STATE_AP_RESET_HOLD = 9;
export const KVM_MP_STATE_SUSPENDED = 10;

export const KVM_X2APIC_API_USE_32BIT_IDS = 1 << 0;
export const KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK = 1 << 1;
export const KVM_X2APIC_ENABLE_SUPPRESS_EOI_BROADCAST = 1 << 2;
export const KVM_X2APIC_DISABLE_SUPPRESS_EOI_BROADCAST = 1 << 3;

// --- Devices ---

export const KVM_CREATE_DEVICE_TEST = 1 << 0;

export const KVM_DEV_TYPE_FSL_MPIC_20 = 1;
export const KVM_DEV_TYPE_FSL_MPIC_42 = 2;
export const KVM_DEV_TYPE_XICS = 3;
export const KVM_DEV_TYPE_VFIO = 4;
export const KVM_DEV_TYPE_ARM_VGIC_V2 = 5;
export const KVM_DEV_TYPE_FLIC = 6;
export const KVM_DEV_TYPE_ARM_VGIC_V3 = 7;
export const KVM_DEV_TYPE_ARM_VGIC_ITS = 8;
export const KVM_DEV_TYPE_XIVE = 9;
export const KVM_DEV_TYPE_ARM_PV_TIME = 10;
export const KVM_DEV_TYPE_RISCV_AIA = 11;
export const KVM_DEV_TYPE_LOONGARCH_IPI = 12;
export const KVM_DEV_TYPE_LOONGARCH_EIOINTC = 13;
export const KVM_DEV_TYPE_LOONGARCH_PCHPIC = 14;
export const KVM_DEV_TYPE_MAX = 15;

export const KVM_DEV_VFIO_FILE = 1;
export const KVM_DEV_VFIO_FILE_ADD = 1;
export const KVM_DEV_VFIO_FILE_DEL = 2;
/** The names of 2013-2023. */
export const KVM_DEV_VFIO_GROUP = KVM_DEV_VFIO_FILE;
export const KVM_DEV_VFIO_GROUP_ADD = KVM_DEV_VFIO_FILE_ADD;
export const KVM_DEV_VFIO_GROUP_DEL = KVM_DEV_VFIO_FILE_DEL;
export const KVM_DEV_VFIO_GROUP_SET_SPAPR_TCE = 3;
/** Group and attributes of the 2014 forwarding series (kvm-irq-core.md 8.3). */
export const KVM_DEV_VFIO_DEVICE = 2;
export const KVM_DEV_VFIO_DEVICE_FORWARD_IRQ = 1;
export const KVM_DEV_VFIO_DEVICE_UNFORWARD_IRQ = 2;

// --- Exit reasons (kvm_run.exit_reason) ---

export const KVM_EXIT_UNKNOWN = 0;
export const KVM_EXIT_IO = 2;
export const KVM_EXIT_HYPERCALL = 3;
export const KVM_EXIT_DEBUG = 4;
export const KVM_EXIT_HLT = 5;
export const KVM_EXIT_MMIO = 6;
export const KVM_EXIT_IRQ_WINDOW_OPEN = 7;
export const KVM_EXIT_SHUTDOWN = 8;
export const KVM_EXIT_FAIL_ENTRY = 9;
export const KVM_EXIT_INTR = 10;
export const KVM_EXIT_SET_TPR = 11;
export const KVM_EXIT_TPR_ACCESS = 12;
export const KVM_EXIT_INTERNAL_ERROR = 17;
/** Its suberror: an instruction that KVM cannot emulate. */
export const KVM_INTERNAL_ERROR_EMULATION = 1;
export const KVM_EXIT_PAPR_HCALL = 19;
export const KVM_EXIT_EPR = 23;
export const KVM_EXIT_SYSTEM_EVENT = 24;
export const KVM_EXIT_IOAPIC_EOI = 26;
export const KVM_EXIT_ARM_NISV = 28;

export const KVM_EXIT_IO_IN = 0;
export const KVM_EXIT_IO_OUT = 1;

export const KVM_SYSTEM_EVENT_SHUTDOWN = 1;
export const KVM_SYSTEM_EVENT_RESET = 2;
export const KVM_SYSTEM_EVENT_CRASH = 3;
export const KVM_SYSTEM_EVENT_WAKEUP = 4;
export const KVM_SYSTEM_EVENT_SUSPEND = 5;
