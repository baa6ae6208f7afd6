import { File } from "../host/file.js";
import type { Process } from "../host/process.js";
import type { KvmDeviceOps } from "../irqchip/contract.js";
import { Lifetime } from "../sim/lifetime.js";
import type { Step } from "../sim/step.js";
import { EFAULT, EMFILE, ENODEV, ENOTTY, EPERM } from "../uapi/errno.js";
import {
  KVM_CREATE_DEVICE_TEST,
  KVM_DEV_TYPE_MAX,
  KVM_DEV_TYPE_VFIO,
  KVM_GET_DEVICE_ATTR,
  KVM_HAS_DEVICE_ATTR,
  KVM_SET_DEVICE_ATTR,
  kvm_create_device,
  kvm_device_attr,
} from "../uapi/kvm.js";
import { UserArgument } from "../host/user-argument.js";
import { KVM_VFIO } from "./kvm-vfio.js";
import type { Vm } from "./vm.js";

/** One type of KVM_CREATE_DEVICE. */
export interface KvmDeviceType {
  readonly name: string;
  /** Under kvm.lock: the device, or a negative errno. */
  create(vm: Vm): Step<KvmDeviceOps | number>;
}

/** A created device on its VM's list. */
export class KvmDevice {
  readonly lifetime: Lifetime;

  constructor(
    readonly vm: Vm,
    readonly ops: KvmDeviceOps,
  ) {
    this.lifetime = new Lifetime("device", ops.name);
  }

  /** Called for what is still on the list when the VM dies: types without release. An irqchip went with its architecture. */
  *destroy(): Step<void> {
    if (this.ops.destroy !== undefined && this.ops !== this.vm.arch.armIrqchip) yield* this.ops.destroy();
    this.lifetime.free();
  }

  /** kvm.lock held: off the list, then the type's end of life. */
  *unlinkAndRelease(): Step<void> {
    this.vm.devices.splice(this.vm.devices.indexOf(this), 1);
    if (this.ops.release === undefined) return yield* this.destroy();
    yield* this.ops.release();
    this.lifetime.free();
  }
}

/** The descriptor of a device; it keeps the VM alive (kvm-irq-core.md 6.3). */
export class KvmDeviceFile extends File {
  readonly kind = "kvm-device";

  constructor(readonly device: KvmDevice) {
    super();
  }

  override *ioctl(process: Process, request: number, argument: number): Step<number> {
    const refused = this.device.vm.admits(process);
    if (refused !== 0) return refused;
    this.device.lifetime.touch();
    const { ops } = this.device;
    // Called through `ops`, which the accessors are methods of. A missing one is EPERM before the argument is copied.
    switch (request) {
      case KVM_SET_DEVICE_ATTR:
        if (ops.setAttr === undefined) return -EPERM;
        if (!attr.copyIn(process, argument)) return -EFAULT;
        return yield* ops.setAttr(process, group(), attrLo(), attrHi(), address());
      case KVM_GET_DEVICE_ATTR:
        if (ops.getAttr === undefined) return -EPERM;
        if (!attr.copyIn(process, argument)) return -EFAULT;
        return yield* ops.getAttr(process, group(), attrLo(), attrHi(), address());
      case KVM_HAS_DEVICE_ATTR:
        if (ops.hasAttr === undefined) return -EPERM;
        if (!attr.copyIn(process, argument)) return -EFAULT;
        return yield* ops.hasAttr(process, group(), attrLo(), attrHi(), address());
      default:
        return -ENOTTY;
    }
  }

  override *release(): Step<void> {
    const { device } = this;
    const { vm } = device;
    if (device.ops.release !== undefined) {
      yield* vm.lock.lock();
      yield* device.unlinkAndRelease();
      yield* vm.lock.unlock();
    }
    yield* vm.put();
  }
}

const attr = new UserArgument(kvm_device_attr.size);
const group = (): number => kvm_device_attr.group.get(attr.view);
const attrLo = (): number => kvm_device_attr.attr.lo(attr.view) | 0;
const attrHi = (): number => kvm_device_attr.attr.hi(attr.view) | 0;
const address = (): number => kvm_device_attr.addr.getNumber(attr.view);

const create = new UserArgument(kvm_create_device.size);

/** KVM_CREATE_DEVICE (kvm-irq-core.md 6.1). Flag bits other than TEST are ignored. */
export function* createDevice(vm: Vm, process: Process, argument: number): Step<number> {
  if (!create.copyIn(process, argument)) return -EFAULT; // 1
  const number = kvm_create_device.type.get(create.view);
  const flags = kvm_create_device.flags.get(create.view);
  const type = deviceType(vm, number);
  if (type === null) return -ENODEV; // 2
  if ((flags & KVM_CREATE_DEVICE_TEST) !== 0) return 0; // 3
  yield* vm.lock.lock();
  const ops = yield* type.create(vm); // 5
  if (typeof ops === "number") {
    yield* vm.lock.unlock();
    return ops;
  }
  const device = new KvmDevice(vm, ops);
  vm.devices.push(device);
  yield* vm.lock.unlock();
  const fd = process.hasFreeDescriptor() ? process.install(new KvmDeviceFile(device)) : -EMFILE; // 7
  if (fd < 0) {
    yield* vm.lock.lock();
    yield* device.unlinkAndRelease();
    yield* vm.lock.unlock();
    return fd;
  }
  vm.get();
  kvm_create_device.type.set(create.view, number);
  kvm_create_device.fd.set(create.view, fd);
  kvm_create_device.flags.set(create.view, flags);
  return create.copyOut(process, argument) ? 0 : -EFAULT; // 8
}

function deviceType(vm: Vm, type: number): KvmDeviceType | null {
  if (type >= KVM_DEV_TYPE_MAX) return null;
  return type === KVM_DEV_TYPE_VFIO ? KVM_VFIO : vm.arch.deviceType(type);
}
