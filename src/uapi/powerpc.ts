// powerpc's asm/kvm.h: XICS and MPIC devices (xics.md 1, 5, 6; mpic.md 1, 3). Bit numbers of u64 words are given in the
// high half where the name ends in _HI.

import { _IOR, _IOW, _IOWR } from "./ioctl.js";
import { KVMIO } from "./kvm.js";
import { bytes, struct, u32, u64, u64s } from "./struct.js";
// KVM_IRQ_LINE levels besides 0 and 1.
export const KVM_INTERRUPT_SET = 0xffff_ffff;
export const KVM_INTERRUPT_UNSET = 0xffff_fffe;
export const KVM_INTERRUPT_SET_LEVEL = 0xffff_fffd;

// KVM_DEV_TYPE_XICS
export const KVM_DEV_XICS_GRP_SOURCES = 1;
export const KVM_DEV_XICS_GRP_CTRL = 2;
export const KVM_DEV_XICS_NR_SERVERS = 1;
/** Source word: the parts of {@link KVM_IRQ_PRIORITY_MASK_HI} at the same places, and two of its own. */
export const KVM_XICS_PRIORITY_MASK_HI = 0xff;
export const KVM_XICS_LEVEL_SENSITIVE_HI = 1 << 8;
export const KVM_XICS_MASKED_HI = 1 << 9;
export const KVM_XICS_PENDING_HI = 1 << 10;
export const KVM_XICS_PRESENTED_HI = 1 << 11;
export const KVM_XICS_QUEUED_HI = 1 << 12;

/** 0x103000000000008c: CPPR[63:56] XISR[55:32] MFRR[31:24] pending priority[23:16]. */
export const KVM_REG_PPC_ICP_STATE_HI = 0x1030_0000;
export const KVM_REG_PPC_ICP_STATE_LO = 0x8c;
export const KVM_REG_PPC_ICP_CPPR_SHIFT_HI = 24;
export const KVM_REG_PPC_ICP_XISR_MASK_HI = 0xff_ffff;
export const KVM_REG_PPC_ICP_MFRR_SHIFT = 24;
export const KVM_REG_PPC_ICP_PPRI_SHIFT = 16;

// KVM_DEV_TYPE_FSL_MPIC_20, _42
export const KVM_DEV_MPIC_GRP_MISC = 1;
export const KVM_DEV_MPIC_BASE_ADDR = 0;
export const KVM_DEV_MPIC_GRP_REGISTER = 2;
export const KVM_DEV_MPIC_GRP_IRQ_ACTIVE = 3;

export const kvm_regs = struct("kvm_regs", 392, {
  pc: u64(0),
  cr: u64(8),
  ctr: u64(16),
  lr: u64(24),
  xer: u64(32),
  msr: u64(40),
  srr0: u64(48),
  srr1: u64(56),
  pid: u64(64),
  sprg: u64s(72, 8),
  gpr: u64s(136, 32),
});
export const KVM_GET_REGS = _IOR(KVMIO, 0x81, kvm_regs.size);
export const KVM_SET_REGS = _IOW(KVMIO, 0x82, kvm_regs.size);
/** External interrupts are taken: the low half of MSR, and of SRR1. */
export const MSR_EE = 1 << 15;

// The interface proposed in February 2013 and never merged (xics.md 3, 4). Numbers of requests, type and capability are
// virq's: the thread's could not be recovered.
export const KVM_CAP_IRQCHIP_ARGS = 0x1000;
/** A source's word, of any controller: destination[31:0]; the high half holds priority[7:0] and the flags, and above them what is the controller's. */
export const KVM_IRQ_PRIORITY_MASK_HI = 0xff;
export const KVM_IRQ_LEVEL_SENSITIVE_HI = 1 << 8;
export const KVM_IRQ_MASKED_HI = 1 << 9;
export const KVM_IRQ_PENDING_HI = 1 << 10;
export const KVM_IRQ_OWN_SHIFT_HI = 11;
export const KVM_IRQCHIP_TYPE_XICS = 1;
/** MPIC 2.0 and 4.2: virq's own, the proposal had XICS alone. */
export const KVM_IRQCHIP_TYPE_MPIC_20 = 2;
export const KVM_IRQCHIP_TYPE_MPIC_42 = 3;

export const kvm_irqchip_args = struct("kvm_irqchip_args", 8, { type: u32(0), param: u32(4) });
/** Words of one call: they fill the 512 bytes that a chip's state has in kvm_irqchip. */
export const IRQ_SOURCES_PER_CALL = 64;
export const kvm_irq_sources = struct("kvm_irq_sources", 520, { irq: u32(0), nr_irqs: u32(4), words: bytes(8, 512) });

export const KVM_CREATE_IRQCHIP_ARGS = _IOW(KVMIO, 0xf0, kvm_irqchip_args.size);
export const KVM_IRQCHIP_GET_SOURCES = _IOWR(KVMIO, 0xf1, kvm_irq_sources.size);
export const KVM_IRQCHIP_SET_SOURCES = _IOW(KVMIO, 0xf2, kvm_irq_sources.size);
