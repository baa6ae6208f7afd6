import type { Process } from "../../host/process.js";
import { UserArgument } from "../../host/user-argument.js";
import type { Step } from "../../sim/step.js";
import { KVM_ARM_TARGET_GENERIC_V8 } from "../../uapi/arm.js";
import { EBUSY, EFAULT, EINVAL } from "../../uapi/errno.js";
import { kvm_vcpu_init } from "../../uapi/kvm.js";
import type { VcpuFactory } from "../create-vcpu.js";
import { VCPU_MMAP_SIZE } from "../run-page.js";
import { Vcpu } from "./vcpu.js";
import { VcpuFile } from "./vcpu-ioctl.js";
import type { Vm } from "../vm.js";

/** vCPUs of arm64, with their part of the vGIC where there is one. */
class Arm64Vcpus implements VcpuFactory {
  /** KVM_MAX_VCPU_IDS of arm64. */
  readonly maxIds = 512;
  readonly mmapSize = VCPU_MMAP_SIZE;

  /** Rows 3 and 4 of host-irq.md 4.3. An id that exists answers EBUSY, too, once the vGIC is initialised. */
  refusal(vm: Vm, id: number): number {
    if (vm.armIrqchip !== null && vm.armIrqchip.isInitialized && !vm.hazards.vcpuAfterInit) return -EBUSY;
    return id >= vm.arch.maxVcpus ? -EINVAL : 0;
  }

  *make(vm: Vm, id: number): Step<VcpuFile | number> {
    const vcpu = new Vcpu(vm, id, vm.armVcpus.length);
    const joined = vm.armIrqchip === null ? 0 : yield* vm.armIrqchip.vcpuCreated(vcpu);
    if (joined < 0) return joined;
    vm.armVcpus.push(vcpu);
    return new VcpuFile(vcpu);
  }
}
export const ARM64_VCPUS: VcpuFactory = new Arm64Vcpus();

const INIT = new UserArgument(kvm_vcpu_init.size);

/** The host CPU's own target; every one runs as a generic v8 (host-irq.md 4.7). */
export function* preferredTarget(_vm: Vm, process: Process, argument: number): Step<number> {
  const { target, features } = kvm_vcpu_init;
  target.set(INIT.view, KVM_ARM_TARGET_GENERIC_V8);
  for (const word of features) word.set(INIT.view, 0);
  return INIT.copyOut(process, argument) ? 0 : -EFAULT;
}
