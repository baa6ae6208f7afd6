import type { Process } from "../host/process.js";
import type { VcpuCore } from "../kvm/vcpu-core.js";
import { VcpuThread } from "../kvm/vcpu-thread.js";
import type { Waitable } from "../sim/access.js";
import type { Step } from "../sim/step.js";
import { KVM_EXIT_MMIO, kvm_run } from "../uapi/kvm.js";
import type { VmmCore } from "./vmm-core.js";

/** A vCPU's thread in user space: runs it and lets its VMM emulate what comes back. Open, to who waits for it, while it has stopped. */
export class VmmVcpu extends VcpuThread implements Waitable {
  /** It is out of KVM_RUN, with nothing left to complete, and stays there until it is woken. */
  isStopped = true;

  constructor(
    vcpu: VcpuCore,
    process: Process,
    fd: number,
    cpu: number,
    private readonly vmm: VmmCore,
  ) {
    super(vcpu, process, fd, cpu);
  }

  /** MMIO is emulated and the vCPU runs on; so it does after other exits that the architecture knows. The rest ends the guest. */
  override *userspace(result: number): Step<boolean> {
    const runsAgain = yield* this.serve(result);
    this.isStopped = !runsAgain;
    return runsAgain;
  }

  isOpen(): boolean {
    return this.isStopped;
  }

  private *serve(result: number): Step<boolean> {
    if (result < 0) return this.vmm.runsAgain(result);
    const reason = this.process.memory.getU32(this.vcpu.runAddress + kvm_run.exit_reason.offset);
    if (reason !== KVM_EXIT_MMIO) return yield* this.vmm.handleExit(this, reason);
    yield* this.emulate(this.vcpu.runAddress);
    return true;
  }

  private *emulate(run: number): Step<void> {
    const { memory } = this.process;
    const address = memory.getU64(run + kvm_run.mmio.phys_addr.offset);
    const size = memory.getU32(run + kvm_run.mmio.len.offset);
    const isWrite = memory.getU8(run + kvm_run.mmio.is_write.offset) !== 0;
    const data = run + kvm_run.mmio.data.offset;
    const handler = this.vmm.mmioAt(address);
    const value = handler === null ? 0 : yield* handler.access(address - handler.start, size, isWrite, memory.getU32(data));
    if (!isWrite) memory.setU64(data, value);
  }
}
