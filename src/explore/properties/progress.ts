import { Sleep, type VcpuCore, VcpuMode } from "../../kvm/vcpu-core.js";
import { run } from "../../sim/step.js";
import type { Property } from "../property.js";

/** host-irq.md 3.3, 3.4: no wake-up and no kick is lost. The one property that looks at a machine, when all is quiet. */
export class Progress implements Property {
  readonly name = "progress";
  readonly sentence = "a guest that waits for a pending, enabled interrupt wakes";

  constructor(private readonly vcpus: readonly VcpuCore[]) {}

  end(): string | null {
    for (const vcpu of this.vcpus) {
      if (vcpu.sleep === Sleep.WAITING && run(vcpu.isRunnable())) return `vCPU ${vcpu.id} sleeps although an interrupt is pending for it`;
      if (vcpu.mode === VcpuMode.IN_GUEST_MODE && vcpu.requests !== 0) return `vCPU ${vcpu.id} stays in its guest although it was asked to leave`;
    }
    return null;
  }
}
