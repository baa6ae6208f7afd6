import { current } from "../sim/context.js";
import type { Step } from "../sim/step.js";
import type { VcpuCore } from "./vcpu-core.js";

/** Takes the vCPU's state onto the physical CPU that the calling thread runs on. */
export function* loadVcpu(vcpu: VcpuCore): Step<void> {
  const { cpu } = current();
  vcpu.physicalCpu = cpu;
  vcpu.hostCpu = vcpu.vm.host.cpus[cpu];
  yield* vcpu.load(cpu);
}

/** Takes it off again. `isBlocking`: it waits for an interrupt, so a host timer stands in for the guest's. */
export function* putVcpu(vcpu: VcpuCore, isBlocking: boolean): Step<void> {
  yield* vcpu.put(isBlocking);
  vcpu.physicalCpu = -1;
}
