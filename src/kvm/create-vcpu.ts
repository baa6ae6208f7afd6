import type { Process } from "../host/process.js";
import type { Step } from "../sim/step.js";
import { KVM_ARM_TARGET_GENERIC_V8 } from "../uapi/arm.js";
import { EBUSY, EEXIST, EFAULT, EINVAL, EMFILE } from "../uapi/errno.js";
import { kvm_userspace_memory_region, kvm_vcpu_init } from "../uapi/kvm.js";
import { UserArgument } from "../host/user-argument.js";
import { VCPU_MMAP_SIZE } from "./run-page.js";
import { Vcpu } from "./arm64/vcpu.js";
import { VcpuFile } from "./arm64/vcpu-ioctl.js";
import type { Vm } from "./vm.js";

/** KVM_MAX_VCPU_IDS of arm64. */
const MAX_VCPU_IDS = 512;

/** KVM_CREATE_VCPU in the order of host-irq.md 4.3. */
export function* createVcpu(vm: Vm, process: Process, id: number): Step<number> {
  if (id < 0 || id >= MAX_VCPU_IDS) return -EINVAL;
  yield* vm.lock.lock();
  const refused = mayCreate(vm, id);
  if (refused === 0) vm.createdVcpus++;
  yield* vm.lock.unlock();
  if (refused < 0) return refused;
  yield* vm.lock.lock();
  const fd = yield* bringOnline(vm, process, id);
  if (fd < 0) vm.createdVcpus--;
  yield* vm.lock.unlock();
  return fd;
}

/** Rows 2 to 4. An id that exists answers EBUSY, too, once the vGIC is initialised. */
function mayCreate(vm: Vm, id: number): number {
  if (vm.createdVcpus >= vm.arch.maxVcpus) return -EINVAL;
  if (vm.armIrqchip !== null && vm.armIrqchip.isInitialized) return -EBUSY;
  return id >= vm.arch.maxVcpus ? -EINVAL : 0;
}

/** Rows 6 to 8: the descriptor, or a negative errno. */
function* bringOnline(vm: Vm, process: Process, id: number): Step<number> {
  if (vm.armVcpus.some((other) => other.id === id)) return -EEXIST;
  if (!process.hasFreeDescriptor()) return -EMFILE;
  const vcpu = new Vcpu(vm, id, vm.armVcpus.length);
  if (vm.armIrqchip !== null) {
    const joined = yield* vm.armIrqchip.vcpuCreated(vcpu);
    if (joined < 0) return joined;
  }
  vcpu.runAddress = mapRunPages(process, VCPU_MMAP_SIZE);
  vm.get();
  vm.armVcpus.push(vcpu);
  vm.vcpus.push(vcpu);
  return process.install(new VcpuFile(vcpu));
}

/** Where kvm_run pages go: above what user space maps by itself, with a gap behind each, and below 2^31: see {@link AddressSpace}. */
const RUN_PAGES = 0x7800_0000;

/** Maps `size` bytes for a new vCPU: their address. */
export function mapRunPages(process: Process, size: number): number {
  let address = RUN_PAGES;
  while (!process.memory.map(address, size)) address += 2 * size;
  return address;
}

/** The host CPU's own target; every one runs as a generic v8 (host-irq.md 4.7). */
export function* preferredTarget(_vm: Vm, process: Process, argument: number): Step<number> {
  const { target, features } = kvm_vcpu_init;
  target.set(INIT.view, KVM_ARM_TARGET_GENERIC_V8);
  for (const word of features) word.set(INIT.view, 0);
  return INIT.copyOut(process, argument) ? 0 : -EFAULT;
}

const INIT = new UserArgument(kvm_vcpu_init.size);
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
