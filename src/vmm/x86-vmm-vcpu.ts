import type { Process } from "../host/process.js";
import { VcpuThread } from "../kvm/vcpu-thread.js";
import type { VcpuX86 } from "../kvm/x86-vcpu.js";
import type { Step } from "../sim/step.js";
import { KVM_EXIT_IO, KVM_EXIT_IOAPIC_EOI, KVM_EXIT_MMIO, kvm_run } from "../uapi/kvm.js";
import type { X86Vmm } from "./x86-vmm.js";

/** A vCPU's thread in user space: runs it and emulates what comes back. */
export class X86VmmVcpu extends VcpuThread {
  constructor(
    vcpu: VcpuX86,
    process: Process,
    fd: number,
    cpu: number,
    private readonly vmm: X86Vmm,
  ) {
    super(vcpu, process, fd, cpu);
  }

  /** Accesses are emulated, ends of interrupt told to the IOAPIC, and the vCPU runs on; anything else ends the guest. */
  override *userspace(result: number): Step<boolean> {
    if (result < 0) return false;
    const { memory } = this.process;
    const run = this.vcpu.runAddress;
    switch (memory.getU32(run + kvm_run.exit_reason.offset)) {
      case KVM_EXIT_MMIO:
        yield* this.emulate(run);
        return true;
      case KVM_EXIT_IO:
        return true; // a port that nobody has
      case KVM_EXIT_IOAPIC_EOI:
        if (this.vmm.ioapic !== null) yield* this.vmm.ioapic.endOfInterrupt(memory.getU8(run + kvm_run.eoi.vector.offset));
        return true;
      default:
        return false;
    }
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
