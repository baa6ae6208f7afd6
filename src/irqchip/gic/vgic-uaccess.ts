import { GICD_V3, Gicd } from "../../arch/gic/gicd.js";
import type { Process } from "../../host/process.js";
import type { Step } from "../../sim/step.js";
import * as A from "../../uapi/arm.js";
import { EBUSY, EFAULT, EINVAL, ENXIO } from "../../uapi/errno.js";
import { giccUserRead, giccUserWrite, hasGicc } from "./gicc-user.js";
import { userWord } from "./user-word.js";
import type { VgicCpu } from "./vgic-cpu.js";
import type { VgicDist } from "./vgic-dist.js";
import { initVgic } from "./vgic-init.js";
import { hasUserSysreg, userReadSysreg, userWriteSysreg } from "./icc-user.js";
import { VGIC_NR_SGIS } from "./vgic-irq.js";
import { readLineLevel, writeLineLevel } from "./vgic-state.js";

// Register access by device attribute (gic-v3.md A3.6, A3.7, A12).

const LEVEL_WORD = 32;

/** Does this group read and write registers, in this model? */
export function isRegisterGroup(dist: VgicDist, group: number): boolean {
  switch (group) {
    case A.KVM_DEV_ARM_VGIC_GRP_DIST_REGS:
      return true;
    case A.KVM_DEV_ARM_VGIC_GRP_CPU_REGS:
      return dist.model === 2;
    case A.KVM_DEV_ARM_VGIC_GRP_REDIST_REGS:
    case A.KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS:
    case A.KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO:
      return dist.model === 3;
    default:
      return false;
  }
}

/** Whose registers: by affinity (GICv3; the distributor has no owner), by id (GICv2). Null: nobody's. */
function cpuOf(dist: VgicDist, group: number, attrHi: number): VgicCpu | null {
  if (dist.model === 2) return dist.cpus.find((cpu) => cpu.vcpu.id === (attrHi & A.KVM_DEV_ARM_VGIC_CPUID_MASK_HI)) ?? null;
  if (group === A.KVM_DEV_ARM_VGIC_GRP_DIST_REGS) return dist.cpus.length === 0 ? null : dist.cpus[0];
  return dist.cpuByAffinity(attrHi);
}

const sizeOf = (group: number): 4 | 8 => (group === A.KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS ? 8 : 4);

/** 0, -EINVAL (no such vCPU, a value that cannot be), -EFAULT, -EBUSY (a vCPU runs, or no INIT), -ENXIO (no such register). */
export function* setRegister(dist: VgicDist, process: Process, group: number, attrLo: number, attrHi: number, address: number): Step<number> {
  const cpu = cpuOf(dist, group, attrHi);
  if (cpu === null) return -EINVAL;
  if (!userWord.fetch(process, address, sizeOf(group))) return -EFAULT;
  const { low } = userWord;
  let error = yield* beginAccess(dist, group, attrLo);
  if (error < 0) return error;
  error = yield* writeRegister(dist, cpu, group, attrLo, low);
  yield* endAccess(dist);
  return error;
}

export function* getRegister(dist: VgicDist, process: Process, group: number, attrLo: number, attrHi: number, address: number): Step<number> {
  const cpu = cpuOf(dist, group, attrHi);
  if (cpu === null) return -EINVAL;
  const error = yield* beginAccess(dist, group, attrLo);
  if (error < 0) return error;
  const result = yield* readRegister(dist, cpu, group, attrLo);
  const value = dist.userValue;
  yield* endAccess(dist);
  if (result < 0) return result;
  return userWord.store(process, address, sizeOf(group), value, 0) ? 0 : -EFAULT;
}

/** Locks as the kernel takes them: 0, -EBUSY. GICv2 initialises itself. */
function* beginAccess(dist: VgicDist, group: number, attrLo: number): Step<number> {
  const isLocked = yield* tryLockVcpus(dist);
  if (!isLocked) return -EBUSY;
  yield* dist.configLock.lock();
  let error = 0;
  if (!dist.initialized) error = dist.model === 2 ? yield* initVgic(dist) : isAllowedBeforeInit(dist, group, attrLo) ? 0 : -EBUSY;
  if (error < 0) yield* endAccess(dist);
  return error;
}

function* endAccess(dist: VgicDist): Step<void> {
  yield* dist.configLock.unlock();
  yield* unlockVcpus(dist, dist.vm.vcpus.length);
  yield* dist.vm.lock.unlock();
}

/** What says which GIC this is can be chosen before INIT; not in Linux 6.1. */
function isAllowedBeforeInit(dist: VgicDist, group: number, offset: number): boolean {
  if (group !== A.KVM_DEV_ARM_VGIC_GRP_DIST_REGS || dist.isLinux61) return false;
  const row = GICD_V3.find(offset, 4);
  return row === Gicd.IIDR || row === Gicd.TYPER2;
}

/** kvm.lock and every vCPU's mutex; false, and nothing is held, where one is running. */
export function* tryLockVcpus(dist: VgicDist): Step<boolean> {
  const { vm } = dist;
  yield* vm.lock.lock();
  for (let i = 0; i < vm.vcpus.length; i++) {
    const isTaken = yield* vm.vcpus[i].mutex.tryLock();
    if (isTaken) continue;
    yield* unlockVcpus(dist, i);
    yield* vm.lock.unlock();
    return false;
  }
  return true;
}

/** Gives back the mutexes of the first `count` vCPUs; kvm.lock stays. */
export function* unlockVcpus(dist: VgicDist, count: number): Step<void> {
  for (let i = count - 1; i >= 0; i--) yield* dist.vm.vcpus[i].mutex.unlock();
}

function* writeRegister(dist: VgicDist, cpu: VgicCpu, group: number, attrLo: number, low: number): Step<number> {
  switch (group) {
    case A.KVM_DEV_ARM_VGIC_GRP_DIST_REGS:
      return yield* dist.frames.distributor.userWrite(cpu, attrLo, low);
    case A.KVM_DEV_ARM_VGIC_GRP_REDIST_REGS:
      return yield* dist.frames.redist(cpu).userWrite(cpu, attrLo, low);
    case A.KVM_DEV_ARM_VGIC_GRP_CPU_REGS:
      return giccUserWrite(dist, cpu, attrLo, low);
    case A.KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS:
      return userWriteSysreg(dist, cpu, attrLo & A.KVM_DEV_ARM_VGIC_SYSREG_INSTR_MASK, low);
    default:
      return yield* writeLevels(dist, cpu, attrLo, low);
  }
}

/** Into `dist.userValue`; 0 or a negative errno. */
function* readRegister(dist: VgicDist, cpu: VgicCpu, group: number, attrLo: number): Step<number> {
  switch (group) {
    case A.KVM_DEV_ARM_VGIC_GRP_DIST_REGS:
      return yield* dist.frames.distributor.userRead(cpu, attrLo);
    case A.KVM_DEV_ARM_VGIC_GRP_REDIST_REGS:
      return yield* dist.frames.redist(cpu).userRead(cpu, attrLo);
    case A.KVM_DEV_ARM_VGIC_GRP_CPU_REGS:
      return giccUserRead(dist, cpu, attrLo);
    case A.KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS:
      return userReadSysreg(dist, cpu, attrLo & A.KVM_DEV_ARM_VGIC_SYSREG_INSTR_MASK);
    default:
      return yield* readLevels(dist, cpu, attrLo);
  }
}

/** has_attr: the same vCPU must be there; 0, -EINVAL, -ENXIO. */
export function* hasRegister(dist: VgicDist, group: number, attrLo: number, attrHi: number): Step<number> {
  if (group === A.KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO) return levelInfo(attrLo) === A.VGIC_LEVEL_INFO_LINE_LEVEL ? 0 : -ENXIO;
  const cpu = cpuOf(dist, group, attrHi);
  if (cpu === null) return -EINVAL;
  switch (group) {
    case A.KVM_DEV_ARM_VGIC_GRP_DIST_REGS:
      return dist.frames.distributor.has(attrLo) ? 0 : -ENXIO;
    case A.KVM_DEV_ARM_VGIC_GRP_REDIST_REGS:
      return dist.frames.redist(cpu).has(attrLo) ? 0 : -ENXIO;
    case A.KVM_DEV_ARM_VGIC_GRP_CPU_REGS:
      return hasGicc(attrLo) ? 0 : -ENXIO;
    default:
      return hasUserSysreg(attrLo & A.KVM_DEV_ARM_VGIC_SYSREG_INSTR_MASK) ? 0 : -ENXIO;
  }
}

const levelInfo = (attrLo: number): number => attrLo >>> A.KVM_DEV_ARM_VGIC_LINE_LEVEL_INFO_SHIFT;

/** First INTID of a word of lines, -1 where it is none: a multiple of 32 is asked for, and LINE_LEVEL. */
function levelIntid(attrLo: number): number {
  const intid = attrLo & A.KVM_DEV_ARM_VGIC_LINE_LEVEL_INTID_MASK;
  return levelInfo(attrLo) !== A.VGIC_LEVEL_INFO_LINE_LEVEL || intid % LEVEL_WORD !== 0 ? -1 : intid;
}

/** The wires, apart from the latches (A3.7). SGIs have none. */
function* readLevels(dist: VgicDist, cpu: VgicCpu, attrLo: number): Step<number> {
  const first = levelIntid(attrLo);
  if (first < 0) return -EINVAL;
  let word = 0;
  for (let i = first === 0 ? VGIC_NR_SGIS : 0; i < LEVEL_WORD; i++) {
    const irq = dist.irq(cpu, first + i);
    if (irq === null) continue;
    const isHigh = yield* readLineLevel(irq);
    if (isHigh) word |= 1 << i;
  }
  dist.userValue = word;
  return 0;
}

function* writeLevels(dist: VgicDist, cpu: VgicCpu, attrLo: number, word: number): Step<number> {
  const first = levelIntid(attrLo);
  if (first < 0) return -EINVAL;
  for (let i = first === 0 ? VGIC_NR_SGIS : 0; i < LEVEL_WORD; i++) {
    const irq = dist.irq(cpu, first + i);
    if (irq !== null) yield* writeLineLevel(dist, irq, (word & (1 << i)) !== 0);
  }
  return 0;
}
