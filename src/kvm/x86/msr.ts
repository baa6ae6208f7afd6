import type { Step } from "../../sim/step.js";
import { MSR_IA32_APICBASE, MSR_IA32_TSC, MSR_KVM_PV_EOI_EN } from "../../uapi/x86.js";
import type { VcpuX86 } from "./vcpu.js";

// The model specific registers that interrupts need; the value goes through the vCPU's `trap`.

/** False: a general protection fault for the guest. */
export function* readMsr(vcpu: VcpuX86, msr: number): Step<boolean> {
  const { trap, apic } = vcpu;
  if (msr === MSR_IA32_TSC) {
    const now = vcpu.vm.sim.now();
    trap.low = now | 0;
    trap.high = Math.floor(now / 0x1_0000_0000) | 0;
    return true;
  }
  if (msr === MSR_KVM_PV_EOI_EN) {
    vcpu.pvEoi.read(trap);
    return true;
  }
  if (apic === null) {
    trap.low = vcpu.apicBaseLo;
    trap.high = vcpu.apicBaseHi;
    return msr === MSR_IA32_APICBASE;
  }
  const isRead = yield* apic.msrRead(msr);
  trap.low = apic.msrLow;
  trap.high = apic.msrHigh;
  return isRead;
}

/** `isHost`: user space writes, by its rules. */
export function* writeMsr(vcpu: VcpuX86, msr: number, isHost: boolean): Step<boolean> {
  const { trap, apic } = vcpu;
  if (msr === MSR_IA32_TSC) return true;
  if (msr === MSR_KVM_PV_EOI_EN) return vcpu.apic !== null && vcpu.pvEoi.enable(trap.low, trap.high);
  if (apic !== null) return yield* apic.msrWrite(msr, trap.low, trap.high, isHost);
  if (msr !== MSR_IA32_APICBASE) return false;
  vcpu.apicBaseLo = trap.low;
  vcpu.apicBaseHi = trap.high;
  return true;
}
