import type { Step } from "../../sim/step.js";
import { kvm_run } from "../../uapi/kvm.js";
import { isReadyForInjection } from "./events.js";
import type { VcpuX86 } from "./vcpu.js";

/** What KVM_GET_VCPU_MMAP_SIZE answers on x86: the run page, the port data page, the coalesced ring. */
export const X86_VCPU_MMAP_SIZE = 3 * 4096;
/** KVM_PIO_PAGE_OFFSET: where a port access's data lies in the mapping. */
export const PIO_DATA = 4096;

/** User space waits for an interrupt window; with the full irqchip nobody asks (14.2). */
export function isWindowRequested(vcpu: VcpuX86): boolean {
  return vcpu.arch.irqchipMode !== "full" && vcpu.vm.process.memory.getU8(vcpu.runAddress + kvm_run.request_interrupt_window.offset) !== 0;
}

/** The fields that KVM_RUN keeps current (x86-irqchip.md 14.2). */
export function* saveRunPage(vcpu: VcpuX86): Step<void> {
  const { memory } = vcpu.vm.process;
  const page = vcpu.runAddress;
  const { apic, arch } = vcpu;
  const isReady = arch.irqchipMode === "full" || (yield* isReadyForInjection(vcpu));
  memory.setU8(page + kvm_run.ready_for_interrupt_injection.offset, isReady ? 1 : 0);
  memory.setU8(page + kvm_run.if_flag.offset, vcpu.regs.interruptFlag ? 1 : 0);
  memory.setU32(page + kvm_run.cr8.offset, apic === null ? vcpu.cr8 : apic.cr8());
  memory.setU32(page + kvm_run.cr8.offset + 4, 0);
  memory.setU32(page + kvm_run.apic_base.offset, (apic === null ? vcpu.apicBaseLo : apic.base.low) >>> 0);
  memory.setU32(page + kvm_run.apic_base.offset + 4, (apic === null ? vcpu.apicBaseHi : apic.base.high) >>> 0);
}
