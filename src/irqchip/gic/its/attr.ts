import { BASER_VALID_HIGH, GITS, GITS_SIZE } from "../../../arch/gic/gits.js";
import type { Process } from "../../../host/process.js";
import { writes } from "../../../sim/access.js";
import type { Step } from "../../../sim/step.js";
import * as A from "../../../uapi/arm.js";
import { E2BIG, EBUSY, EEXIST, EFAULT, EINVAL, ENODEV, ENXIO } from "../../../uapi/errno.js";
import type { Its } from "./its.js";
import { freeAll } from "./mappings.js";
import { readGits, writeGits } from "./registers.js";
import { restoreTables } from "./restore.js";
import { saveTables } from "./save.js";
import { userWord } from "../user-word.js";
import { VGIC_ADDR_UNDEF } from "../vgic-cpu.js";
import { tryLockVcpus, unlockVcpus } from "../vgic-uaccess.js";

// The device attributes of an ITS (gic-its.md B8).

const TWO_32 = 0x1_0000_0000;
const ALIGN_64K = 0xffff;
/** Below and from here on registers are 32 bits wide. */
const FIRST_64_BIT = 0x8;
const FIRST_ID = 0xffd0;
/** No control has this number. */
const NO_ATTRIBUTE = -1;

export function* setItsAttribute(its: Its, process: Process, group: number, attrLo: number, attrHi: number, address: number): Step<number> {
  switch (group) {
    case A.KVM_DEV_ARM_VGIC_GRP_ADDR:
      return isItsAddress(attrLo, attrHi) ? yield* setAddress(its, process, address) : -ENODEV;
    case A.KVM_DEV_ARM_VGIC_GRP_CTRL:
      return yield* control(its, attrHi === 0 ? attrLo : NO_ATTRIBUTE);
    case A.KVM_DEV_ARM_VGIC_GRP_ITS_REGS:
      if (!userWord.fetch(process, address, 8)) return -EFAULT;
      return yield* accessRegister(its, attrLo, attrHi, userWord.low, userWord.high, true);
    default:
      return -ENXIO;
  }
}

export function* getItsAttribute(its: Its, process: Process, group: number, attrLo: number, attrHi: number, address: number): Step<number> {
  switch (group) {
    case A.KVM_DEV_ARM_VGIC_GRP_ADDR: {
      if (!isItsAddress(attrLo, attrHi)) return -ENODEV;
      const { base } = its;
      const isSet = base !== VGIC_ADDR_UNDEF;
      return userWord.store(process, address, 8, isSet ? base | 0 : -1, isSet ? Math.floor(base / TWO_32) : -1) ? 0 : -EFAULT;
    }
    case A.KVM_DEV_ARM_VGIC_GRP_ITS_REGS: {
      const error = yield* accessRegister(its, attrLo, attrHi, 0, 0, false);
      if (error !== 0) return error;
      return userWord.store(process, address, 8, its.userLow, its.userHigh) ? 0 : -EFAULT;
    }
    default:
      return -ENXIO;
  }
}

export function hasItsAttribute(group: number, attrLo: number, attrHi: number): number {
  switch (group) {
    case A.KVM_DEV_ARM_VGIC_GRP_ADDR:
      return isItsAddress(attrLo, attrHi) ? 0 : -ENXIO;
    case A.KVM_DEV_ARM_VGIC_GRP_CTRL:
      return attrHi === 0 && isControl(attrLo) ? 0 : -ENXIO;
    case A.KVM_DEV_ARM_VGIC_GRP_ITS_REGS:
      return checkRegister(attrLo, attrHi);
    default:
      return -ENXIO;
  }
}

const isItsAddress = (attrLo: number, attrHi: number): boolean => attrHi === 0 && attrLo === A.KVM_VGIC_ITS_ADDR_TYPE;

const isControl = (attr: number): boolean =>
  attr === A.KVM_DEV_ARM_VGIC_CTRL_INIT || attr === A.KVM_DEV_ARM_ITS_SAVE_TABLES || attr === A.KVM_DEV_ARM_ITS_RESTORE_TABLES || attr === A.KVM_DEV_ARM_ITS_CTRL_RESET;

/**
 * Set once, also where the bus refuses the frames: 0, -EFAULT, -EEXIST, -EINVAL, -E2BIG, or the bus's errno. From 0 on they
 * are there.
 */
function* setAddress(its: Its, process: Process, address: number): Step<number> {
  if (!userWord.fetch(process, address, 8)) return -EFAULT;
  const { low, high } = userWord;
  const base = (high >>> 0) * TWO_32 + (low >>> 0);
  if (its.base !== VGIC_ADDR_UNDEF) return -EEXIST;
  const wraps = high === -1 && (low >>> 0) + GITS_SIZE >= TWO_32;
  if ((low & ALIGN_64K) !== 0 || wraps) return -EINVAL;
  if (base + GITS_SIZE > 2 ** its.vm.ipaBits) return -E2BIG;
  yield* its.vm.slotsLock.lock();
  let error = -EBUSY;
  if (its.base === VGIC_ADDR_UNDEF) {
    its.base = base;
    error = yield* its.vm.mmioBus.register(base, GITS_SIZE, its);
    if (error === 0) its.appear();
  }
  yield* its.vm.slotsLock.unlock();
  return error;
}

/** 0, -EINVAL (not aligned), -ENXIO (no such register). */
function checkRegister(offset: number, attrHi: number): number {
  const isWord = attrHi !== 0 || offset >>> 0 < FIRST_64_BIT || offset >>> 0 >= FIRST_ID;
  if ((offset & (isWord ? 3 : 7)) !== 0) return -EINVAL;
  return attrHi === 0 && GITS.find(offset, isWord ? 4 : 8) >= 0 ? 0 : -ENXIO;
}

/**
 * A read goes into `its.userLow` and `userHigh`. 0, -EINVAL, -EBUSY (a vCPU runs), -ENXIO (also without an address), or the
 * register's errno. [6.1]: -ENXIO comes before -EBUSY.
 */
function* accessRegister(its: Its, offset: number, attrHi: number, low: number, high: number, isWrite: boolean): Step<number> {
  const checked = checkRegister(offset, attrHi);
  const refused = checked === 0 && its.base === VGIC_ADDR_UNDEF ? -ENXIO : checked;
  if (refused === -EINVAL || (refused !== 0 && its.dist.isLinux61)) return refused;
  const isLocked = yield* tryLockVcpus(its.dist);
  if (!isLocked) return -EBUSY;
  yield* its.dist.configLock.lock();
  const size = GITS.find(offset, 8) >= 0 ? 8 : 4;
  let error = refused;
  if (error === 0 && isWrite) error = yield* writeGits(its, offset, size, low, high, true);
  else if (error === 0) {
    its.userLow = yield* readGits(its, offset, size);
    its.userHigh = its.high;
  }
  yield* its.dist.configLock.unlock();
  yield* unlockVcpus(its.dist, its.dist.vm.vcpus.length);
  yield* its.dist.vm.lock.unlock();
  return error;
}

/** B9. INIT does nothing: the address has initialised the ITS. An attribute that is none is refused only with everything locked. */
function* control(its: Its, attr: number): Step<number> {
  const { dist } = its;
  if (attr === A.KVM_DEV_ARM_VGIC_CTRL_INIT) return 0;
  if (dist.hazards.saveWhileRunning) return yield* controlStopped(its, attr);
  const isLocked = yield* tryLockVcpus(dist);
  if (!isLocked) return -EBUSY;
  const error = yield* controlStopped(its, attr);
  yield* unlockVcpus(dist, dist.vm.vcpus.length);
  yield* dist.vm.lock.unlock();
  return error;
}

/** No vCPU runs (hazard R45). */
function* controlStopped(its: Its, attr: number): Step<number> {
  yield* its.dist.configLock.lock();
  yield* its.itsLock.lock();
  let error = 0;
  if (attr === A.KVM_DEV_ARM_ITS_SAVE_TABLES) error = yield* saveTables(its);
  else if (attr === A.KVM_DEV_ARM_ITS_RESTORE_TABLES) error = yield* restoreTables(its);
  else if (attr === A.KVM_DEV_ARM_ITS_CTRL_RESET) yield* reset(its);
  else error = -ENXIO;
  yield* its.itsLock.unlock();
  yield* its.dist.configLock.unlock();
  return error;
}

/** KVM_DEV_ARM_ITS_CTRL_RESET (B9.3). */
function* reset(its: Its): Step<void> {
  its.deviceTable.high &= ~BASER_VALID_HIGH;
  its.collectionTable.high &= ~BASER_VALID_HIGH;
  its.cbaserLow = 0;
  its.cbaserHigh = 0;
  its.creadr = 0;
  its.cwriter = 0;
  yield writes(its, "enabled");
  its.enabled = false;
  yield* freeAll(its);
}
