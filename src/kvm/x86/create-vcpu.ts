import type { Process } from "../../host/process.js";
import type { Step } from "../../sim/step.js";
import { EEXIST, EINVAL, EMFILE } from "../../uapi/errno.js";
import { mapRunPages } from "../create-vcpu.js";
import type { Vm } from "../vm.js";
import { X86_VCPU_MMAP_SIZE } from "./run-page.js";
import { Apicv } from "./apicv.js";
import { X86VcpuFile } from "./vcpu-ioctl.js";
import { VcpuX86 } from "./vcpu.js";
import { X86Vm } from "./x86.js";

/** KVM_MAX_VCPU_IDS of x86. */
export const MAX_X86_VCPU_IDS = 4096;

/** KVM_CREATE_VCPU: with a local APIC where one is in the kernel. */
export function* createX86Vcpu(vm: Vm, process: Process, id: number): Step<number> {
  const { arch } = vm;
  if (!(arch instanceof X86Vm) || id < 0 || id >= MAX_X86_VCPU_IDS) return -EINVAL;
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

function* bringOnline(vm: Vm, arch: X86Vm, process: Process, id: number): Step<number> {
  if (arch.vcpus.some((other) => other.id === id)) return -EEXIST;
  if (!process.hasFreeDescriptor()) return -EMFILE;
  const vcpu = new VcpuX86(vm, arch, id, arch.vcpus.length);
  // The map of local APICs that this builds does not have the new vCPU yet: it is not online (x86-irqchip.md 6.2).
  if (arch.apics !== null) vcpu.apic = yield* arch.apics.add(vcpu);
  if (arch.posting !== null && vcpu.apic !== null) vcpu.apicv = yield* Apicv.start(vcpu, vcpu.apic, arch.posting);
  vcpu.runAddress = mapRunPages(process, X86_VCPU_MMAP_SIZE);
  vm.get();
  arch.vcpus.push(vcpu);
  vm.vcpus.push(vcpu);
  return process.install(new X86VcpuFile(vcpu));
}
