import type { Step } from "../../../sim/step.js";
import type { VgicV4 } from "./v4.js";
import type { VgicIrq } from "../vgic-irq.js";

/** Whoever comes first undoes it: decided and cleared under irq_lock (hazard R7). The reference is given back. */
export function* unmapVlpi(v4: VgicV4, irq: VgicIrq): Step<number> {
  yield* irq.lock.lock();
  const hostIrq = irq.hwintid;
  const wasDirect = irq.hw;
  const vpe = v4.vpeOf(irq.targetVcpu);
  irq.hw = false;
  irq.hwintid = -1;
  yield* irq.lock.unlock();
  if (!wasDirect) return 0;
  if (vpe !== null) vpe.vlpis--;
  v4.leave(irq, hostIrq);
  const result = yield* v4.driver.host.setIrqVcpuAffinity(hostIrq, null);
  yield* v4.dist.lpis.put(irq);
  return result;
}
