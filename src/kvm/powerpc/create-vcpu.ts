import type { Step } from "../../sim/step.js";
import type { VcpuFactory } from "../create-vcpu.js";
import { EINVAL } from "../../uapi/errno.js";
import { MAX_PPC_VCPU_IDS, PPC_VCPU_MMAP_SIZE, type PpcVm } from "./powerpc.js";
import { PpcVcpuFile } from "./vcpu-ioctl.js";
import { PpcVcpu } from "./vcpu.js";
import type { Vm } from "../vm.js";

/** vCPUs of POWER, connected to the controller that KVM_CREATE_IRQCHIP_ARGS made. */
export class PpcVcpus implements VcpuFactory {
  readonly maxIds = MAX_PPC_VCPU_IDS;
  readonly mmapSize = PPC_VCPU_MMAP_SIZE;

  constructor(private readonly arch: PpcVm) {}

  /** One that could not be connected to the controller of KVM_CREATE_IRQCHIP_ARGS. */
  refusal(_vm: Vm, id: number): number {
    return this.arch.connectsAll && !this.arch.canConnect(id) ? -EINVAL : 0;
  }

  *make(vm: Vm, id: number): Step<PpcVcpuFile | number> {
    const { arch } = this;
    const vcpu = new PpcVcpu(vm, arch, id, arch.vcpus.length);
    const joined = arch.connectsAll ? yield* arch.connectCreated(vcpu) : 0;
    if (joined < 0) return joined;
    arch.vcpus.push(vcpu);
    return new PpcVcpuFile(vcpu);
  }
}
