import type { Step } from "../../sim/step.js";
import type { VcpuFactory } from "../create-vcpu.js";
import type { Vm } from "../vm.js";
import { X86_VCPU_MMAP_SIZE } from "./run-page.js";
import { Apicv } from "./apicv.js";
import { X86VcpuFile } from "./vcpu-ioctl.js";
import { VcpuX86 } from "./vcpu.js";
import type { X86Vm } from "./x86.js";

/** KVM_MAX_VCPU_IDS of x86. */
export const MAX_X86_VCPU_IDS = 4096;

/** vCPUs of x86, with a local APIC where one is in the kernel. */
export class X86Vcpus implements VcpuFactory {
  readonly maxIds = MAX_X86_VCPU_IDS;
  readonly mmapSize = X86_VCPU_MMAP_SIZE;

  constructor(private readonly arch: X86Vm) {}

  refusal(): number {
    return 0;
  }

  *make(vm: Vm, id: number): Step<X86VcpuFile> {
    const { arch } = this;
    const vcpu = new VcpuX86(vm, arch, id, arch.vcpus.length);
    // The map of local APICs that this builds does not have the new vCPU yet: it is not online (x86-irqchip.md 6.2).
    if (arch.apics !== null) vcpu.apic = yield* arch.apics.add(vcpu);
    if (arch.posting !== null && vcpu.apic !== null) vcpu.apicv = yield* Apicv.start(vcpu, vcpu.apic, arch.posting);
    arch.vcpus.push(vcpu);
    return new X86VcpuFile(vcpu);
  }
}
