import { NOT_READ } from "../../irqchip/x86/contract.js";
import { LAPIC_WINDOW } from "../../irqchip/x86/lapic/registers.js";
import { Ev } from "../../sim/event.js";
import type { Step } from "../../sim/step.js";
import { KVM_EXIT_IO, KVM_EXIT_IO_IN, KVM_EXIT_IO_OUT, KVM_EXIT_MMIO, kvm_run } from "../../uapi/kvm.js";
import { BusKind } from "../io-bus.js";
import { CONTINUE, TO_USER } from "../run-result.js";
import { setExitReason } from "../run-page.js";
import { PIO_DATA } from "./run-page.js";
import { noteWindowAccess } from "./vapic.js";
import type { VcpuX86 } from "./vcpu.js";

// IN, OUT, and accesses to addresses that are no memory: an in-kernel device answers, or user space does.

/** IN or OUT. What a read gives is in `trap` when the guest runs again. */
export function* handlePio(vcpu: VcpuX86): Step<number> {
  const { trap, vm, stat } = vcpu;
  stat.ioExits++;
  vm.sim.emit(Ev.kvm_pio, vcpu.id, trap.isWrite ? 1 : 0, trap.address, trap.size, trap.isWrite ? trap.low : 0);
  const isClaimed = yield* onBus(vcpu, BusKind.PIO);
  if (isClaimed) {
    if (!trap.isWrite) finishRead(vcpu);
    return CONTINUE;
  }
  const { memory } = vm.process;
  const { io } = kvm_run;
  const page = vcpu.runAddress;
  setExitReason(vcpu, KVM_EXIT_IO);
  memory.setU8(page + io.direction.offset, trap.isWrite ? KVM_EXIT_IO_OUT : KVM_EXIT_IO_IN);
  memory.setU8(page + io.size.offset, trap.size);
  memory.setU8(page + io.port.offset, trap.address & 0xff);
  memory.setU8(page + io.port.offset + 1, trap.address >> 8);
  memory.setU32(page + io.count.offset, 1);
  memory.setU64(page + io.data_offset.offset, PIO_DATA);
  if (trap.isWrite) memory.setU32(page + PIO_DATA, trap.low >>> 0);
  vcpu.isIoNeeded = true;
  return TO_USER;
}

/** A port that gives nothing leaves the emulator's buffer alone: the guest gets the byte that its last port read gave (6.18). */
function finishRead(vcpu: VcpuX86): void {
  const { trap } = vcpu;
  if (trap.low === NOT_READ && trap.size === 1) trap.low = vcpu.lastPortRead & 0xff;
  else vcpu.lastPortRead = trap.low;
}

/**
 * The access in `trap`, by the controllers in the kernel: the local APIC's window comes before the bus, wherever its base
 * register puts it. False: nothing is at the address.
 */
export function* accessControllers(vcpu: VcpuX86): Step<boolean> {
  const { trap, apic } = vcpu;
  // Addresses from 2^31 on are no small integers to an engine: the difference is made here, where nothing is allocated for it.
  const offset = apic === null ? -1 : trap.address - apic.base.address;
  if (apic === null || offset < 0 || offset >= LAPIC_WINDOW || !apic.base.hasWindow()) return yield* onBus(vcpu, BusKind.MMIO);
  if (trap.isWrite) yield* apic.mmioWrite(offset | 0, trap.size, trap.low);
  else {
    trap.low = yield* apic.mmioRead(offset | 0, trap.size);
    trap.high = 0;
  }
  if (vcpu.vapic.isReported) yield* noteWindowAccess(vcpu, apic, offset | 0);
  return true;
}

/** A load or store that left the guest: a controller in the kernel answers it, or user space does. */
export function* handleX86Mmio(vcpu: VcpuX86): Step<number> {
  const { trap, vm, stat } = vcpu;
  vm.sim.emit(Ev.guest_mmio, vcpu.id, trap.address, trap.isWrite ? 1 : 0);
  const isClaimed = yield* accessControllers(vcpu);
  if (isClaimed) {
    stat.mmioExitKernel++;
    return CONTINUE;
  }
  stat.mmioExitUser++;
  const { memory } = vm.process;
  const { mmio } = kvm_run;
  setExitReason(vcpu, KVM_EXIT_MMIO);
  memory.setU64(vcpu.runAddress + mmio.phys_addr.offset, trap.address);
  memory.setU32(vcpu.runAddress + mmio.len.offset, trap.size);
  memory.setU8(vcpu.runAddress + mmio.is_write.offset, trap.isWrite ? 1 : 0);
  if (trap.isWrite) {
    memory.setU32(vcpu.runAddress + mmio.data.offset, trap.low >>> 0);
    memory.setU32(vcpu.runAddress + mmio.data.offset + 4, trap.high >>> 0);
  }
  vcpu.isIoNeeded = true;
  return TO_USER;
}

/** The access in `trap`, by a device on a bus of the VM. False: nothing is there. */
export function* onBus(vcpu: VcpuX86, kind: BusKind): Step<boolean> {
  const { trap } = vcpu;
  const { buses } = vcpu.vm;
  const address = kind === BusKind.PIO ? trap.address & 0xffff : trap.address;
  if (trap.isWrite) return yield* buses.guestWrite(kind, vcpu, address, trap.size, trap.low, trap.high);
  const isClaimed = yield* buses.guestRead(kind, vcpu, address, trap.size);
  if (isClaimed) {
    trap.low = buses.low;
    trap.high = buses.high;
  }
  return isClaimed;
}

/** The next KVM_RUN: what user space read for the guest. In mode none, CR8 too. */
export function completeIo(vcpu: VcpuX86): void {
  const { memory } = vcpu.vm.process;
  const page = vcpu.runAddress;
  if (vcpu.apic === null) vcpu.cr8 = memory.getU8(page + kvm_run.cr8.offset) & 0xf;
  if (!vcpu.isIoNeeded) return;
  vcpu.isIoNeeded = false;
  const { trap } = vcpu;
  if (trap.isWrite) return;
  const reason = memory.getU32(page + kvm_run.exit_reason.offset);
  const data = reason === KVM_EXIT_IO ? page + PIO_DATA : page + kvm_run.mmio.data.offset;
  trap.low = memory.getU32(data) | 0;
  trap.high = trap.size === 8 ? memory.getU32(data + 4) | 0 : 0;
  if (trap.size < 4) trap.low &= (1 << (8 * trap.size)) - 1;
  if (reason === KVM_EXIT_IO) vcpu.lastPortRead = trap.low;
}
