import { GICC_V2, Gicc, GiccCtlr } from "../../arch/gic/gicc.js";
import { IchVmcr } from "../../arch/gic/gich.js";
import { ENXIO } from "../../uapi/errno.js";
import type { VgicCpu } from "./vgic-cpu.js";
import type { VgicDist } from "./vgic-dist.js";

// GICv2's CPU interface by KVM_DEV_ARM_VGIC_GRP_CPU_REGS (gic-v3.md A12); the vCPU's mutex is held, so it is nowhere loaded.

/** 0x4B as product, GICv2, Arm. */
const GICC_IIDR = (0x4b << 20) | (2 << 16) | 0x43b;
const CONTROLS = GiccCtlr.ENABLE_GRP0 | GiccCtlr.ENABLE_GRP1 | GiccCtlr.ACK_CTL | GiccCtlr.FIQ_EN | GiccCtlr.CBPR | GiccCtlr.EOI_MODE;
/** The priority mask travels as a 5-bit number. */
const PMR_SHIFT = IchVmcr.PMR_SHIFT + 3;

function rowAt(offset: number): Gicc | -1 {
  const row = GICC_V2.find(offset, 4);
  switch (row) {
    case Gicc.CTLR:
    case Gicc.PMR:
    case Gicc.BPR:
    case Gicc.ABPR:
    case Gicc.APR:
    case Gicc.IIDR:
      return row;
    default:
      return -1;
  }
}

export const hasGicc = (offset: number): boolean => rowAt(offset) !== -1;

/** Into `dist.userValue`; 0 or -ENXIO. GICC_CTLR's bits lie in VMCR as they do in the register. */
export function giccUserRead(dist: VgicDist, cpu: VgicCpu, offset: number): number {
  switch (rowAt(offset)) {
    case Gicc.CTLR:
      dist.userValue = cpu.vmcr & CONTROLS;
      return 0;
    case Gicc.PMR:
      dist.userValue = cpu.vmcr >>> PMR_SHIFT;
      return 0;
    case Gicc.BPR:
      dist.userValue = (cpu.vmcr >>> IchVmcr.BPR0_SHIFT) & 7;
      return 0;
    case Gicc.ABPR:
      dist.userValue = (cpu.vmcr >>> IchVmcr.BPR1_SHIFT) & 7;
      return 0;
    case Gicc.APR:
      dist.userValue = (offset & 12) === 0 ? cpu.ap0r[0] : 0;
      return 0;
    case Gicc.IIDR:
      dist.userValue = GICC_IIDR;
      return 0;
    default:
      return -ENXIO;
  }
}

export function giccUserWrite(_dist: VgicDist, cpu: VgicCpu, offset: number, value: number): number {
  switch (rowAt(offset)) {
    case Gicc.CTLR:
      cpu.vmcr = (cpu.vmcr & ~CONTROLS) | (value & CONTROLS);
      return 0;
    case Gicc.PMR:
      cpu.vmcr = (cpu.vmcr & ~(0xff << IchVmcr.PMR_SHIFT)) | ((value & 0x1f) << PMR_SHIFT);
      return 0;
    case Gicc.BPR:
      cpu.vmcr = (cpu.vmcr & ~(7 << IchVmcr.BPR0_SHIFT)) | ((value & 7) << IchVmcr.BPR0_SHIFT);
      return 0;
    case Gicc.ABPR:
      cpu.vmcr = (cpu.vmcr & ~(7 << IchVmcr.BPR1_SHIFT)) | ((value & 7) << IchVmcr.BPR1_SHIFT);
      return 0;
    case Gicc.APR:
      if ((offset & 12) === 0) cpu.ap0r[0] = value;
      return 0;
    case Gicc.IIDR:
      return 0;
    default:
      return -ENXIO;
  }
}
