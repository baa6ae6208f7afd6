import { describe, expect, it } from "vitest";
import { type VirtualInterface, SPURIOUS_INTID } from "../../arch/gic/contract.js";
import { Icc } from "../../arch/gic/icc.js";
import { run } from "../../sim/step.js";
import * as A from "../../uapi/arm.js";
import { AttrMachine, GICD, GICR } from "./vgic-attr.fixture.js";

// kvm-unit-tests arm/gic.c, as gic-v3.md A13 sums it up.

const VCPUS = [0, 1, 2, 3];
const SGI = 1;
const OTHERS_V3 = 1 << 8;

/** A machine whose guest has enabled everything that an SGI needs. */
function booted(model: 2 | 3): AttrMachine {
  const machine = AttrMachine.f0({ model });
  machine.store(GICD, model === 3 ? 2 : 1);
  for (const vcpu of VCPUS) {
    if (model === 3) {
      machine.must(machine.setSysreg(Icc.PMR, 0xf0n, vcpu));
      machine.must(machine.setSysreg(Icc.IGRPEN1, 1n, vcpu));
    } else for (const [offset, value] of [[0x0, 1], [0x4, 0x1e]]) machine.must(machine.set(A.KVM_DEV_ARM_VGIC_GRP_CPU_REGS, (BigInt(vcpu) << 32n) | BigInt(offset), BigInt(value)));
  }
  return machine;
}

const take = (machine: AttrMachine, vif: VirtualInterface): number => run(vif.acknowledge(machine.vgic.model === 3 ? 1 : 0));
const end = (machine: AttrMachine, vif: VirtualInterface, iar: number): void => run(vif.endOfInterrupt(machine.vgic.model === 3 ? 1 : 0, iar));

/** What every vCPU takes until there is nothing more. */
function taken(machine: AttrMachine): number[][] {
  return VCPUS.map((vcpu) => {
    const all: number[] = [];
    for (let iar = 0; iar !== SPURIOUS_INTID; )
      machine.inGuest(vcpu, (vif) => {
        iar = take(machine, vif);
        if (iar === SPURIOUS_INTID) return;
        all.push(iar);
        end(machine, vif, iar);
      });
    return all;
  });
}

function send(machine: AttrMachine, from: number, to: number | "others"): void {
  if (machine.vgic.model === 2) machine.store(GICD + 0xf00, SGI | (to === "others" ? 1 << 24 : 1 << (16 + to)), 4, from);
  else run(machine.vgic.guestSysregWrite(from, Icc.SGI1R, (SGI << 24) | (to === "others" ? 0 : 1 << to), to === "others" ? OTHERS_V3 : 0));
}

describe.each([2, 3] as const)("kvm-unit-tests on a GICv%i (gic-v3.md A13)", (model) => {
  /** IAR of an SGI from a CPU. */
  const iarFrom = (from: number): number => (model === 2 ? SGI | (from << 10) : SGI);

  it("ipi: each target takes exactly one, from the right source, and nobody else", () => {
    const machine = booted(model);
    for (const from of VCPUS) {
      for (const to of VCPUS) {
        send(machine, from, to);
        expect(taken(machine)).toEqual(VCPUS.map((vcpu) => (vcpu === to ? [iarFrom(from)] : [])));
      }
      send(machine, from, "others");
      expect(taken(machine)).toEqual(VCPUS.map((vcpu) => (vcpu === from ? [] : [iarFrom(from)])));
    }
  });

  it("active: an SGI cleared by ICACTIVER in place of an EOI can be taken again", () => {
    const machine = booted(model);
    const icactiver = model === 2 ? GICD + 0x380 : GICR + 0x20000 * 2 + 0x10380;
    for (let round = 0; round < 3; round++) {
      send(machine, 2, 2);
      expect(machine.inGuest(2, (vif) => take(machine, vif))).toBe(iarFrom(2));
      expect(machine.load(icactiver, 4, 2)).toBe(1 << SGI);
      machine.store(icactiver, 1 << SGI, 4, 2);
      expect(machine.load(icactiver, 4, 2)).toBe(0);
      machine.inGuest(2, (vif) => end(machine, vif, iarFrom(2))); // the running priority still drops
    }
    expect(taken(machine)).toEqual([[], [], [], []]);
  });
});

describe("an ICACTIVER write reaches a list register of a vCPU in the guest", () => {
  it("the vCPU is taken out, folded, and is back without it", () => {
    const machine = booted(3);
    machine.store(GICD + 0x104, 1 << 8);
    machine.store(GICD + 0x204, 1 << 8);
    run(machine.vgic.load(0, 0));
    run(machine.vm.enter(machine.vm.vcpus[0]));
    const vif = machine.vm.hostGic.virtualInterface(0);
    expect(take(machine, vif)).toBe(40);
    expect(machine.load(GICD + 0x304, 4, 1)).toBe(1 << 8);
    machine.store(GICD + 0x384, 1 << 8, 4, 1);
    expect([machine.load(GICD + 0x304, 4, 1), machine.vm.vcpus[0].inGuest, vif.lrHi[0]]).toEqual([0, true, 0]);
  });
});
