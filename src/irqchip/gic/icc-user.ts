import { ctlrOfVtr, ICC_SRE_VALUE, Icc, IccCtlr, idBitsFieldOf, preemptionBitsOf, priorityBitsOf, VTR_A3V, VTR_SEIS } from "../../arch/gic/icc.js";
import { IchVmcr } from "../../arch/gic/gich.js";
import { clampBpr, commonBpr1, minimumBpr1, priorityMask } from "../../arch/gic/priority.js";
import { EINVAL, ENXIO } from "../../uapi/errno.js";
import type { VgicCpu } from "./vgic-cpu.js";
import type { VgicDist } from "./vgic-dist.js";

// The CPU interface's system registers by KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS (gic-v3.md A10.2); the vCPU's mutex is held,
// so no physical CPU holds its interface.

const PRIBITS = 7 << IccCtlr.PRIBITS_SHIFT;
const IDBITS = 7 << IccCtlr.IDBITS_SHIFT;

/** Does user space know this register? Those that act on reads or writes are the guest's alone. */
export function hasUserSysreg(encoding: number): boolean {
  switch (encoding) {
    case Icc.PMR:
    case Icc.BPR0:
    case Icc.BPR1:
    case Icc.CTLR:
    case Icc.SRE:
    case Icc.IGRPEN0:
    case Icc.IGRPEN1:
      return true;
    default:
      return (encoding >= Icc.AP0R0 && encoding <= Icc.AP0R3) || (encoding >= Icc.AP1R0 && encoding <= Icc.AP1R3);
  }
}

/** Into `dist.userValue`; 0, -ENXIO, -EINVAL (an active-priorities register that this many priority bits do not need). */
export function userReadSysreg(dist: VgicDist, cpu: VgicCpu, encoding: number): number {
  if (!hasUserSysreg(encoding)) return -ENXIO;
  const active = activeRegister(cpu, encoding);
  if (active !== null) {
    const index = encoding & 3;
    if (index > lastActive(cpu)) return -EINVAL;
    dist.userValue = active[index];
  } else dist.userValue = readControl(dist, cpu, encoding);
  return 0;
}

function readControl(dist: VgicDist, cpu: VgicCpu, encoding: number): number {
  const { vmcr } = cpu;
  switch (encoding) {
    case Icc.PMR:
      return (vmcr >>> IchVmcr.PMR_SHIFT) & 0xff;
    case Icc.BPR0:
      return bpr0Of(dist, cpu);
    case Icc.BPR1:
      return (vmcr & IchVmcr.CBPR) !== 0 ? commonBpr1(bpr0Of(dist, cpu)) : clampBpr(vmcr >>> IchVmcr.BPR1_SHIFT, leastBpr1(dist));
    case Icc.CTLR: {
      const host = ctlrOfVtr(dist.vtr) & ~(PRIBITS | IDBITS);
      const bits = ((cpu.priorityBits - 1) << IccCtlr.PRIBITS_SHIFT) | (cpu.idBitsField << IccCtlr.IDBITS_SHIFT);
      return host | bits | ((vmcr & IchVmcr.CBPR) === 0 ? 0 : IccCtlr.CBPR) | ((vmcr & IchVmcr.EOIM) === 0 ? 0 : IccCtlr.EOI_MODE);
    }
    case Icc.SRE:
      return ICC_SRE_VALUE;
    case Icc.IGRPEN0:
      return (vmcr & IchVmcr.ENG0) === 0 ? 0 : 1;
    default:
      return (vmcr & IchVmcr.ENG1) === 0 ? 0 : 1;
  }
}

/** 0, -ENXIO, or -EINVAL (more than this host has, another SEIS or A3V, SRE off). */
export function userWriteSysreg(dist: VgicDist, cpu: VgicCpu, encoding: number, low: number): number {
  if (!hasUserSysreg(encoding)) return -ENXIO;
  const active = activeRegister(cpu, encoding);
  if (active !== null) {
    const index = encoding & 3;
    if (index > lastActive(cpu)) return -EINVAL;
    active[index] = low;
    return 0;
  }
  switch (encoding) {
    case Icc.PMR:
      setField(cpu, IchVmcr.PMR_SHIFT, 0xff, low & priorityMask(priorityBitsOf(dist.vtr)));
      return 0;
    case Icc.BPR0:
      setField(cpu, IchVmcr.BPR0_SHIFT, 7, clampBpr(low, leastBpr1(dist) - 1));
      return 0;
    case Icc.BPR1:
      if ((cpu.vmcr & IchVmcr.CBPR) === 0) setField(cpu, IchVmcr.BPR1_SHIFT, 7, clampBpr(low, leastBpr1(dist)));
      return 0;
    case Icc.CTLR:
      return writeCtlr(dist, cpu, low);
    case Icc.SRE:
      return (low & 1) === 0 ? -EINVAL : 0;
    case Icc.IGRPEN0:
      setBit(cpu, IchVmcr.ENG0, (low & 1) !== 0);
      return 0;
    default:
      setBit(cpu, IchVmcr.ENG1, (low & 1) !== 0);
      return 0;
  }
}

function writeCtlr(dist: VgicDist, cpu: VgicCpu, value: number): number {
  const { vtr } = dist;
  const priorityBits = ((value & PRIBITS) >>> IccCtlr.PRIBITS_SHIFT) + 1;
  const idBitsField = (value & IDBITS) >>> IccCtlr.IDBITS_SHIFT;
  if (priorityBits > priorityBitsOf(vtr) || idBitsField > idBitsFieldOf(vtr)) return -EINVAL;
  if (((value & IccCtlr.SEIS) !== 0) !== ((vtr & VTR_SEIS) !== 0)) return -EINVAL;
  if (((value & IccCtlr.A3V) !== 0) !== ((vtr & VTR_A3V) !== 0)) return -EINVAL;
  cpu.priorityBits = priorityBits;
  cpu.idBitsField = idBitsField;
  setBit(cpu, IchVmcr.CBPR, (value & IccCtlr.CBPR) !== 0);
  setBit(cpu, IchVmcr.EOIM, (value & IccCtlr.EOI_MODE) !== 0);
  return 0;
}

/** The set of active priorities that an encoding names, or null. */
function activeRegister(cpu: VgicCpu, encoding: number): Int32Array | null {
  if (encoding >= Icc.AP0R0 && encoding <= Icc.AP0R3) return cpu.ap0r;
  return encoding >= Icc.AP1R0 && encoding <= Icc.AP1R3 ? cpu.ap1r : null;
}

/** Highest index of active-priorities registers that so many priority bits need. */
const lastActive = (cpu: VgicCpu): number => (cpu.priorityBits === 7 ? 3 : cpu.priorityBits === 6 ? 1 : 0);

const leastBpr1 = (dist: VgicDist): number => minimumBpr1(preemptionBitsOf(dist.vtr));
const bpr0Of = (dist: VgicDist, cpu: VgicCpu): number => clampBpr(cpu.vmcr >>> IchVmcr.BPR0_SHIFT, leastBpr1(dist) - 1);

function setField(cpu: VgicCpu, shift: number, mask: number, value: number): void {
  cpu.vmcr = (cpu.vmcr & ~(mask << shift)) | ((value & mask) << shift);
}

function setBit(cpu: VgicCpu, bit: number, isSet: boolean): void {
  cpu.vmcr = isSet ? cpu.vmcr | bit : cpu.vmcr & ~bit;
}
