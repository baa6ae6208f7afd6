import type { Step } from "../../sim/step.js";
import { KVM_EXIT_MMIO, kvm_run } from "../../uapi/kvm.js";
import { BusKind } from "../io-bus.js";
import type { PpcVcpu } from "./vcpu.js";
import { setExitReason } from "../run-page.js";
import { CONTINUE, TO_USER } from "../run-result.js";

/** An access outside the memory slots: an in-kernel device takes it, or it goes to user space. */
export function* handlePpcMmio(vcpu: PpcVcpu): Step<number> {
  const { trap, vm, stat } = vcpu;
  const { buses } = vm;
  const isDone = trap.isWrite
    ? yield* buses.guestWrite(BusKind.MMIO, vcpu, trap.address, trap.size, trap.value, 0)
    : yield* buses.guestRead(BusKind.MMIO, vcpu, trap.address, trap.size);
  if (isDone) {
    stat.mmioExitKernel++;
    if (!trap.isWrite) trap.value = buses.low;
    return CONTINUE;
  }
  stat.mmioExitUser++;
  vcpu.isMmioNeeded = true;
  const { memory } = vm.process;
  const { mmio } = kvm_run;
  setExitReason(vcpu, KVM_EXIT_MMIO);
  memory.setU64(vcpu.runAddress + mmio.phys_addr.offset, trap.address);
  memory.setU32(vcpu.runAddress + mmio.len.offset, trap.size);
  memory.setU8(vcpu.runAddress + mmio.is_write.offset, trap.isWrite ? 1 : 0);
  for (let i = 0; i < trap.size && trap.isWrite; i++) memory.setU8(vcpu.runAddress + mmio.data.offset + i, byteOf(trap.value, trap.size, i));
  return TO_USER;
}

/** Data is in the guest's order of bytes, the most significant first. */
const byteOf = (value: number, size: number, i: number): number => (value >>> (8 * (size - 1 - i))) & 0xff;

/** The next KVM_RUN completes the access, once. */
export function completePpcMmio(vcpu: PpcVcpu): void {
  if (!vcpu.isMmioNeeded) return;
  vcpu.isMmioNeeded = false;
  const { trap, runAddress } = vcpu;
  if (trap.isWrite) return;
  let value = 0;
  for (let i = 0; i < trap.size; i++) value = (value << 8) | vcpu.vm.process.memory.getU8(runAddress + kvm_run.mmio.data.offset + i);
  trap.value = value;
}
