// arm64's asm/kvm.h: line encoding, vGIC device attributes, register ids, vCPU features
// (kvm-irq-core.md 4.7; gic-v3.md A3.2, A3.3, A11; host-irq.md 4.2, 4.4, 4.7).

// --- KVM_IRQ_LINE: vcpu2[31:28] type[27:24] vcpu[23:16] id[15:0] ---

export const KVM_ARM_IRQ_VCPU2_SHIFT = 28;
export const KVM_ARM_IRQ_VCPU2_MASK = 0xf;
export const KVM_ARM_IRQ_TYPE_SHIFT = 24;
export const KVM_ARM_IRQ_TYPE_MASK = 0xf;
export const KVM_ARM_IRQ_VCPU_SHIFT = 16;
export const KVM_ARM_IRQ_VCPU_MASK = 0xff;
export const KVM_ARM_IRQ_NUM_SHIFT = 0;
export const KVM_ARM_IRQ_NUM_MASK = 0xffff;

export const KVM_ARM_IRQ_TYPE_CPU = 0;
export const KVM_ARM_IRQ_TYPE_SPI = 1;
export const KVM_ARM_IRQ_TYPE_PPI = 2;
/** Ids of TYPE_CPU. */
export const KVM_ARM_IRQ_CPU_IRQ = 0;
export const KVM_ARM_IRQ_CPU_FIQ = 1;

/** `kvm_irq_level.irq`, unsigned. Throws RangeError when a part does not fit (vCPU ids reach 4095, ids 65535). */
export function armIrqLine(type: number, id: number, vcpu = 0): number {
  if ((type & 0xf) !== type || (id & 0xffff) !== id || (vcpu & 0xfff) !== vcpu) {
    throw new RangeError(`KVM_IRQ_LINE ${type}, ${id}, ${vcpu}: a part does not fit`);
  }
  const low = (vcpu & KVM_ARM_IRQ_VCPU_MASK) << KVM_ARM_IRQ_VCPU_SHIFT;
  return (((vcpu >>> 8) << KVM_ARM_IRQ_VCPU2_SHIFT) | (type << KVM_ARM_IRQ_TYPE_SHIFT) | low | id) >>> 0;
}

export const armIrqLineType = (irq: number): number => (irq >>> KVM_ARM_IRQ_TYPE_SHIFT) & KVM_ARM_IRQ_TYPE_MASK;
export const armIrqLineId = (irq: number): number => irq & KVM_ARM_IRQ_NUM_MASK;
/** vcpu2 * 256 + vcpu. */
export const armIrqLineVcpu = (irq: number): number =>
  ((irq >>> KVM_ARM_IRQ_VCPU2_SHIFT) << 8) | ((irq >>> KVM_ARM_IRQ_VCPU_SHIFT) & KVM_ARM_IRQ_VCPU_MASK);

// --- vGIC device attributes; a u64 attribute is given by its halves ---

export const KVM_DEV_ARM_VGIC_GRP_ADDR = 0;
export const KVM_DEV_ARM_VGIC_GRP_DIST_REGS = 1;
export const KVM_DEV_ARM_VGIC_GRP_CPU_REGS = 2;
export const KVM_DEV_ARM_VGIC_GRP_NR_IRQS = 3;
export const KVM_DEV_ARM_VGIC_GRP_CTRL = 4;
export const KVM_DEV_ARM_VGIC_GRP_REDIST_REGS = 5;
export const KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS = 6;
export const KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO = 7;
export const KVM_DEV_ARM_VGIC_GRP_ITS_REGS = 8;
export const KVM_DEV_ARM_VGIC_GRP_MAINT_IRQ = 9;

// GRP_ADDR
export const KVM_VGIC_V2_ADDR_TYPE_DIST = 0;
export const KVM_VGIC_V2_ADDR_TYPE_CPU = 1;
export const KVM_VGIC_V3_ADDR_TYPE_DIST = 2;
export const KVM_VGIC_V3_ADDR_TYPE_REDIST = 3;
export const KVM_VGIC_ITS_ADDR_TYPE = 4;
export const KVM_VGIC_V3_ADDR_TYPE_REDIST_REGION = 5;

export const KVM_VGIC_V2_DIST_SIZE = 0x1000;
export const KVM_VGIC_V2_CPU_SIZE = 0x2000;
export const KVM_VGIC_V3_DIST_SIZE = 0x1_0000;
/** Two frames of 64K for each vCPU. */
export const KVM_VGIC_V3_REDIST_SIZE = 0x2_0000;
export const KVM_VGIC_V3_ITS_SIZE = 0x2_0000;

// GRP_CTRL
export const KVM_DEV_ARM_VGIC_CTRL_INIT = 0;
export const KVM_DEV_ARM_ITS_SAVE_TABLES = 1;
export const KVM_DEV_ARM_ITS_RESTORE_TABLES = 2;
export const KVM_DEV_ARM_VGIC_SAVE_PENDING_TABLES = 3;
export const KVM_DEV_ARM_ITS_CTRL_RESET = 4;

// GRP_DIST_REGS, CPU_REGS, REDIST_REGS: low half = offset. High half = packed affinity (v3) or vCPU id in its low byte (v2).
export const KVM_DEV_ARM_VGIC_CPUID_MASK_HI = 0xff;

// GRP_CPU_SYSREGS: high half = packed affinity, low half [15:0] = armSysReg().
export const KVM_DEV_ARM_VGIC_SYSREG_INSTR_MASK = 0xffff;

// GRP_LEVEL_INFO: high half = packed affinity, low half = info[31:10] INTID[9:0].
export const KVM_DEV_ARM_VGIC_LINE_LEVEL_INFO_SHIFT = 10;
export const KVM_DEV_ARM_VGIC_LINE_LEVEL_INTID_MASK = 0x3ff;
export const VGIC_LEVEL_INFO_LINE_LEVEL = 0;

// Payload of V3_REDIST_REGION: count[63:52] base[51:16] flags[15:12] index[11:0].
export const redistRegionCount = (hi: number): number => hi >>> 20;
/** Guest physical address, a multiple of 64K below 2^52. */
export const redistRegionBase = (lo: number, hi: number): number => (hi & 0xf_ffff) * 0x1_0000_0000 + ((lo & 0xffff_0000) >>> 0);
export const redistRegionFlags = (lo: number): number => (lo >>> 12) & 0xf;
export const redistRegionIndex = (lo: number): number => lo & 0xfff;
export const redistRegionLo = (base: number, flags: number, index: number): number =>
  (((base % 0x1_0000_0000) & 0xffff_0000) | ((flags & 0xf) << 12) | (index & 0xfff)) >>> 0;
export const redistRegionHi = (base: number, count: number): number =>
  ((count << 20) | (Math.floor(base / 0x1_0000_0000) & 0xf_ffff)) >>> 0;

// --- Register ids of KVM_GET/SET_ONE_REG, by halves ---

/** arm64, of the size named. */
export const KVM_REG_ARM64_U32_HI = 0x6020_0000;
export const KVM_REG_ARM64_U64_HI = 0x6030_0000;
export const KVM_REG_ARM64_U128_HI = 0x6040_0000;
/** High half: architecture in [31:24], size code in [23:20]. */
export const KVM_REG_ARCH_MASK_HI = 0xff00_0000;
export const KVM_REG_SIZE_MASK_HI = 0x00f0_0000;
/** Low half: coprocessor in [31:16]. */
export const KVM_REG_ARM_COPROC_MASK = 0xffff_0000;
export const KVM_REG_ARM_CORE = 0x0010_0000;
export const KVM_REG_ARM64_SYSREG = 0x0013_0000;

// Core registers: index in 32-bit words; x_n is 2n.
export const KVM_REG_ARM_CORE_SP = 0x3e;
export const KVM_REG_ARM_CORE_PC = 0x40;
export const KVM_REG_ARM_CORE_PSTATE = 0x42;

/** op0[15:14] op1[13:11] CRn[10:7] CRm[6:3] op2[2:0]: index of a one-reg id and of GRP_CPU_SYSREGS. */
export const armSysReg = (op0: number, op1: number, crn: number, crm: number, op2: number): number =>
  ((op0 & 3) << 14) | ((op1 & 7) << 11) | ((crn & 15) << 7) | ((crm & 15) << 3) | (op2 & 7);

export const KVM_REG_ARM_MPIDR_EL1_LO = 0x0013_c005;
/** The timer's count and compare ids are fixed and swapped. */
export const KVM_REG_ARM_TIMER_CNT_LO = 0x0013_df1a;
export const KVM_REG_ARM_TIMER_CVAL_LO = 0x0013_df02;

// --- vCPU ---

export const KVM_ARM_TARGET_GENERIC_V8 = 5;

// Bits of kvm_vcpu_init.features[0].
export const KVM_ARM_VCPU_POWER_OFF = 0;
export const KVM_ARM_VCPU_EL1_32BIT = 1;
export const KVM_ARM_VCPU_PSCI_0_2 = 2;
export const KVM_ARM_VCPU_PMU_V3 = 3;
export const KVM_ARM_VCPU_SVE = 4;
export const KVM_ARM_VCPU_PTRAUTH_ADDRESS = 5;
export const KVM_ARM_VCPU_PTRAUTH_GENERIC = 6;
export const KVM_ARM_VCPU_HAS_EL2 = 7;
export const KVM_ARM_VCPU_HAS_EL2_E2H0 = 8;

/** KVM_CREATE_VM type: bits of intermediate physical address, 0 for 40. */
export const KVM_VM_TYPE_ARM_IPA_SIZE_MASK = 0xff;

// kvm_run.device_irq_level.
export const KVM_ARM_DEV_EL1_VTIMER = 1 << 0;
export const KVM_ARM_DEV_EL1_PTIMER = 1 << 1;
export const KVM_ARM_DEV_PMU = 1 << 2;

// kvm_arm_device_addr.id: device[31:16] type[15:0]; types are GRP_ADDR's of the vGICv2.
export const KVM_ARM_DEVICE_ID_SHIFT = 16;
export const KVM_ARM_DEVICE_VGIC_V2 = 0;
