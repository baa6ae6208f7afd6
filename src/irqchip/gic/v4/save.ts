import { Irqs } from "../../../host/irq/desc.js";
import { reads } from "../../../sim/access.js";
import type { Step } from "../../../sim/step.js";
import { freeDoorbells, requestDoorbells } from "./init.js";
import type { VgicV4 } from "./v4.js";
import type { VgicCpu } from "../vgic-cpu.js";
import type { VgicDist } from "../vgic-dist.js";

// Pending VLPIs into the guest's tables (gic-v4.md C6): GICv4.1 can, once no vPE is mapped (hazard R46).

/**
 * Every vPE leaves the ITSs: what they cache goes into the pending tables. Their doorbells are freed for it, so that none is
 * handled meanwhile (Linux ef3691683d7b).
 */
export function* unmapVpes(v4: VgicV4): Step<void> {
  if (v4.dist.hazards.saveBesideDescriptors) yield* callBeside(v4, false);
  else yield* freeDoorbells(v4, v4.cpus.length);
}

/** And back, whatever happened between. */
export function* mapVpes(v4: VgicV4): Step<void> {
  if (v4.dist.hazards.saveBesideDescriptors) yield* callBeside(v4, true);
  else yield* requestDoorbells(v4);
}

/** Without its rule: the state word is loaded and stored with nobody kept out in between, INPROGRESS and all. */
function* callBeside(v4: VgicV4, isActive: boolean): Step<void> {
  for (let i = 0; i < v4.cpus.length; i++) {
    const desc = v4.driver.host.desc(v4.cpus[i].vpe.irq);
    if (desc === null) continue;
    const { chip } = desc.data;
    if (isActive && chip.activate) yield* chip.activate(desc.data);
    if (!isActive && chip.deactivate) yield* chip.deactivate(desc.data);
    yield* desc.lock.lock();
    const { state, inProgress } = desc;
    yield* desc.lock.unlock();
    yield* desc.lock.lock();
    desc.state = isActive ? state | Irqs.ACTIVATED : state & ~Irqs.ACTIVATED;
    desc.inProgress = inProgress;
    yield* desc.lock.unlock();
  }
}

/** The bit of a VLPI in its vPE's pending table. */
export function* isVlpiPending(dist: VgicDist, target: VgicCpu | null, intid: number): Step<boolean> {
  const vpe = dist.v4?.vpeOf(target) ?? null;
  if (dist.v4 === null || vpe === null) return false;
  const { gic } = dist.v4.driver;
  yield reads(gic, "GIC");
  return ((gic.ram.u8(vpe.vpt + (intid >>> 3)) >>> (intid & 7)) & 1) !== 0;
}
