import type { Process } from "../host/process.js";
import type { Step } from "../sim/step.js";
import { EEXIST, EINVAL, EMFILE } from "../uapi/errno.js";
import type { VcpuDescriptor } from "./vcpu-descriptor.js";
import type { Vm } from "./vm.js";

/** What an architecture adds to KVM_CREATE_VCPU. */
export interface VcpuFactory {
  /** KVM_MAX_VCPU_IDS: ids are below it. */
  readonly maxIds: number;
  /** Bytes of a vCPU's mapping. */
  readonly mmapSize: number;
  /** kvm.lock held, the VM not full: 0, or the negative errno that the architecture has against a vCPU of this id. */
  refusal(vm: Vm, id: number): number;
  /** kvm.lock held: a vCPU joined to the in-kernel controller and on the architecture's own list, or a negative errno. */
  make(vm: Vm, id: number): Step<VcpuDescriptor | number>;
}

/** KVM_CREATE_VCPU in the order of host-irq.md 4.3. */
export function* createVcpu(vm: Vm, process: Process, id: number): Step<number> {
  const { vcpuFactory: factory, maxVcpus } = vm.arch;
  if (id < 0 || id >= factory.maxIds) return -EINVAL;
  yield* vm.lock.lock();
  const refused = vm.createdVcpus >= maxVcpus ? -EINVAL : factory.refusal(vm, id);
  if (refused === 0) vm.createdVcpus++;
  yield* vm.lock.unlock();
  if (refused < 0) return refused;
  yield* vm.lock.lock();
  const fd = yield* bringOnline(vm, factory, process, id);
  if (fd < 0) vm.createdVcpus--;
  yield* vm.lock.unlock();
  return fd;
}

/** Rows 6 to 8: the descriptor, or a negative errno. */
function* bringOnline(vm: Vm, factory: VcpuFactory, process: Process, id: number): Step<number> {
  if (vm.vcpus.some((other) => other.id === id)) return -EEXIST;
  if (!process.hasFreeDescriptor()) return -EMFILE;
  const file = yield* factory.make(vm, id);
  if (typeof file === "number") return file;
  file.vcpu.runAddress = mapRunPages(process, factory.mmapSize);
  vm.get();
  vm.vcpus.push(file.vcpu);
  return process.install(file);
}

/** Where kvm_run pages go: above what user space maps by itself, with a gap behind each, and below 2^31: see {@link AddressSpace}. */
const RUN_PAGES = 0x7800_0000;

/** Maps `size` bytes for a new vCPU: their address. */
function mapRunPages(process: Process, size: number): number {
  let address = RUN_PAGES;
  while (!process.memory.map(address, size)) address += 2 * size;
  return address;
}
