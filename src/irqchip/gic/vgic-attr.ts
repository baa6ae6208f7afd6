import type { Process } from "../../host/process.js";
import type { Step } from "../../sim/step.js";
import * as A from "../../uapi/arm.js";
import { EBUSY, EFAULT, EINVAL, ENXIO } from "../../uapi/errno.js";
import { savePendingTables } from "./its/lpi-config.js";
import { userWord } from "./user-word.js";
import { getAddress, hasAddress, setAddress } from "./vgic-addr.js";
import type { VgicDist } from "./vgic-dist.js";
import { initVgic } from "./vgic-init.js";
import { VGIC_NR_PRIVATE_IRQS } from "./vgic-irq.js";
import { getRegister, hasRegister, isRegisterGroup, setRegister, tryLockVcpus, unlockVcpus } from "./vgic-uaccess.js";

// The device attributes of a vGIC (gic-v3.md A3.2 to A3.7).

const LEAST_IRQS = VGIC_NR_PRIVATE_IRQS + 32;
const MOST_IRQS = 1023;

export function* setAttribute(dist: VgicDist, process: Process, group: number, attrLo: number, attrHi: number, address: number): Step<number> {
  if (isRegisterGroup(dist, group)) return yield* setRegister(dist, process, group, attrLo, attrHi, address);
  switch (group) {
    case A.KVM_DEV_ARM_VGIC_GRP_ADDR:
      return attrHi === 0 ? yield* setAddress(dist, process, attrLo, address) : -ENXIO;
    case A.KVM_DEV_ARM_VGIC_GRP_NR_IRQS:
      return yield* setNrIrqs(dist, process, address);
    case A.KVM_DEV_ARM_VGIC_GRP_CTRL:
      return attrHi === 0 ? yield* control(dist, attrLo) : -ENXIO;
    default:
      return -ENXIO;
  }
}

export function* getAttribute(dist: VgicDist, process: Process, group: number, attrLo: number, attrHi: number, address: number): Step<number> {
  if (isRegisterGroup(dist, group)) return yield* getRegister(dist, process, group, attrLo, attrHi, address);
  switch (group) {
    case A.KVM_DEV_ARM_VGIC_GRP_ADDR:
      return attrHi === 0 ? yield* getAddress(dist, process, attrLo, address) : -ENXIO;
    case A.KVM_DEV_ARM_VGIC_GRP_NR_IRQS:
      return userWord.store(process, address, 4, dist.nrIrqs, 0) ? 0 : -EFAULT;
    default:
      return -ENXIO;
  }
}

export function* hasAttribute(dist: VgicDist, group: number, attrLo: number, attrHi: number): Step<number> {
  if (isRegisterGroup(dist, group)) return yield* hasRegister(dist, group, attrLo, attrHi);
  switch (group) {
    case A.KVM_DEV_ARM_VGIC_GRP_ADDR:
      return attrHi === 0 ? hasAddress(dist, attrLo) : -ENXIO;
    case A.KVM_DEV_ARM_VGIC_GRP_NR_IRQS:
      return 0;
    case A.KVM_DEV_ARM_VGIC_GRP_CTRL:
      if (attrHi !== 0) return -ENXIO;
      return attrLo === A.KVM_DEV_ARM_VGIC_CTRL_INIT || (dist.model === 3 && attrLo === A.KVM_DEV_ARM_VGIC_SAVE_PENDING_TABLES) ? 0 : -ENXIO;
    default:
      return -ENXIO;
  }
}

/** A3.4: 0, -EFAULT, -EINVAL, -EBUSY (set before, or the guest has run). */
function* setNrIrqs(dist: VgicDist, process: Process, address: number): Step<number> {
  if (!userWord.fetch(process, address, 4)) return -EFAULT;
  const count = userWord.low >>> 0;
  if (count < LEAST_IRQS || count > MOST_IRQS || (count & 31) !== 0) return -EINVAL;
  yield* dist.configLock.lock();
  const isFree = !dist.ready && dist.nrSpis === 0;
  if (isFree) dist.nrSpis = count - VGIC_NR_PRIVATE_IRQS;
  yield* dist.configLock.unlock();
  return isFree ? 0 : -EBUSY;
}

/** A3.5. */
function* control(dist: VgicDist, attr: number): Step<number> {
  if (attr === A.KVM_DEV_ARM_VGIC_CTRL_INIT) {
    yield* dist.configLock.lock();
    const error = yield* initVgic(dist);
    yield* dist.configLock.unlock();
    return error;
  }
  if (attr !== A.KVM_DEV_ARM_VGIC_SAVE_PENDING_TABLES || dist.model === 2 || !dist.initialized) return -ENXIO;
  return yield* savePending(dist);
}

/** 0, -EBUSY (a vCPU runs), or -EFAULT. */
function* savePending(dist: VgicDist): Step<number> {
  const isLocked = yield* tryLockVcpus(dist);
  if (!isLocked) return -EBUSY;
  yield* dist.configLock.lock();
  const error = yield* savePendingTables(dist);
  yield* dist.configLock.unlock();
  yield* unlockVcpus(dist, dist.vm.vcpus.length);
  yield* dist.vm.lock.unlock();
  return error;
}
