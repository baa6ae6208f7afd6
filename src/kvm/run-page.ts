import { kvm_run } from "../uapi/kvm.js";
import type { VcpuCore } from "./vcpu-core.js";

// kvm_run, at `vcpu.runAddress` in the memory of the process (host-irq.md 4.4).

/** What KVM_GET_VCPU_MMAP_SIZE answers on arm64: the run page and the coalesced ring. */
export const VCPU_MMAP_SIZE = 8192;

export function exitReason(vcpu: VcpuCore): number {
  return vcpu.vm.process.memory.getU32(vcpu.runAddress + kvm_run.exit_reason.offset);
}

export function setExitReason(vcpu: VcpuCore, reason: number): void {
  vcpu.vm.process.memory.setU32(vcpu.runAddress + kvm_run.exit_reason.offset, reason);
}

export function immediateExit(vcpu: VcpuCore): number {
  return vcpu.vm.process.memory.getU8(vcpu.runAddress + kvm_run.immediate_exit.offset);
}

export function setRunFlags(vcpu: VcpuCore, flags: number): void {
  const { memory } = vcpu.vm.process;
  memory.setU8(vcpu.runAddress + kvm_run.flags.offset, flags & 0xff);
  memory.setU8(vcpu.runAddress + kvm_run.flags.offset + 1, flags >> 8);
}
