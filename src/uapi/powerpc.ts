// powerpc's asm/kvm.h: XICS and MPIC devices (xics.md 1, 5, 6; mpic.md 1, 3). Bit numbers of u64 words are given in the
// high half where the name ends in _HI.

// KVM_IRQ_LINE levels besides 0 and 1.
export const KVM_INTERRUPT_SET = 0xffff_ffff;
export const KVM_INTERRUPT_UNSET = 0xffff_fffe;
export const KVM_INTERRUPT_SET_LEVEL = 0xffff_fffd;

// KVM_DEV_TYPE_XICS
export const KVM_DEV_XICS_GRP_SOURCES = 1;
export const KVM_DEV_XICS_GRP_CTRL = 2;
export const KVM_DEV_XICS_NR_SERVERS = 1;
/** Source word: destination[31:0]; the high half holds priority[7:0] and the flags. */
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
