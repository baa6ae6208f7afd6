import { type VlpiMap, vlpiProperties } from "../../../host/its/its-vm.js";
import { VlpiCommand } from "../../../host/its/vlpis.js";
import type { Step } from "../../../sim/step.js";
import { KVM_MSI_VALID_DEVID } from "../../../uapi/kvm.js";
import type { ArmMessage } from "../../contract.js";
import { isLpi, itsOf, translate } from "../its/msi.js";
import type { VgicV4 } from "./v4.js";
import { unmapVlpi } from "./unmap.js";
import type { VgicDist } from "../vgic-dist.js";
import { queueIrqUnlock } from "../vgic-queue.js";

// A device's message interrupt as a VLPI, and back (gic-v4.md C3).

/** kvm_vgic_v4_set_forwarding (C3.2): 0, also where the message is nobody's; else what the host's driver answers. */
export function* setForwarding(dist: VgicDist, hostIrq: number, message: ArmMessage): Step<number> {
  const { v4 } = dist;
  if (v4 === null || !v4.isSupported) return 0;
  const its = itsOf(dist, message);
  if (its === null || (message.flags & KVM_MSI_VALID_DEVID) === 0) return 0;
  yield* its.itsLock.lock(); // MOVI and INV wait, so that target and properties hold until hw says so (hazards R3, R4)
  const found = yield* translate(its, message.devid >>> 0, message.data >>> 0);
  const isUnlocked = dist.hazards.forwardUnlocked;
  if (isUnlocked) yield* its.itsLock.unlock();
  const result = isLpi(found) ? yield* forward(v4, hostIrq, found) : refusal(dist, found);
  if (!isUnlocked) yield* its.itsLock.unlock();
  return result;
}

/** Of a message that raises nothing: it stays software's. [2017] */
const refusal = (dist: VgicDist, error: number): number => (dist.is2017 ? error : 0);

function* forward(v4: VgicV4, hostIrq: number, intid: number): Step<number> {
  const { dist, driver } = v4;
  const irq = yield* dist.lpis.get(intid);
  if (irq === null) return 0;
  yield* irq.lock.lock();
  const { hw, priority, enabled, targetVcpu } = irq;
  yield* irq.lock.unlock();
  const vpe = v4.vpeOf(targetVcpu);
  if ((hw && !dist.is2017) || vpe === null) {
    yield* dist.lpis.put(irq);
    return 0;
  }
  const map: VlpiMap = { vm: v4.vm, vpe, vintid: intid, properties: vlpiProperties(priority, enabled), isDoorbellOn: true };
  const result = yield* driver.host.setIrqVcpuAffinity(hostIrq, new VlpiCommand("map", map));
  if (result < 0 || hw) {
    yield* dist.lpis.put(irq);
    return result;
  }
  yield* vpe.count(1);
  yield* v4.enter(irq, hostIrq); // with the reference
  yield* irq.lock.lock();
  irq.hw = true;
  irq.hwintid = hostIrq;
  // What was pending in software is pending in hardware from now on (hazard R2). [2017]: it is not.
  if (irq.pendingLatch && !dist.hazards.forgetLatch && !dist.is2017) {
    yield* driver.host.setIrqchipState(hostIrq, "pending", true);
    irq.pendingLatch = false;
    yield* queueIrqUnlock(dist, irq);
  } else yield* irq.lock.unlock();
  return 0;
}

/**
 * kvm_vgic_v4_unset_forwarding (C3.3): software injects from now on. 0 where this interrupt is no VLPI.
 *
 * @param message of its route, by which the LPI was found in 2017
 */
export function* unsetForwarding(dist: VgicDist, hostIrq: number, message: ArmMessage): Step<number> {
  const { v4 } = dist;
  if (v4 === null) return 0;
  if (dist.is2017) return yield* unsetByMessage(v4, hostIrq, message);
  const intid = yield* v4.lpiOf(hostIrq);
  const irq = yield* dist.lpis.get(intid);
  if (irq === null) return 0;
  const result = yield* unmapVlpi(v4, irq, hostIrq);
  yield* dist.lpis.put(irq);
  return result;
}

/** [2017]: what the route means now; where that is nothing, as with the ITS switched off, the VLPI stays. */
function* unsetByMessage(v4: VgicV4, hostIrq: number, message: ArmMessage): Step<number> {
  const { dist } = v4;
  const its = itsOf(dist, message);
  if (its === null || (message.flags & KVM_MSI_VALID_DEVID) === 0) return 0;
  yield* its.itsLock.lock();
  const found = yield* translate(its, message.devid >>> 0, message.data >>> 0);
  const irq = isLpi(found) ? yield* dist.lpis.get(found) : null;
  const result = irq === null ? refusal(dist, found) : yield* unmapVlpi(v4, irq, hostIrq);
  if (irq !== null) yield* dist.lpis.put(irq);
  yield* its.itsLock.unlock();
  return result;
}
