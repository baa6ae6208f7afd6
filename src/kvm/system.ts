import type { DeviceNode } from "../host/device-nodes.js";
import { File } from "../host/file.js";
import type { Process } from "../host/process.js";
import type { Step } from "../sim/step.js";
import { EINVAL, EMFILE } from "../uapi/errno.js";
import { KVM_API_VERSION, KVM_CHECK_EXTENSION, KVM_CREATE_VM, KVM_GET_API_VERSION, KVM_GET_VCPU_MMAP_SIZE } from "../uapi/kvm.js";
import type { Arch } from "./arch.js";
import { commonCapability } from "./capabilities.js";
import type { KvmHost } from "./host.js";
import { Vm, VmFile } from "./vm.js";

/** /dev/kvm, opened: what makes VMs (host-irq.md 4.1, 4.2). */
export class KvmFile extends File {
  readonly kind = "kvm";

  constructor(
    readonly host: KvmHost,
    private readonly arch: Arch,
  ) {
    super();
  }

  override *ioctl(process: Process, request: number, argument: number): Step<number> {
    switch (request) {
      case KVM_GET_API_VERSION:
        return argument === 0 ? KVM_API_VERSION : -EINVAL;
      case KVM_CREATE_VM:
        return this.createVm(process, argument);
      case KVM_CHECK_EXTENSION:
        return commonCapability(argument, this.arch.withheld) ?? this.arch.capability(argument);
      case KVM_GET_VCPU_MMAP_SIZE:
        return argument === 0 ? this.arch.vcpuMmapSize : -EINVAL;
      default:
        return this.arch.systemIoctl === undefined ? -EINVAL : this.arch.systemIoctl(process, request, argument);
    }
  }

  /** The descriptor is reserved before anything is looked at (host-irq.md 4.2). */
  private createVm(process: Process, type: number): number {
    if (!process.hasFreeDescriptor()) return -EMFILE;
    const ipaBits = this.arch.ipaBits(type);
    if (ipaBits < 0) return ipaBits;
    return process.install(new VmFile(new Vm(this.host, process, this.arch, ipaBits)));
  }
}

/** The node /dev/kvm. */
export class KvmNode implements DeviceNode {
  constructor(
    private readonly host: KvmHost,
    private readonly arch: Arch,
  ) {}

  *open(process: Process): Step<number> {
    return process.install(new KvmFile(this.host, this.arch));
  }
}

/** The VM behind a descriptor that KVM_CREATE_VM returned; null for any other file. */
export function vmOf(process: Process, fd: number): Vm | null {
  const file = process.file(fd);
  return file instanceof VmFile ? file.vm : null;
}
