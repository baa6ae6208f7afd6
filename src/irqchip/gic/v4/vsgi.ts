import { clearVsgi, configureVsgi, isVsgiPending, raiseVsgi } from "../../../host/its/vsgis.js";
import type { Step } from "../../../sim/step.js";
import type { VgicCpu } from "../vgic-cpu.js";
import type { VgicDist } from "../vgic-dist.js";
import { VGIC_NR_SGIS, type VgicIrq } from "../vgic-irq.js";

// The guest's SGIs as the hardware's own (GICv4.1, gic-v4.md C7). They have no active state and no list register.

/** May the guest ask for them? GICD_TYPER2.nASSGIcap. */
export const hasVsgis = (dist: VgicDist): boolean => dist.v4 !== null && dist.v4.is41;

/** GICD_CTLR.nASSGIreq has changed: every vCPU leaves the guest, and the SGIs of all change hands (hazard R47). */
export function* switchVsgis(dist: VgicDist): Step<void> {
  yield* dist.vm.haltGuest();
  yield* configureVsgis(dist);
  yield* dist.vm.resumeGuest();
}

/** Also before a restored VM first runs: what was asked for by user space takes effect now. */
export function* configureVsgis(dist: VgicDist): Step<void> {
  const { v4 } = dist;
  if (v4 === null || !v4.hasVpes) return;
  v4.hasVsgis = dist.nassgireq;
  for (let i = 0; i < dist.cpus.length; i++)
    for (let sgi = 0; sgi < VGIC_NR_SGIS; sgi++) {
      const irq = dist.cpus[i].privateIrqs[sgi];
      if (dist.nassgireq) yield* give(dist, irq);
      else yield* takeBack(dist, irq);
    }
}

function* give(dist: VgicDist, irq: VgicIrq): Step<void> {
  yield* irq.lock.lock();
  if (!irq.hw) {
    irq.hw = true;
    yield* pushVsgi(dist, irq);
    if (irq.pendingLatch && !dist.hazards.forgetSgiLatch) yield* pendVsgi(dist, irq, true);
    irq.pendingLatch = false;
  }
  yield* irq.lock.unlock();
}

function* takeBack(dist: VgicDist, irq: VgicIrq): Step<void> {
  yield* irq.lock.lock();
  if (irq.hw) {
    irq.pendingLatch = yield* readVsgi(dist, irq);
    irq.hw = false;
    const vpe = dist.v4?.vpeOf(irq.targetVcpu) ?? null;
    if (dist.v4 !== null && vpe !== null) {
      vpe.sgiConfig[irq.intid].isEnabled = false;
      yield* configureVsgi(dist.v4.driver, vpe, irq.intid);
      yield* clearVsgi(dist.v4.driver, vpe, irq.intid);
    }
  }
  yield* irq.lock.unlock();
}

/** Its enable, group and priority to the hardware; irq_lock is held. */
export function* pushVsgi(dist: VgicDist, irq: VgicIrq): Step<void> {
  const vpe = dist.v4?.vpeOf(irq.targetVcpu) ?? null;
  if (dist.v4 === null || vpe === null) return;
  const config = vpe.sgiConfig[irq.intid];
  config.isEnabled = irq.enabled;
  config.group = irq.group;
  config.priority = irq.priority;
  yield* configureVsgi(dist.v4.driver, vpe, irq.intid);
}

/** Sends one, or takes it back; irq_lock is held. */
export function* pendVsgi(dist: VgicDist, irq: VgicIrq, isPending: boolean): Step<void> {
  const vpe = dist.v4?.vpeOf(irq.targetVcpu) ?? null;
  if (dist.v4 === null || vpe === null) return;
  if (isPending) yield* raiseVsgi(dist.v4.driver, vpe, irq.intid);
  else yield* clearVsgi(dist.v4.driver, vpe, irq.intid);
}

/** irq_lock is held. */
export function* readVsgi(dist: VgicDist, irq: VgicIrq): Step<boolean> {
  const vpe = dist.v4?.vpeOf(irq.targetVcpu) ?? null;
  return dist.v4 !== null && vpe !== null && (yield* isVsgiPending(dist.v4.driver, vpe, irq.intid));
}

/**
 * GICD_CTLR of a guest that may have virtual SGIs: nASSGIreq changes while the distributor is off, or is switched with it.
 * With 4.1 the group enables are the vPE's, so every vCPU schedules it anew.
 */
export function* writeNassgireq(dist: VgicDist, wasEnabled: boolean, isEnabled: boolean, asks: boolean): Step<void> {
  if (!hasVsgis(dist)) return;
  const before = dist.nassgireq;
  if (!(wasEnabled && isEnabled)) dist.nassgireq = asks;
  if (dist.nassgireq !== before) yield* switchVsgis(dist);
  if (wasEnabled !== isEnabled) for (let i = 0; i < dist.cpus.length; i++) yield* requestReload(dist.cpus[i]);
}

function* requestReload(cpu: VgicCpu): Step<void> {
  if (cpu.vcpu.requestReloadGicv4) yield* cpu.vcpu.requestReloadGicv4();
}
