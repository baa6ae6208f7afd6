import type { ItsVpe } from "../../../host/its/its-vm.js";
import { deschedule, moveHere, schedule } from "../../../host/its/residency.js";
import type { Step } from "../../../sim/step.js";
import type { VgicV4 } from "./v4.js";

// Residency as the GICv4 series of October 2017 had it (gic-v4.md C5.5): from each entry to its exit. Since 2019 it lasts from
// load to put (Linux 8e01d9a396e6).

/** vgic_v4_flush_hwstate. Nobody waits for the redistributor (hazard R12); a VMOVP that fails keeps the vPE away. */
export function* enterVpe(v4: VgicV4, vpe: ItsVpe): Step<void> {
  if (!v4.isSupported) return;
  const moved = yield* moveHere(v4.driver, vpe);
  if (moved < 0) return;
  yield* schedule(v4.driver, vpe, true, true);
  yield* v4.driver.host.setIrqchipState(vpe.irq, "pending", false);
}

/** vgic_v4_sync_hwstate */
export function* leaveVpe(v4: VgicV4, vpe: ItsVpe): Step<void> {
  if (v4.isSupported && vpe.isResident) yield* deschedule(v4.driver, vpe, false);
}

/** kvm_arch_vcpu_blocking: a VLPI that came since the exit has its doorbell pending, masked, which rings now. */
export function* block(v4: VgicV4, vpe: ItsVpe): Step<void> {
  yield* v4.driver.host.enableIrq(vpe.irq);
}

/** kvm_arch_vcpu_unblocking: its handler is over, too. */
export function* unblock(v4: VgicV4, vpe: ItsVpe): Step<void> {
  yield* v4.driver.host.disableIrq(vpe.irq);
}
