import { IchVmcr } from "../../arch/gic/gich.js";
import type { Step } from "../../sim/step.js";
import type { VgicCpu } from "./vgic-cpu.js";
import { currentVmcr } from "./vgic-cpuif.js";
import type { VgicDist } from "./vgic-dist.js";
import { beginActiveAccess, clearActive, endActiveAccess } from "./vgic-state.js";
import { endOutsideLr } from "./vgic-sync.js";

const V2_INTID_MASK = 0x3ff;
const V2_CPUID_SHIFT = 10;

/**
 * A trapped ICC_DIR_EL1 or GICC_DIR (gic-v3.md A9.10, hazard R50): the interrupt may be active outside the list
 * registers, or on another vCPU. In a list register anywhere, its state cannot be seen from here, so everything is
 * halted and folded as for ICACTIVER.
 */
export function* deactivateTrapped(dist: VgicDist, cpu: VgicCpu, value: number): Step<void> {
  const vmcr = yield* currentVmcr(cpu);
  const intid = dist.model === 2 ? value & V2_INTID_MASK : value;
  if ((vmcr & IchVmcr.EOIM) === 0 || intid < 0 || intid >= dist.nrIrqs || dist.hazards.ignoreDir) return;
  const irq = dist.irq(cpu, intid);
  if (irq === null) return;

  yield* irq.lock.lock();
  const holder = irq.vcpu;
  const { onLr } = irq;
  const isSource = dist.model === 3 || !irq.isSgi() || irq.activeSource === ((value >>> V2_CPUID_SHIFT) & 7);
  const isEnded = irq.active && isSource;
  yield* irq.lock.unlock();
  if (holder === null) return;

  if (onLr) {
    yield* beginActiveAccess(dist, intid);
    yield* clearActive(dist, irq, cpu);
    yield* endActiveAccess(dist, intid);
  } else if (isEnded) yield* endOutsideLr(dist, cpu, irq);
  yield* holder.vcpu.requestProcessUpdate();
}
