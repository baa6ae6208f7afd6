import type { Process } from "../host/process.js";
import { UserArgument } from "../host/user-argument.js";
import type { Step } from "../sim/step.js";
import { EFAULT } from "../uapi/errno.js";
import { kvm_userspace_memory_region } from "../uapi/kvm.js";
import type { Vm } from "./vm.js";

const REGION = new UserArgument(kvm_userspace_memory_region.size);
const PAGE_MASK = 0xfff;
const TWO32 = 0x1_0000_0000;

/** KVM_SET_USER_MEMORY_REGION (host-irq.md 4.6). */
export function* setUserMemoryRegion(vm: Vm, process: Process, argument: number): Step<number> {
  if (!REGION.copyIn(process, argument)) return -EFAULT;
  const { view } = REGION;
  const { slot, flags, guest_phys_addr, memory_size, userspace_addr } = kvm_userspace_memory_region;
  const low = (guest_phys_addr.lo(view) | memory_size.lo(view) | userspace_addr.lo(view)) & PAGE_MASK;
  const carry = guest_phys_addr.lo(view) + memory_size.lo(view) >= TWO32 ? 1 : 0;
  const wraps = guest_phys_addr.hi(view) + memory_size.hi(view) + carry >= TWO32;
  const number = slot.get(view);
  const flagBits = flags.get(view);
  const gpa = guest_phys_addr.getNumber(view);
  const size = memory_size.getNumber(view);
  const hva = userspace_addr.getNumber(view);
  yield* vm.slotsLock.lock();
  const result = yield* vm.slots.set(number, flagBits, gpa, size, hva, low === 0, wraps);
  yield* vm.srcu.synchronize();
  yield* vm.slotsLock.unlock();
  return result;
}
