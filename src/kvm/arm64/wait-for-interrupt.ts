import type { Step } from "../../sim/step.js";
import { haltVcpu } from "../halt.js";
import type { Vcpu } from "./vcpu.js";

/**
 * kvm_vcpu_wfi: WFI, and what KVM takes for one, PSCI's CPU_SUSPEND: with a doorbell for what comes past the host (gic-v4.md
 * C5.4). {@link Vcpu.haltEnded} ends it.
 */
export function* waitForInterrupt(vcpu: Vcpu): Step<number> {
  const { armIrqchip } = vcpu.vm;
  if (armIrqchip !== null) yield* armIrqchip.beginWfi(vcpu.index);
  return yield* haltVcpu(vcpu);
}
