import type { Process } from "../host/process.js";
import type { VcpuX86 } from "../kvm/x86/vcpu.js";
import type { Step } from "../sim/step.js";
import { EAGAIN } from "../uapi/errno.js";
import { KVM_EXIT_IO, KVM_EXIT_IOAPIC_EOI, kvm_run } from "../uapi/kvm.js";
import { VmmVcpu } from "./vmm-vcpu.js";
import type { X86Vmm } from "./x86-vmm.js";

/** The thread of an x86 vCPU: ends of interrupt are told to the VMM's IOAPIC. */
export class X86VmmVcpu extends VmmVcpu {
  constructor(
    vcpu: VcpuX86,
    process: Process,
    fd: number,
    cpu: number,
    private readonly vmm: X86Vmm,
  ) {
    super(vcpu, process, fd, cpu, vmm);
  }

  /** A vCPU that is being started leaves KVM_RUN once, to be called again. */
  override *userspace(result: number): Step<boolean> {
    return result === -EAGAIN || (yield* super.userspace(result));
  }

  protected override *otherExit(reason: number): Step<boolean> {
    if (reason === KVM_EXIT_IO) return true; // a port that nobody has
    if (reason !== KVM_EXIT_IOAPIC_EOI) return false;
    const vector = this.process.memory.getU8(this.vcpu.runAddress + kvm_run.eoi.vector.offset);
    if (this.vmm.ioapic !== null) yield* this.vmm.ioapic.endOfInterrupt(vector);
    return true;
  }
}
