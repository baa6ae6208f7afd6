import type { Step } from "../../../sim/step.js";
import type { VgicV4 } from "./v4.js";
import type { VgicIrq } from "../vgic-irq.js";

/**
 * Whoever comes first undoes it: decided and cleared under irq_lock (hazard R7). The reference of {@link VgicV4.enter} is
 * given back.
 *
 * @param hostIrq -1: whichever it is
 */
export function* unmapVlpi(v4: VgicV4, irq: VgicIrq, hostIrq = -1): Step<number> {
  yield* irq.lock.lock();
  const { hw, hwintid } = irq;
  const vpe = v4.vpeOf(irq.targetVcpu);
  const isMine = hw && (hostIrq < 0 || hwintid === hostIrq);
  if (v4.dist.hazards.unmapInTwoSteps) {
    yield* irq.lock.unlock();
    yield* irq.lock.lock();
  }
  if (isMine) {
    irq.hw = false;
    irq.hwintid = -1;
  }
  yield* irq.lock.unlock();
  if (!isMine) return 0;
  if (vpe !== null) yield* vpe.count(-1);
  yield* v4.leave(irq, hwintid);
  const result = yield* v4.driver.host.setIrqVcpuAffinity(hwintid, null);
  yield* v4.dist.lpis.put(irq);
  return result;
}
