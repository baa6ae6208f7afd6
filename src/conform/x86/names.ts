import * as kvm from "../../uapi/kvm.js";
import * as x86 from "../../uapi/x86.js";
import type { ChipName } from "./op.js";
import type { MpState } from "./state.js";

// What names in vectors stand for.

/** Requests whose argument is a pointer; none of them sleeps, and none changes what the guest's vCPU listens to. */
export const POINTER_REQUEST: Readonly<Record<string, number>> = {
  SET_USER_MEMORY_REGION: kvm.KVM_SET_USER_MEMORY_REGION,
  IRQ_LINE: kvm.KVM_IRQ_LINE,
  IRQ_LINE_STATUS: kvm.KVM_IRQ_LINE_STATUS,
  GET_IRQCHIP: kvm.KVM_GET_IRQCHIP,
  SET_IRQCHIP: kvm.KVM_SET_IRQCHIP,
  SET_GSI_ROUTING: kvm.KVM_SET_GSI_ROUTING,
  IRQFD: kvm.KVM_IRQFD,
  CREATE_PIT2: x86.KVM_CREATE_PIT2,
  IOEVENTFD: kvm.KVM_IOEVENTFD,
  ENABLE_CAP: kvm.KVM_ENABLE_CAP,
  SIGNAL_MSI: kvm.KVM_SIGNAL_MSI,
  CREATE_DEVICE: kvm.KVM_CREATE_DEVICE,
  SET_DEVICE_ATTR: kvm.KVM_SET_DEVICE_ATTR,
  GET_DEVICE_ATTR: kvm.KVM_GET_DEVICE_ATTR,
  HAS_DEVICE_ATTR: kvm.KVM_HAS_DEVICE_ATTR,
  GET_SREGS: x86.KVM_GET_SREGS,
  SET_SREGS: x86.KVM_SET_SREGS,
  INTERRUPT: kvm.KVM_INTERRUPT,
  GET_LAPIC: kvm.KVM_GET_LAPIC,
  SET_LAPIC: kvm.KVM_SET_LAPIC,
  SET_CPUID2: x86.KVM_SET_CPUID2,
  GET_MP_STATE: kvm.KVM_GET_MP_STATE,
  SET_MP_STATE: kvm.KVM_SET_MP_STATE,
  GET_VCPU_EVENTS: x86.KVM_GET_VCPU_EVENTS,
  SET_VCPU_EVENTS: x86.KVM_SET_VCPU_EVENTS,
  /** Of another architecture, and of none. */
  ARM_VCPU_INIT: kvm.KVM_ARM_VCPU_INIT,
  NONE: (kvm.KVMIO << 8) | 0xff,
};

/** Where no process has memory: the first page, and the kernel's half. */
export const BAD_POINTER = { null: 0, low: 8, kernel: -(2 ** 47) } as const;

export const CHIP_ID: Readonly<Record<ChipName, number>> = {
  picMaster: x86.KVM_IRQCHIP_PIC_MASTER,
  picSlave: x86.KVM_IRQCHIP_PIC_SLAVE,
  ioapic: x86.KVM_IRQCHIP_IOAPIC,
};

export const ROUTE_TYPE: Readonly<Record<string, number>> = {
  irqchip: kvm.KVM_IRQ_ROUTING_IRQCHIP,
  msi: kvm.KVM_IRQ_ROUTING_MSI,
  s390Adapter: kvm.KVM_IRQ_ROUTING_S390_ADAPTER,
  hvSint: kvm.KVM_IRQ_ROUTING_HV_SINT,
  xenEvtchn: kvm.KVM_IRQ_ROUTING_XEN_EVTCHN,
};

export const MP_STATE: Readonly<Record<MpState, number>> = {
  runnable: kvm.KVM_MP_STATE_RUNNABLE,
  uninitialized: kvm.KVM_MP_STATE_UNINITIALIZED,
  initReceived: kvm.KVM_MP_STATE_INIT_RECEIVED,
  halted: kvm.KVM_MP_STATE_HALTED,
  sipiReceived: kvm.KVM_MP_STATE_SIPI_RECEIVED,
  stopped: kvm.KVM_MP_STATE_STOPPED,
};

/** "halted" for 3; the number itself for states of other architectures. */
export const mpStateName = (state: number): string => Object.entries(MP_STATE).find(([, number]) => number === state)?.[0] ?? String(state);

export const IRQFD_FLAG = { DEASSIGN: kvm.KVM_IRQFD_FLAG_DEASSIGN, RESAMPLE: kvm.KVM_IRQFD_FLAG_RESAMPLE };
export const IOEVENTFD_FLAG = {
  DATAMATCH: kvm.KVM_IOEVENTFD_FLAG_DATAMATCH,
  PIO: kvm.KVM_IOEVENTFD_FLAG_PIO,
  DEASSIGN: kvm.KVM_IOEVENTFD_FLAG_DEASSIGN,
};

/** KVM_DEV_TYPE_… */
export const DEVICE_TYPE: Readonly<Record<string, number>> = {
  FSL_MPIC_20: kvm.KVM_DEV_TYPE_FSL_MPIC_20,
  FSL_MPIC_42: kvm.KVM_DEV_TYPE_FSL_MPIC_42,
  XICS: kvm.KVM_DEV_TYPE_XICS,
  VFIO: kvm.KVM_DEV_TYPE_VFIO,
  ARM_VGIC_V2: kvm.KVM_DEV_TYPE_ARM_VGIC_V2,
  FLIC: kvm.KVM_DEV_TYPE_FLIC,
  ARM_VGIC_V3: kvm.KVM_DEV_TYPE_ARM_VGIC_V3,
  ARM_VGIC_ITS: kvm.KVM_DEV_TYPE_ARM_VGIC_ITS,
  XIVE: kvm.KVM_DEV_TYPE_XIVE,
  ARM_PV_TIME: kvm.KVM_DEV_TYPE_ARM_PV_TIME,
  RISCV_AIA: kvm.KVM_DEV_TYPE_RISCV_AIA,
};

/** KVM_CAP_… */
export const CAPABILITY: Readonly<Record<string, number>> = {
  IRQCHIP: kvm.KVM_CAP_IRQCHIP,
  MP_STATE: kvm.KVM_CAP_MP_STATE,
  COALESCED_MMIO: x86.KVM_CAP_COALESCED_MMIO,
  USER_NMI: x86.KVM_CAP_USER_NMI,
  REINJECT_CONTROL: x86.KVM_CAP_REINJECT_CONTROL,
  IRQ_ROUTING: kvm.KVM_CAP_IRQ_ROUTING,
  IRQ_INJECT_STATUS: kvm.KVM_CAP_IRQ_INJECT_STATUS,
  IRQFD: kvm.KVM_CAP_IRQFD,
  PIT2: x86.KVM_CAP_PIT2,
  SET_BOOT_CPU_ID: x86.KVM_CAP_SET_BOOT_CPU_ID,
  IOEVENTFD: kvm.KVM_CAP_IOEVENTFD,
  XEN_HVM: x86.KVM_CAP_XEN_HVM,
  VCPU_EVENTS: x86.KVM_CAP_VCPU_EVENTS,
  MAX_VCPUS: kvm.KVM_CAP_MAX_VCPUS,
  SIGNAL_MSI: kvm.KVM_CAP_SIGNAL_MSI,
  IRQFD_RESAMPLE: kvm.KVM_CAP_IRQFD_RESAMPLE,
  DEVICE_CTRL: kvm.KVM_CAP_DEVICE_CTRL,
  IRQ_MPIC: kvm.KVM_CAP_IRQ_MPIC,
  IRQ_XICS: kvm.KVM_CAP_IRQ_XICS,
  ENABLE_CAP_VM: x86.KVM_CAP_ENABLE_CAP_VM,
  S390_IRQCHIP: x86.KVM_CAP_S390_IRQCHIP,
  IOEVENTFD_NO_LENGTH: kvm.KVM_CAP_IOEVENTFD_NO_LENGTH,
  CHECK_EXTENSION_VM: x86.KVM_CAP_CHECK_EXTENSION_VM,
  SPLIT_IRQCHIP: kvm.KVM_CAP_SPLIT_IRQCHIP,
  IOEVENTFD_ANY_LENGTH: kvm.KVM_CAP_IOEVENTFD_ANY_LENGTH,
  HYPERV_SYNIC: x86.KVM_CAP_HYPERV_SYNIC,
  MAX_VCPU_ID: kvm.KVM_CAP_MAX_VCPU_ID,
  X2APIC_API: kvm.KVM_CAP_X2APIC_API,
  MSI_DEVID: kvm.KVM_CAP_MSI_DEVID,
  IMMEDIATE_EXIT: kvm.KVM_CAP_IMMEDIATE_EXIT,
  COALESCED_PIO: x86.KVM_CAP_COALESCED_PIO,
};
