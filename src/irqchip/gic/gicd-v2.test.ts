import { describe, expect, it } from "vitest";
import { run } from "../../sim/step.js";
import * as A from "../../uapi/arm.js";
import { EBUSY, EINVAL, ENODEV, ENXIO } from "../../uapi/errno.js";
import { AttrMachine, GICC, GICD } from "./vgic-attr.fixture.js";

const FULL = 0xffffffff;
const CPU_REGS = A.KVM_DEV_ARM_VGIC_GRP_CPU_REGS;
const v2 = (): AttrMachine => AttrMachine.f0({ model: 2 });
const setGicc = (machine: AttrMachine, cpu: number, offset: number, value: number): number => machine.set(CPU_REGS, (BigInt(cpu) << 32n) | BigInt(offset), BigInt(value));
const gicc = (machine: AttrMachine, cpu: number, offset: number): number => Number(machine.get(CPU_REGS, (BigInt(cpu) << 32n) | BigInt(offset)));

describe("the distributor of a GICv2 (gic-v3.md A12)", () => {
  it("CTLR has one bit; TYPER counts vCPUs and interrupts", () => {
    const machine = v2();
    machine.store(GICD, FULL);
    expect([machine.load(GICD), machine.load(GICD + 4), machine.load(GICD + 8)]).toEqual([1, 0x67, 0x4b00343b]);
    machine.must(machine.setDist(0, 0));
    expect(machine.load(GICD)).toBe(0);
  });

  it("words of private interrupts belong to the accessing vCPU, for user space to the one named", () => {
    const machine = v2();
    machine.store(GICD + 0x100, 1 << 29, 4, 1);
    expect([0, 1].map((cpu) => machine.load(GICD + 0x100, 4, cpu))).toEqual([0xffff, 0x2000ffff]);
    expect([0, 1].map((cpu) => machine.dist32(0x100, cpu))).toEqual([0xffff, 0x2000ffff]);
    expect(machine.dist32(0x100, 9)).toBe(-EINVAL);
  });

  it("ITARGETSR: the first words are the CPU's own and read-only, absent CPUs stay 0, the lowest target takes it", () => {
    const machine = v2();
    expect([0, 1, 2, 3].map((cpu) => machine.load(GICD + 0x81c, 4, cpu))).toEqual([0x01010101, 0x02020202, 0x04040404, 0x08080808]);
    machine.store(GICD + 0x800, FULL);
    expect(machine.load(GICD + 0x800)).toBe(0x01010101);
    machine.store(GICD + 0x820, 0xffc004);
    expect(machine.load(GICD + 0x820)).toBe(0x000f0004);
    const { spis, cpus } = machine.dist;
    expect([0, 1, 2, 3].map((i) => spis[i].targetVcpu)).toEqual([cpus[2], cpus[0], cpus[0], cpus[0]]);
    machine.store(GICD + 0x823, 0xc, 1);
    expect([machine.load(GICD + 0x823, 1), machine.load(GICD + 0x820), spis[3].targetVcpu]).toEqual([0xc, 0x0c0f0004, cpus[2]]);
  });

  it("vector VA70: ISPENDR of an SGI is ignored from the guest, and sent by itself from user space", () => {
    const machine = v2();
    machine.store(GICD + 0x200, 1 << 3);
    expect(machine.load(GICD + 0x200)).toBe(0);
    machine.must(machine.setDist(0x200, 1 << 3, 2));
    expect([machine.load(GICD + 0x200, 4, 2), machine.dist.cpus[2].privateIrqs[3].source]).toEqual([1 << 3, 1 << 2]);
    machine.store(GICD + 0x280, 1 << 3, 4, 2);
    expect(machine.load(GICD + 0x200, 4, 2)).toBe(1 << 3);
    machine.must(machine.setDist(0x280, 1 << 3, 2));
    expect([machine.load(GICD + 0x200, 4, 2), machine.dist.cpus[2].privateIrqs[3].source]).toEqual([0, 0]);
  });

  it("vector VA68 by registers: GICD_SGIR, and the sources of each SGI in SPENDSGIR and CPENDSGIR", () => {
    const machine = v2();
    machine.store(GICD + 0xf00, 0x01000003, 4, 0);
    expect([0, 1, 2, 3].map((cpu) => machine.load(GICD + 0xf20, 4, cpu))).toEqual([0, 1 << 24, 1 << 24, 1 << 24]);
    machine.store(GICD + 0xf00, 0x00020003, 4, 2);
    expect(machine.load(GICD + 0xf20, 4, 1)).toBe(0x05000000);
    machine.store(GICD + 0xf13, 0x1, 1, 1);
    expect([machine.load(GICD + 0xf10, 4, 1), machine.load(GICD + 0xf13, 1, 1), machine.load(GICD + 0x200, 4, 1)]).toEqual([0x04000000, 4, 8]);
    machine.store(GICD + 0xf10, 0x04000000, 4, 1);
    expect(machine.load(GICD + 0x200, 4, 1)).toBe(0);
    machine.store(GICD + 0xf20, 0x00000200, 4, 1);
    expect([machine.load(GICD + 0xf20, 4, 1), machine.load(GICD + 0x200, 4, 1)]).toEqual([0x200, 2]);
    machine.store(GICD + 0xf00, 0x02000001, 4, 3); // to itself
    machine.store(GICD + 0xf00, 0x030f0002, 4, 3); // reserved filter
    expect([0, 3].map((cpu) => machine.load(GICD + 0xf20, 4, cpu))).toEqual([0, (1 << 24) | (8 << 8)]);
  });

  it("groups are the guest's; user space writes them once it has written IIDR", () => {
    const machine = v2();
    expect(machine.load(GICD + 0x84)).toBe(0);
    machine.must(machine.setDist(0x84, 6));
    expect(machine.load(GICD + 0x84)).toBe(0);
    machine.store(GICD + 0x84, 5);
    expect(machine.dist32(0x84)).toBe(5);
    expect(machine.setDist(8, 0x4b00343c)).toBe(-EINVAL);
    machine.must(machine.setDist(0x84, 6));
    expect(machine.load(GICD + 0x84)).toBe(5);
    machine.must(machine.setDist(8, 0x4b00243b));
    machine.must(machine.setDist(0x84, 6));
    expect([machine.load(GICD + 0x84), machine.load(GICD + 8)]).toEqual([6, 0x4b00243b]);
  });

  it("with revision 1 nobody writes groups", () => {
    const machine = v2();
    machine.must(machine.setDist(8, 0x4b00143b));
    machine.must(machine.setDist(0x84, 6));
    machine.store(GICD + 0x84, 5);
    expect([machine.load(GICD + 8), machine.load(GICD + 0x84)]).toEqual([0x4b00143b, 0]);
  });

  it("user space sees and writes the pending state with the wire in it", () => {
    const machine = v2();
    machine.store(GICD + 0xc08, 0);
    run(machine.vgic.inject(-1, 40, true, null));
    expect(machine.dist32(0x204)).toBe(1 << 8);
    machine.must(machine.setDist(0x204, 0));
    machine.must(machine.setDist(0x204, 2));
    expect([machine.dist32(0x204), machine.dist32(0x284)]).toEqual([0x102, 0x102]);
    machine.must(machine.setDist(0x284, 2));
    expect(machine.dist32(0x204)).toBe(0x100);
  });

  it("what a GICv2 has not is RAZ/WI, without an attribute", () => {
    const machine = v2();
    for (const offset of [0xc, 0x10, 0x40, 0xd00, 0xe00, 0xfe8]) {
      machine.store(GICD + offset, FULL);
      expect([machine.load(GICD + offset), machine.dist32(offset)]).toEqual([0, -ENXIO]);
    }
  });

  it("register access initialises a GICv2, and needs vCPUs that stand still", () => {
    const machine = new AttrMachine({ model: 2 });
    machine.running(1, true);
    expect([machine.dist32(4), gicc(machine, 0, 0)]).toEqual([-EBUSY, -EBUSY]);
    machine.running(1, false);
    expect([machine.dist32(4), machine.dist.initialized]).toEqual([0x67, true]);
    const half = new AttrMachine({ model: 2 });
    half.vm.createdVcpus++;
    expect(half.dist32(4)).toBe(-EBUSY);
    expect(new AttrMachine({ model: 2, ids: [] }).init()).toBe(-ENODEV);
  });
});

describe("GICv2 by kvm-unit-tests gicv2-mmio (gic-v3.md A13)", () => {
  const machine = v2();

  it("TYPER and IIDR ignore writes, PIDR2 has nothing", () => {
    for (const offset of [0x4, 0x8, 0xfe8]) {
      const before = machine.load(GICD + offset);
      machine.store(GICD + offset, ~before >>> 0);
      expect(machine.load(GICD + offset)).toBe(before);
    }
  });

  it("priorities and targets: words and bytes agree, nothing above the last", () => {
    for (let intid = 32; intid < 256; intid += 4) {
      machine.store(GICD + 0x400 + intid, FULL);
      expect(machine.load(GICD + 0x400 + intid)).toBe(0xf8f8f8f8);
      machine.store(GICD + 0x401 + intid, 0x44, 1);
      expect([machine.load(GICD + 0x400 + intid), machine.load(GICD + 0x401 + intid, 1)]).toEqual([0xf8f840f8, 0x40]);
      machine.store(GICD + 0x800 + intid, FULL);
      expect(machine.load(GICD + 0x800 + intid)).toBe(0x0f0f0f0f);
      machine.store(GICD + 0x802 + intid, 0x12, 1);
      expect([machine.load(GICD + 0x800 + intid), machine.load(GICD + 0x802 + intid, 1)]).toEqual([0x0f020f0f, 2]);
    }
    machine.store(GICD + 0x500, FULL);
    machine.store(GICD + 0x900, FULL);
    expect([machine.load(GICD + 0x500), machine.load(GICD + 0x900)]).toEqual([0, 0]);
  });
});

describe("CPU_REGS (gic-v3.md A12)", () => {
  it("vector VA69: the priority mask travels as a 5-bit number", () => {
    const machine = v2();
    expect(setGicc(machine, 1, 0x4, 0x1f)).toBe(0);
    run(machine.vgic.load(1, 1));
    expect(machine.vm.hostGic.virtualInterface(1).vmcr >>> 24).toBe(0xf8);
    run(machine.vgic.put(1));
    expect([gicc(machine, 1, 0x4), gicc(machine, 0, 0x4)]).toEqual([0x1f, 0]);
  });

  it("controls, binary points and active priorities are the guest's", () => {
    const machine = v2();
    for (const [offset, value] of [[0x0, 0x21f], [0x8, 4], [0x1c, 6], [0xd0, 0x100], [0xd4, 7], [0xfc, 0]]) machine.must(setGicc(machine, 2, offset, value));
    expect([0x0, 0x8, 0x1c, 0xd0, 0xd4, 0xfc].map((offset) => gicc(machine, 2, offset))).toEqual([0x21f, 4, 6, 0x100, 0, 0x04b2043b]);
    run(machine.vgic.load(2, 2));
    const vif = machine.vm.hostGic.virtualInterface(2);
    expect([vif.vmcr & 0x21f, vif.ap0r[0], vif.runningPriority()]).toEqual([0x21f, 0x100, 0x40]);
  });

  it("registers that act, and CPUs that are not there", () => {
    const machine = v2();
    for (const offset of [0xc, 0x10, 0x14, 0x18, 0x2, 0x1000]) expect([gicc(machine, 0, offset), setGicc(machine, 0, offset, 0)]).toEqual([-ENXIO, -ENXIO]);
    expect(gicc(machine, 4, 0)).toBe(-EINVAL);
    expect(machine.getAddr(A.KVM_VGIC_V2_ADDR_TYPE_CPU)).toBe(BigInt(GICC));
  });
});
