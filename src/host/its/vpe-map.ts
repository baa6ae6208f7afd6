import { encodeVmapp, encodeVmovp, encodeVpe, extendVmapp } from "../../arch/gic/its-encode.js";
import { ItsVOp } from "../../arch/gic/its-command.js";
import { reads, writes } from "../../sim/access.js";
import { Ev } from "../../sim/event.js";
import type { Step } from "../../sim/step.js";
import type { ItsDriver } from "./its-driver.js";
import type { ItsNode } from "./its-node.js";
import type { ItsVm, ItsVpe } from "./its-vm.js";
import { moveDoorbell } from "./vpe-proxy.js";

// vPEs on the ITSs: VMAPP and VMOVP (gic-v4.md C1.5, C1.7).

export const VPE_ID_BITS = 16;

/** VMAPP of one vPE on one ITS; mapping it ends with VINVALL, so that nothing old is in a cache. */
export function* sendVmapp(driver: ItsDriver, node: ItsNode, vpe: ItsVpe, isValid: boolean): Step<void> {
  const vprop = vpe.vm?.vprop ?? 0;
  yield reads(vpe, "cpu");
  const { cpu } = vpe;
  yield* node.lock.lock();
  encodeVmapp(node.words, vpe.id, node.rdbaseOf(cpu, true), { vpt: vpe.vpt, idBits: VPE_ID_BITS, isValid });
  if (driver.is41) {
    // Alloc with the first mapping anywhere, and with the last.
    const isEdge = isValid ? vpe.mappings++ === 0 : --vpe.mappings === 0;
    extendVmapp(node.words, vprop, vpe.doorbellLpi, isEdge, isEdge && isValid && vpe.isFresh);
    vpe.isFresh = false;
  }
  if (isValid || !driver.is41) yield* node.sendAndVsync(vpe.id);
  else yield* node.send(); // the vPE is gone, nobody could answer
  if (isValid) {
    encodeVpe(node.words, ItsVOp.VINVALL, vpe.id);
    yield* node.sendAndVsync(vpe.id);
  }
  yield* node.lock.unlock();
}

/** With the ITS list: the first vLPI of a VM on an ITS maps all its vPEs there. */
export function* mapVmOn(driver: ItsDriver, node: ItsNode, vm: ItsVm): Step<void> {
  yield* vm.vmappLock.lock();
  if (vm.vlpis[node.number]++ === 0 && driver.usesList) yield* mapVpes(driver, node, vm, true);
  yield* vm.vmappLock.unlock();
}

/** The last one unmaps them. */
export function* unmapVmOn(driver: ItsDriver, node: ItsNode, vm: ItsVm): Step<void> {
  yield* vm.vmappLock.lock();
  if (--vm.vlpis[node.number] === 0 && driver.usesList) yield* mapVpes(driver, node, vm, false);
  yield* vm.vmappLock.unlock();
}

/** Each under its lock, so that it is mapped where it is (Linux a84a07fa3100). */
function* mapVpes(driver: ItsDriver, node: ItsNode, vm: ItsVm, isValid: boolean): Step<void> {
  const isLocked = !driver.sim.hazards.moveUnlocked;
  for (let i = 0; i < vm.vpes.length; i++) {
    const vpe = vm.vpes[i];
    if (isLocked) yield* vpe.lock.lock();
    yield reads(vpe, "cpu");
    if (vpe.cpu < 0) {
      yield writes(vpe, "cpu");
      vpe.cpu = firstOnline(driver);
    }
    yield* sendVmapp(driver, node, vpe, isValid);
    if (isLocked) yield* vpe.lock.unlock();
  }
}

export function firstOnline(driver: ItsDriver): number {
  return driver.host.irqs.online()[0] ?? 0;
}

/** its_vpe_set_affinity: the vPE's redistributor is another CPU's from now on. The doorbell goes along. */
export function* moveVpe(driver: ItsDriver, vpe: ItsVpe, cpu: number): Step<void> {
  const { moveUnlocked, vmappInsideVpe } = driver.sim.hazards;
  const vm = driver.usesList && !moveUnlocked ? vpe.vm : null;
  // The VM's before the vPE's, as where vPEs are mapped (Linux f97fd458763a).
  if (vm !== null && !vmappInsideVpe) yield* vm.vmappLock.lock(); // hazard R18
  yield* vpe.lock.lock();
  if (vm !== null && vmappInsideVpe) yield* vm.vmappLock.lock();
  yield reads(vpe, "cpu");
  const from = vpe.cpu;
  if (from !== cpu) {
    yield* moveDoorbell(driver, vpe, from, cpu);
    yield writes(vpe, "cpu");
    vpe.cpu = cpu;
    driver.sim.emit(Ev.vpe_move, vpe.id, cpu);
    // By 4.1 too, where redistributors that share the vPE table would find it without: the doorbell has to move (Linux af9acbfc2c4b).
    yield* sendVmovps(driver, vpe, cpu);
  }
  yield* vpe.lock.unlock();
  if (vm !== null) yield* vm.vmappLock.unlock();
}

/** One command where one is enough; else to every ITS with vLPIs of the VM, the same number, under one lock (hazard R17). */
function* sendVmovps(driver: ItsDriver, vpe: ItsVpe, cpu: number): Step<void> {
  const { nodes } = driver;
  const { vm } = vpe;
  if (!driver.usesList) {
    const node = nodes.find((each) => each.isV4);
    if (node !== undefined) yield* sendVmovp(driver, node, vpe, cpu, 0, 0);
    return;
  }
  if (vm === null) return;
  const isOrdered = !driver.sim.hazards.vmovpUnordered;
  if (isOrdered) yield* driver.vmovpLock.lock();
  driver.vmovpSequence = (driver.vmovpSequence + 1) & 0xffff;
  let list = 0;
  for (let i = 0; i < nodes.length; i++) if (nodes[i].isV4 && vm.vlpis[nodes[i].number] > 0) list |= 1 << nodes[i].number;
  for (let i = 0; i < nodes.length; i++)
    if ((list & (1 << nodes[i].number)) !== 0) yield* sendVmovp(driver, nodes[i], vpe, cpu, driver.vmovpSequence, list);
  if (isOrdered) yield* driver.vmovpLock.unlock();
}

function* sendVmovp(driver: ItsDriver, node: ItsNode, vpe: ItsVpe, cpu: number, sequence: number, list: number): Step<void> {
  yield* node.lock.lock();
  encodeVmovp(node.words, vpe.id, node.rdbaseOf(cpu, true), sequence, list, driver.is41 ? vpe.doorbellLpi : -1);
  yield* node.sendAndVsync(vpe.id);
  yield* node.lock.unlock();
}

/**
 * its_vpe_invall: VINVALL on one ITS is enough. With the ITS list on one that has vLPIs of the VM, for no other one has its
 * vPEs, and under vmapp_lock, so that it has them until then.
 */
export function* invalidateAll(driver: ItsDriver, vpe: ItsVpe): Step<void> {
  const { nodes, usesList } = driver;
  const { vm } = vpe;
  if (vm === null) return;
  if (usesList) yield* vm.vmappLock.lock();
  const node = nodes.find((each) => each.isV4 && (!usesList || vm.vlpis[each.number] > 0));
  if (node !== undefined) {
    yield* node.lock.lock();
    encodeVpe(node.words, ItsVOp.VINVALL, vpe.id);
    yield* node.sendAndVsync(vpe.id);
    yield* node.lock.unlock();
  }
  if (usesList) yield* vm.vmappLock.unlock();
}
