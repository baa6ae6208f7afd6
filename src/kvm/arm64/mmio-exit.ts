import { Ev } from "../../sim/event.js";
import type { Step } from "../../sim/step.js";
import { ENOSYS } from "../../uapi/errno.js";
import { KVM_EXIT_ARM_NISV, KVM_EXIT_MMIO, kvm_run } from "../../uapi/kvm.js";
import { BusKind } from "../io-bus.js";
import { CONTINUE, TO_USER } from "../run-result.js";
import { setExitReason } from "../run-page.js";
import type { Vcpu } from "./vcpu.js";

/** A data abort outside the memory slots: an in-kernel device takes it, or it goes to user space (host-irq.md 4.5). */
export function* handleMmio(vcpu: Vcpu): Step<number> {
  const { trap, vm, stat } = vcpu;
  vm.sim.emit(Ev.guest_mmio, vcpu.id, trap.address, trap.isWrite ? 1 : 0);
  if (!trap.hasSyndrome) return withoutSyndrome(vcpu);
  const { buses } = vm;
  const isClaimed = trap.isWrite
    ? yield* buses.guestWrite(BusKind.MMIO, vcpu, trap.address, trap.size, trap.low, trap.high)
    : yield* buses.guestRead(BusKind.MMIO, vcpu, trap.address, trap.size);
  if (isClaimed) {
    stat.mmioExitKernel++;
    if (!trap.isWrite) loadRegister(vcpu, buses.low, buses.high);
    vcpu.regs.pc += 4;
    return CONTINUE;
  }
  stat.mmioExitUser++;
  vcpu.isMmioNeeded = true;
  publish(vcpu);
  return TO_USER;
}

function withoutSyndrome(vcpu: Vcpu): number {
  const { trap, vm } = vcpu;
  if (!vm.nisvToUser) return -ENOSYS;
  setExitReason(vcpu, KVM_EXIT_ARM_NISV);
  vm.process.memory.setU64(vcpu.runAddress + kvm_run.arm_nisv.esr_iss.offset, 0);
  vm.process.memory.setU64(vcpu.runAddress + kvm_run.arm_nisv.fault_ipa.offset, trap.address);
  return TO_USER;
}

function publish(vcpu: Vcpu): void {
  const { trap, runAddress } = vcpu;
  const { memory } = vcpu.vm.process;
  const { mmio } = kvm_run;
  setExitReason(vcpu, KVM_EXIT_MMIO);
  memory.setU64(runAddress + mmio.phys_addr.offset, trap.address);
  memory.setU32(runAddress + mmio.len.offset, trap.size);
  memory.setU8(runAddress + mmio.is_write.offset, trap.isWrite ? 1 : 0);
  if (!trap.isWrite) return;
  memory.setU32(runAddress + mmio.data.offset, trap.low >>> 0);
  memory.setU32(runAddress + mmio.data.offset + 4, trap.high >>> 0);
}

/** The next KVM_RUN completes the access once: the loaded value goes to its register, the instruction is over (K26). */
export function completeMmio(vcpu: Vcpu): void {
  if (!vcpu.isMmioNeeded) return;
  if (!vcpu.vm.hazards.completeTwice) vcpu.isMmioNeeded = false;
  if (!vcpu.trap.isWrite) {
    const { memory } = vcpu.vm.process;
    const data = vcpu.runAddress + kvm_run.mmio.data.offset;
    loadRegister(vcpu, memory.getU32(data) | 0, memory.getU32(data + 4) | 0);
  }
  vcpu.regs.pc += 4;
}

function loadRegister(vcpu: Vcpu, low: number, high: number): void {
  const { trap, regs } = vcpu;
  if (trap.register === 31) return;
  let lo = low;
  let hi = high;
  if (trap.size < 8) {
    const unused = 32 - 8 * Math.min(trap.size, 4);
    lo = trap.isSignExtending ? (lo << unused) >> unused : (lo << unused) >>> unused;
    hi = trap.isSignExtending && trap.is64 ? lo >> 31 : 0;
  }
  regs.xLo[trap.register] = lo;
  regs.xHi[trap.register] = hi;
}
