import type { VgicStage } from "../../explore/stages/vgic-stage.js";
import type { VgicCpu } from "./vgic-cpu.js";
import { VgicConfig, type VgicIrq } from "./vgic-irq.js";

/** Every interrupt of the VM, with its vCPU where it is private. */
export function everyIrq(h: VgicStage): VgicIrq[] {
  return [...h.dist.cpus.flatMap((cpu) => cpu.privateIrqs), ...h.dist.spis];
}

const listOf = (cpu: VgicCpu): VgicIrq[] => {
  const all: VgicIrq[] = [];
  for (let irq = cpu.apList.head; irq !== null; irq = irq.apNext) all.push(irq);
  return all;
};

/** Would it be queued at its next event (gic.md I5)? */
export function isEligible(h: VgicStage, irq: VgicIrq): boolean {
  return irq.enabled && irq.isPending() && irq.targetVcpu !== null && h.dist.enabled && !irq.active;
}

/**
 * What gic.md D1 says of the core, between two operations: I1, I2, I4, I5, I17; I20 is checked by the locks themselves.
 * `excused` holds the interrupts that became eligible without an event of their own (I5).
 */
export function checkInvariants(h: VgicStage, excused: ReadonlySet<VgicIrq>): string[] {
  const faults: string[] = [];
  const say = (text: string): void => void faults.push(text);
  const listed = new Map<VgicIrq, VgicCpu>();
  for (const cpu of h.dist.cpus) checkList(cpu, listed, say);
  for (const irq of everyIrq(h)) {
    if (irq.vcpu !== (listed.get(irq) ?? null)) say(`I1: ${irq.intid} says vCPU ${irq.vcpu?.index}, is on the list of ${listed.get(irq)?.index}`);
    const inEffect = irq.config === VgicConfig.LEVEL ? irq.lineLevel || irq.pendingLatch : irq.pendingLatch;
    if (irq.isPending() !== inEffect) say(`I4: ${irq.intid}`);
    if (isEligible(h, irq) && irq.vcpu === null && !excused.has(irq)) say(`I5: ${irq.intid} should be on a list`);
    if (irq.lock.isOpen() === false) say(`the lock of ${irq.intid} is held`);
  }
  checkListRegisters(h, listed, say);
  return faults;
}

function checkList(cpu: VgicCpu, listed: Map<VgicIrq, VgicCpu>, say: (text: string) => void): void {
  const all = listOf(cpu);
  if (all.length !== cpu.apList.count) say(`the list of vCPU ${cpu.index} counts ${cpu.apList.count}, holds ${all.length}`);
  if ((all.at(-1) ?? null) !== cpu.apList.tail) say(`the list of vCPU ${cpu.index} ends elsewhere`);
  for (const irq of all) {
    if (listed.has(irq)) say(`I1: ${irq.intid} is on two lists`);
    listed.set(irq, cpu);
  }
}

function checkListRegisters(h: VgicStage, listed: ReadonlyMap<VgicIrq, VgicCpu>, say: (text: string) => void): void {
  const loaded = new Set<VgicIrq>();
  for (const cpu of h.dist.cpus) {
    if (!h.vm.vcpus[cpu.index].inGuest) {
      if (cpu.usedLrs !== 0 || h.vif(cpu.index).lrHi.some((hi) => hi !== 0)) say(`vCPU ${cpu.index} is out, its list registers are not empty`);
      continue;
    }
    for (let i = 0; i < cpu.usedLrs; i++) {
      const irq = h.irq(h.dist.driver.intidOf(h.vif(cpu.index).lrLo[i]), cpu.index);
      if (loaded.has(irq)) say(`I2: ${irq.intid} is in two list registers`);
      loaded.add(irq);
      if (listed.get(irq) !== cpu) say(`I2: ${irq.intid} is in a list register of vCPU ${cpu.index}, not on its list`);
    }
  }
  for (const irq of everyIrq(h)) if (irq.onLr !== loaded.has(irq)) say(`onLr of ${irq.intid} is ${irq.onLr}`);
}
