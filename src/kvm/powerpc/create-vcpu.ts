import type { Process } from "../../host/process.js";
import type { Step } from "../../sim/step.js";
import { EEXIST, EINVAL, EMFILE } from "../../uapi/errno.js";
import { mapRunPages } from "../create-vcpu.js";
import { archOfPpc, MAX_PPC_VCPU_IDS, PPC_VCPU_MMAP_SIZE, type PpcVm } from "./powerpc.js";
import { PpcVcpuFile } from "./vcpu-ioctl.js";
import { PpcVcpu } from "./vcpu.js";
import type { Vm } from "../vm.js";

/** KVM_CREATE_VCPU. */
export function* createPpcVcpu(vm: Vm, process: Process, id: number): Step<number> {
  if (id < 0 || id >= MAX_PPC_VCPU_IDS) return -EINVAL;
  const arch = archOfPpc(vm);
  yield* vm.lock.lock();
  const isFull = vm.createdVcpus >= arch.maxVcpus;
  if (!isFull) vm.createdVcpus++;
  yield* vm.lock.unlock();
  if (isFull) return -EINVAL;
  yield* vm.lock.lock();
  const fd = yield* bringOnline(vm, arch, process, id);
  if (fd < 0) vm.createdVcpus--;
  yield* vm.lock.unlock();
  return fd;
}

function* bringOnline(vm: Vm, arch: PpcVm, process: Process, id: number): Step<number> {
  if (arch.vcpus.some((other) => other.id === id)) return -EEXIST;
  if (!process.hasFreeDescriptor()) return -EMFILE;
  const vcpu = new PpcVcpu(vm, arch, id, arch.vcpus.length);
  const joined = arch.connectsAll ? yield* arch.connectCreated(vcpu) : 0;
  if (joined < 0) return joined;
  vcpu.runAddress = mapRunPages(process, PPC_VCPU_MMAP_SIZE);
  vm.get();
  arch.vcpus.push(vcpu);
  vm.vcpus.push(vcpu);
  return process.install(new PpcVcpuFile(vcpu));
}
