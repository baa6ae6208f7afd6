import type { Process } from "../../host/process.js";
import type { KvmDeviceOps } from "../../irqchip/contract.js";
import type { Step } from "../../sim/step.js";
import { KVM_ARM_DEVICE_ID_SHIFT, KVM_ARM_DEVICE_VGIC_V2, KVM_DEV_ARM_VGIC_GRP_ADDR } from "../../uapi/arm.js";
import { EFAULT, ENODEV, ENXIO } from "../../uapi/errno.js";
import { kvm_arm_device_addr, kvm_device_attr } from "../../uapi/kvm.js";
import { UserArgument } from "../../host/user-argument.js";
import { Arm64Vm } from "./arm64.js";
import type { KvmDeviceType } from "../device.js";
import type { Vm } from "../vm.js";

class VgicType implements KvmDeviceType {
  constructor(
    readonly name: string,
    private readonly model: 2 | 3,
  ) {}

  *create(vm: Vm): Step<KvmDeviceOps | number> {
    if (!(vm.arch instanceof Arm64Vm)) return -ENODEV;
    return yield* vm.arch.createIrqchip(this.model);
  }
}
export const VGIC_V2 = new VgicType("kvm-arm-vgic", 2);
export const VGIC_V3 = new VgicType("kvm-arm-vgic-v3", 3);

/** An ITS, before or after the GICv3 that it belongs to. */
export const VGIC_ITS: KvmDeviceType = {
  name: "kvm-arm-vgic-its",
  *create(vm: Vm): Step<KvmDeviceOps | number> {
    return vm.arch instanceof Arm64Vm ? yield* vm.arch.createIts() : -ENODEV;
  },
};

/** KVM_CREATE_IRQCHIP: a GICv2 without a device descriptor (kvm-irq-core.md 4.5). */
export function* createIrqchip(vm: Vm): Step<number> {
  if (!(vm.arch instanceof Arm64Vm) || vm.hostGic === null) return -ENXIO;
  yield* vm.lock.lock();
  const vgic = yield* vm.arch.createIrqchip(2);
  yield* vm.lock.unlock();
  return typeof vgic === "number" ? vgic : 0;
}

const device = new UserArgument(kvm_arm_device_addr.size);

/** KVM_ARM_SET_DEVICE_ADDR: the addresses of a GICv2 from before device attributes, by the same rules (host-irq.md 4.1). */
export function* setDeviceAddr(vm: Vm, process: Process, argument: number): Step<number> {
  if (!device.copyIn(process, argument)) return -EFAULT;
  const id = kvm_arm_device_addr.id.lo(device.view);
  if (((id >>> KVM_ARM_DEVICE_ID_SHIFT) & 0xffff) !== KVM_ARM_DEVICE_VGIC_V2) return -ENODEV;
  if (vm.hostGic === null) return -ENXIO;
  const { armIrqchip } = vm;
  if (armIrqchip === null || armIrqchip.model !== 2 || armIrqchip.setAttr === undefined) return -ENODEV;
  const address = argument + kvm_arm_device_addr.addr.offset;
  return yield* armIrqchip.setAttr(process, KVM_DEV_ARM_VGIC_GRP_ADDR, id & 0xffff, 0, address);
}

const attr = new UserArgument(kvm_device_attr.size);

/** KVM_SET_DEVICE_ATTR and KVM_HAS_DEVICE_ATTR on a VM: virq models no group of the VM's own. */
export function* noVmAttr(_vm: Vm, process: Process, argument: number): Step<number> {
  return attr.copyIn(process, argument) ? -ENXIO : -EFAULT;
}
