import type { Process } from "../host/process.js";
import { UserArgument } from "../host/user-argument.js";
import type { KvmDeviceOps } from "../irqchip/contract.js";
import { Mutex } from "../sim/lock.js";
import type { Step } from "../sim/step.js";
import { EBADF, EBUSY, EEXIST, EFAULT, EINVAL, EIO, ENOENT, ENXIO } from "../uapi/errno.js";
import {
  KVM_DEV_VFIO_DEVICE,
  KVM_DEV_VFIO_DEVICE_FORWARD_IRQ,
  KVM_DEV_VFIO_DEVICE_UNFORWARD_IRQ,
  KVM_DEV_VFIO_FILE,
  KVM_DEV_VFIO_FILE_ADD,
  KVM_DEV_VFIO_FILE_DEL,
  KVM_DEV_VFIO_GROUP_SET_SPAPR_TCE,
  kvm_vfio_spapr_tce,
} from "../uapi/kvm.js";
import { VfioFile } from "../vfio/contract.js";
import type { KvmDeviceType } from "./device.js";
import { ForwardedIrqs } from "./arm64/irq-forward.js";
import type { Vm } from "./vm.js";

/** Type 4: one per VM. */
export const KVM_VFIO: KvmDeviceType = {
  name: "kvm-vfio",
  *create(vm: Vm): Step<KvmDeviceOps | number> {
    for (const { ops } of vm.devices) if (ops instanceof KvmVfio) return -EBUSY;
    return new KvmVfio(vm);
  },
};

/** The KVM-VFIO pseudo device: tells VFIO and KVM about each other (kvm-irq-core.md 8). It has no GET accessor. */
export class KvmVfio implements KvmDeviceOps {
  readonly name = "kvm-vfio";
  private readonly mutex: Mutex;
  private readonly files: VfioFile[] = [];
  private readonly forwarded: ForwardedIrqs;
  private isNonCoherent = false;

  constructor(private readonly vm: Vm) {
    this.mutex = new Mutex(vm.sim, "kvm_vfio.lock");
    this.forwarded = new ForwardedIrqs(vm, this.mutex);
  }

  *setAttr(process: Process, group: number, attrLo: number, attrHi: number, address: number): Step<number> {
    if (attrHi !== 0) return -ENXIO;
    if (group === KVM_DEV_VFIO_FILE) {
      if (attrLo === KVM_DEV_VFIO_FILE_ADD) return yield* this.add(process, address);
      if (attrLo === KVM_DEV_VFIO_FILE_DEL) return yield* this.del(process, address);
      if (attrLo === KVM_DEV_VFIO_GROUP_SET_SPAPR_TCE && this.vm.arch.isSpapr) return yield* this.setSpaprTce(process, address);
    }
    if (group === KVM_DEV_VFIO_DEVICE && this.vm.arch.forwarding !== null) {
      if (attrLo === KVM_DEV_VFIO_DEVICE_FORWARD_IRQ) return yield* this.forwarded.forward(process, address);
      if (attrLo === KVM_DEV_VFIO_DEVICE_UNFORWARD_IRQ) return yield* this.forwarded.unforward(process, address);
    }
    return -ENXIO;
  }

  *hasAttr(_process: Process, group: number, attrLo: number, attrHi: number, _address: number): Step<number> {
    const isPair = attrHi === 0 && (attrLo === 1 || attrLo === 2);
    const isTce = attrHi === 0 && attrLo === KVM_DEV_VFIO_GROUP_SET_SPAPR_TCE && this.vm.arch.isSpapr === true;
    if (group === KVM_DEV_VFIO_FILE) return isPair || isTce ? 0 : -ENXIO;
    if (group === KVM_DEV_VFIO_DEVICE && this.vm.arch.forwarding !== null) return isPair ? 0 : -ENXIO;
    return -ENXIO;
  }

  /** 8.2: tracks a file by a reference of its own; closing the user's descriptor does not untrack it. */
  private *add(process: Process, address: number): Step<number> {
    const fd = readFd(process, address);
    if (fd === null) return -EFAULT;
    const file = yield* process.fdget(fd);
    if (file === null) return -EBADF;
    if (!(file instanceof VfioFile)) {
      yield* file.put();
      return -EINVAL;
    }
    yield* this.mutex.lock();
    if (this.files.includes(file)) {
      yield* this.mutex.unlock();
      yield* file.put();
      return -EEXIST;
    }
    this.files.push(file);
    yield* file.setKvm(this.vm);
    this.updateCoherency();
    yield* this.mutex.unlock();
    if (this.vm.hazards.trackWithoutReference) yield* file.put();
    return 0;
  }

  private *del(process: Process, address: number): Step<number> {
    const fd = readFd(process, address);
    if (fd === null) return -EFAULT;
    const file = yield* process.fdget(fd);
    if (file === null) return -EBADF;
    yield* this.mutex.lock();
    const at = this.files.findIndex((tracked) => tracked === file);
    if (at >= 0) yield* this.untrack(this.files[at]);
    yield* this.mutex.unlock();
    yield* file.put();
    return at >= 0 ? 0 : -ENOENT;
  }

  /**
   * 8.2: a guest's table of translation entries is put before a group's. Tables are made by KVM_CREATE_SPAPR_TCE, which virq has
   * not (KVM_CAP_SPAPR_TCE is 0): no descriptor is one, so that it ends with -EINVAL at the latest.
   */
  private *setSpaprTce(process: Process, address: number): Step<number> {
    const { size, groupfd, tablefd } = kvm_vfio_spapr_tce;
    const argument = new UserArgument(size);
    if (!argument.copyIn(process, address)) return -EFAULT;
    const file = yield* process.fdget(groupfd.get(argument.view));
    if (file === null) return -EBADF;
    yield* this.mutex.lock();
    const tracked = this.files.find((each) => each === file);
    let result = -ENOENT;
    if (tracked !== undefined && !tracked.isGroupFile) result = -EIO;
    else if (tracked !== undefined) result = process.file(tablefd.get(argument.view)) === null ? -EBADF : -EINVAL;
    yield* this.mutex.unlock();
    yield* file.put();
    return result;
  }

  private *untrack(file: VfioFile): Step<void> {
    this.files.splice(this.files.indexOf(file), 1);
    yield* file.setKvm(null);
    if (!this.vm.hazards.trackWithoutReference) yield* file.put();
    this.updateCoherency();
  }

  /** The VM counts as non-coherent once, while any tracked file may bypass the caches. */
  private updateCoherency(): void {
    const isNonCoherent = this.files.some((file) => !file.enforcesCoherency());
    if (isNonCoherent === this.isNonCoherent) return;
    this.isNonCoherent = isNonCoherent;
    this.vm.nonCoherentDma += isNonCoherent ? 1 : -1;
  }

  /** Last descriptor: forwarding ends even where signalling is still set, then every file is untracked. */
  *release(): Step<void> {
    yield* this.forwarded.release();
    while (this.files.length > 0) yield* this.untrack(this.files[0]);
  }
}

/** The s32 that the attribute's address points to; null: EFAULT. */
function readFd(process: Process, address: number): number | null {
  if (!process.memory.isReadable(address, 4)) return null;
  return process.memory.getU32(address) | 0;
}
