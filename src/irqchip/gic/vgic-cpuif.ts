import { IchVmcr } from "../../arch/gic/gich.js";
import { reads, writes } from "../../sim/access.js";
import type { Step } from "../../sim/step.js";
import { loadVpe, putVpe } from "./v4/run.js";
import type { VgicCpu } from "./vgic-cpu.js";
import type { VgicDist } from "./vgic-dist.js";

/** Takes the vCPU's CPU interface onto a physical CPU: the guest's controls and active priorities. */
export function* loadCpuInterface(dist: VgicDist, cpu: VgicCpu, physicalCpu: number): Step<void> {
  if (cpu.vif !== null) throw new Error(`vCPU ${cpu.index} is loaded twice`);
  const vif = dist.hostGic.virtualInterface(physicalCpu);
  cpu.vif = vif;
  cpu.physicalCpu = physicalCpu;
  yield writes(vif, "VMCR");
  vif.vmcr = cpu.vmcr;
  for (let i = 0; i < vif.ap0r.length; i++) vif.ap0r[i] = cpu.ap0r[i];
  if (dist.model === 3) for (let i = 0; i < vif.ap1r.length; i++) vif.ap1r[i] = cpu.ap1r[i];
  vif.hcr = 0;
  yield* vif.update();
  const { v4 } = dist;
  if (v4 !== null && v4.hasVpes) yield* loadVpe(v4, v4.cpus[cpu.index]);
}

/** Takes it off again; the list registers were read back at the last exit. */
export function* putCpuInterface(dist: VgicDist, cpu: VgicCpu): Step<void> {
  const { vif } = cpu;
  if (vif === null) return;
  const { v4 } = dist;
  if (v4 !== null && v4.hasVpes) yield* putVpe(v4, v4.cpus[cpu.index]);
  yield writes(vif, "VMCR");
  cpu.vmcr = vif.vmcr;
  for (let i = 0; i < vif.ap0r.length; i++) cpu.ap0r[i] = vif.ap0r[i];
  if (dist.model === 3) for (let i = 0; i < vif.ap1r.length; i++) cpu.ap1r[i] = vif.ap1r[i];
  vif.hcr = 0;
  cpu.vif = null;
  cpu.physicalCpu = -1;
}

/** ICH_VMCR_EL2 or GICH_VMCR as it is now. */
export function* currentVmcr(cpu: VgicCpu): Step<number> {
  const { vif } = cpu;
  if (vif === null) return cpu.vmcr;
  yield reads(vif, "VMCR");
  return vif.vmcr;
}

/**
 * Is there an enabled, pending interrupt above the guest's priority mask (gic-v3.md A9.6)? Group enables and the
 * running priority are not asked: a spurious wake-up is allowed, a missed one is not.
 */
export function* isPendingFor(dist: VgicDist, cpu: VgicCpu): Step<boolean> {
  const vpe = dist.v4?.vpeOf(cpu) ?? null;
  if (vpe !== null) {
    // A hint, also of what is masked (gic-v4.md C5.3).
    yield reads(vpe, "pendingLast");
    if (vpe.pendingLast) return true;
  }
  yield reads(dist, "enabled");
  if (!dist.enabled) return false;
  const vmcr = yield* currentVmcr(cpu);
  const mask = (vmcr >>> IchVmcr.PMR_SHIFT) & 0xff;
  let found = false;
  yield* cpu.apList.lock.lock();
  for (let irq = cpu.apList.head; irq !== null && !found; irq = irq.apNext) {
    yield* irq.lock.lock();
    found = irq.isPending() && irq.enabled && !irq.active && irq.priority < mask;
    yield* irq.lock.unlock();
  }
  yield* cpu.apList.lock.unlock();
  return found;
}

/** Has every vCPU look for which something is pending. */
export function* kickVcpus(dist: VgicDist): Step<void> {
  for (let i = 0; i < dist.cpus.length; i++) {
    const isPending = yield* isPendingFor(dist, dist.cpus[i]);
    if (isPending) yield* dist.cpus[i].vcpu.requestIrqPending();
  }
}
