import { current } from "../sim/context.js";
import type { Step } from "../sim/step.js";
import type { Vcpu } from "./vcpu.js";

/** Takes the vCPU's state onto the physical CPU that the calling thread runs on. */
export function* loadVcpu(vcpu: Vcpu): Step<void> {
  const { cpu } = current();
  const { gic } = vcpu.vm.host;
  vcpu.physicalCpu = cpu;
  vcpu.hostCpu = vcpu.vm.host.cpus[cpu];
  vcpu.vm.host.loaded[cpu] = vcpu;
  vcpu.cpuInterface = gic === null ? null : gic.virtualInterface(cpu);
  const { armIrqchip } = vcpu.vm;
  if (armIrqchip !== null) yield* armIrqchip.load(vcpu.index, cpu);
  yield* vcpu.timers.load(cpu);
}

/** Takes it off again. `isBlocking`: it waits for an interrupt, so a host timer stands in for the guest's. */
export function* putVcpu(vcpu: Vcpu, isBlocking: boolean): Step<void> {
  yield* vcpu.timers.put(isBlocking);
  const { armIrqchip } = vcpu.vm;
  if (armIrqchip !== null) yield* armIrqchip.put(vcpu.index);
  vcpu.vm.host.loaded[vcpu.physicalCpu] = null;
  vcpu.physicalCpu = -1;
  vcpu.cpuInterface = null;
}
