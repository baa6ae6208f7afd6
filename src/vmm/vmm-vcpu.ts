import type { Process } from "../host/process.js";
import { VcpuThread } from "../kvm/vcpu-thread.js";
import type { Vcpu } from "../kvm/vcpu.js";
import type { Step } from "../sim/step.js";
import { KVM_EXIT_MMIO, kvm_run } from "../uapi/kvm.js";
import type { Vmm } from "./vmm.js";

/** A vCPU's thread in user space: runs it and emulates what comes back. */
export class VmmVcpu extends VcpuThread {
  constructor(
    vcpu: Vcpu,
    process: Process,
    fd: number,
    cpu: number,
    private readonly vmm: Vmm,
  ) {
    super(vcpu, process, fd, cpu);
  }

  /** MMIO is emulated and the vCPU runs on; a system event ends the guest. */
  override *userspace(result: number): Step<boolean> {
    if (result < 0) return false;
    const { memory } = this.process;
    const run = this.vcpu.runAddress;
    if (memory.getU32(run + kvm_run.exit_reason.offset) !== KVM_EXIT_MMIO) return false;
    const address = memory.getU64(run + kvm_run.mmio.phys_addr.offset);
    const size = memory.getU32(run + kvm_run.mmio.len.offset);
    const isWrite = memory.getU8(run + kvm_run.mmio.is_write.offset) !== 0;
    const data = run + kvm_run.mmio.data.offset;
    const handler = this.vmm.mmioAt(address);
    const value = handler === null ? 0 : yield* handler.access(address - handler.start, size, isWrite, memory.getU32(data));
    if (!isWrite) memory.setU64(data, value);
    return true;
  }
}
