import { File } from "../host/file.js";
import type { Process } from "../host/process.js";
import type { Step } from "../sim/step.js";
import { EINVAL, EIO } from "../uapi/errno.js";
import { _IOC_TYPE } from "../uapi/ioctl.js";
import { KVM_RUN, KVMIO } from "../uapi/kvm.js";
import type { VcpuCore } from "./vcpu-core.js";
import { runVcpu } from "./vcpu-run.js";

/**
 * The descriptor that KVM_CREATE_VCPU returns, of any architecture (host-irq.md 4.3, 4.5). Closing it drops the VM's
 * reference; the vCPU stays (K27).
 */
export abstract class VcpuDescriptor extends File {
  readonly kind = "kvm-vcpu";
  abstract readonly vcpu: VcpuCore;

  /** A request of the architecture's, vcpu.mutex held: 0 or more, or a negative errno. */
  protected abstract dispatch(process: Process, request: number, argument: number): Step<number>;

  override *ioctl(process: Process, request: number, argument: number): Step<number> {
    const { vcpu } = this;
    if (vcpu.vm.admits(process) < 0) return -EIO;
    if (_IOC_TYPE(request) !== KVMIO) return -EINVAL;
    if (request === KVM_RUN) return yield* runVcpu(vcpu, argument);
    yield* vcpu.mutex.lock();
    const result = yield* this.dispatch(process, request, argument);
    yield* vcpu.mutex.unlock();
    return result;
  }

  /** The pages are there since the vCPU was made; the length is not looked at, beyond them is SIGBUS. */
  override *mmap(process: Process, _length: number, offset: number, _isShared: boolean): Step<number> {
    return process.memory === this.vcpu.vm.process.memory ? this.vcpu.runAddress + offset : -EIO;
  }

  override *release(): Step<void> {
    const { vm, id } = this.vcpu;
    if (vm.hazards.freeVcpuAtClose) vm.vcpus.splice(vm.vcpus.findIndex((each) => each.id === id), 1);
    yield* vm.put();
  }
}
