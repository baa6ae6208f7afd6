import { describe, expect, it } from "vitest";
import { Icc } from "../../arch/gic/icc.js";
import { GicV3 } from "../../host/gic/gicv3.js";
import { run } from "../../sim/step.js";
import { EEXIST, EINVAL, ENXIO } from "../../uapi/errno.js";
import { AttrMachine, GICD, GICR } from "./vgic-attr.fixture.js";
import { VgicConfig } from "./vgic-irq.js";

const SGI = 0x10000;
const ISPENDR1 = 0x204;
const SPI40 = 1 << 8;
const spi = (machine: AttrMachine, intid: number) => machine.dist.spis[intid - 32];

/** The guest accesses its CPU interface: loaded for it, and put again. */
function guest<T>(machine: AttrMachine, vcpu: number, access: (vif: ReturnType<typeof vifOf>) => T): T {
  run(machine.vgic.load(vcpu, vcpu));
  const result = access(vifOf(machine, vcpu));
  run(machine.vgic.put(vcpu));
  return result;
}
function vifOf(machine: AttrMachine, vcpu: number) {
  const { hostGic } = machine.vm;
  if (!(hostGic instanceof GicV3)) throw new Error("not a GICv3");
  return hostGic.ich(vcpu);
}

describe("pending state and wires from user space (gic-v3.md A3.7, A7.2)", () => {
  it("vector VA39 by attribute: ISPENDR assigns the latch of every bit; ICPENDR is RAZ/WI", () => {
    const machine = AttrMachine.f0();
    machine.store(GICD + ISPENDR1, SPI40);
    expect([machine.dist32(ISPENDR1), machine.dist32(0x284)]).toEqual([SPI40, 0]);
    machine.must(machine.setDist(0x284, SPI40));
    expect(machine.load(GICD + ISPENDR1)).toBe(SPI40);
    machine.must(machine.setDist(ISPENDR1, 0));
    expect([machine.load(GICD + ISPENDR1), spi(machine, 40).pendingLatch]).toEqual([0, false]);
    machine.must(machine.setDist(ISPENDR1, 0x80000001));
    expect([machine.dist32(ISPENDR1), machine.load(GICD + 0x284)]).toEqual([0x80000001, 0x80000001]);
  });

  it("vector VA40: LEVEL_INFO carries the wires, not the latches", () => {
    const machine = AttrMachine.f0();
    expect(machine.levels(33)).toBe(-EINVAL);
    expect(machine.levels((1 << 10) | 32)).toBe(-EINVAL);
    machine.store(GICD + 0xc08, 0xaaaaaaaa & ~(3 << 16)); // SPI 40 level
    expect(machine.setLevels(32, SPI40)).toBe(0);
    expect([machine.levels(32), machine.load(GICD + ISPENDR1), machine.dist32(ISPENDR1)]).toEqual([SPI40, SPI40, 0]);
    machine.must(machine.setLevels(32, 0));
    expect([machine.levels(32), machine.load(GICD + ISPENDR1)]).toEqual([0, 0]);
  });

  it("a wire of an edge interrupt is kept but reads 0; SGIs and what is not there have none; PPIs are the vCPU's own", () => {
    const machine = AttrMachine.f0();
    machine.must(machine.setLevels(32, 1));
    expect([machine.levels(32), spi(machine, 32).lineLevel, machine.load(GICD + ISPENDR1)]).toEqual([0, true, 0]);
    machine.store(GICD + 0xc08, 0);
    expect(machine.levels(32)).toBe(1);
    machine.must(machine.setLevels(0, 0xffffffff, 1));
    expect([machine.levels(0, 1) >>> 0, machine.levels(0, 0), machine.dist.cpus[1].privateIrqs[5].lineLevel]).toEqual([0xffff0000, 0, false]);
    machine.must(machine.setLevels(992, 0xffffffff));
    expect(machine.levels(992)).toBe(0);
  });

  it("a wire that goes high queues", () => {
    const machine = AttrMachine.f0();
    machine.store(GICD, 2);
    machine.store(GICD + 0xc08, 0);
    machine.store(GICD + 0x104, SPI40);
    machine.must(machine.setLevels(32, SPI40));
    expect(machine.dist.cpus[0].apList.intids()).toEqual([40]);
  });
});

describe("the other arrays from user space (gic-v3.md A5, A7.3)", () => {
  it("vector VA41 by registers: an activated SPI is listed, and ICACTIVER ends it without an EOI", () => {
    const machine = AttrMachine.f0();
    machine.store(GICD + 0x304, SPI40);
    expect([machine.load(GICD + 0x304), machine.load(GICD + 0x384), machine.dist.cpus[0].apList.intids()]).toEqual([SPI40, SPI40, [40]]);
    machine.store(GICD + 0x384, SPI40);
    run(machine.vgic.processUpdate(0));
    expect([machine.load(GICD + 0x304), machine.dist.cpus[0].apList.intids()]).toEqual([0, []]);
    machine.must(machine.setDist(0x304, SPI40));
    expect(machine.dist32(0x304)).toBe(SPI40);
    machine.must(machine.setDist(0x384, SPI40));
    expect(machine.dist32(0x304)).toBe(0);
  });

  it("vector VA42 by injection: what does not exist", () => {
    const machine = AttrMachine.f0();
    expect([run(machine.vgic.inject(-1, 256, true, null)), run(machine.vgic.inject(-1, 20, true, null)), run(machine.vgic.inject(9, 20, true, null))]).toEqual([-EINVAL, -EINVAL, -EINVAL]);
    expect(run(machine.vgic.inject(-1, 255, true, null))).toBe(0);
  });

  it("user space leaves the state of a mapped interrupt's hardware alone", () => {
    const machine = AttrMachine.f0();
    const ppi = machine.dist.cpus[0].privateIrqs[27];
    expect(run(machine.vgic.mapPhysicalIrq(0, 27, 27))).toBe(0);
    machine.must(machine.setRedist(0, SGI + 0x300, 1 << 27));
    machine.must(machine.setRedist(0, SGI + 0x200, 1 << 27));
    expect([ppi.active, ppi.pendingLatch, machine.vm.hostGic.isActive(0, 27)]).toEqual([false, true, false]);
    machine.store(GICR + SGI + 0x300, 1 << 27);
    expect([ppi.active, machine.vm.hostGic.isActive(0, 27)]).toEqual([true, true]);
    machine.store(GICR + SGI + 0x380, 1 << 27);
    expect([ppi.active, machine.vm.hostGic.isActive(0, 27)]).toEqual([false, false]);
  });
});

describe("CPU_SYSREGS (gic-v3.md A10.2)", () => {
  it("vector VA51: what the guest wrote reads back; registers that act are not there", () => {
    const machine = AttrMachine.f0();
    guest(machine, 0, (vif) => run(vif.writeIcv(Icc.PMR, 0xff)));
    expect(machine.sysreg(Icc.PMR)).toBe(0xf8);
    expect(machine.sysreg(Icc.PMR, 1)).toBe(0);
    for (const encoding of [Icc.IAR1, Icc.EOIR1, Icc.HPPIR0, Icc.RPR, Icc.DIR, Icc.SGI1R, 0x1234]) expect([machine.sysreg(encoding), machine.setSysreg(encoding, 0n)]).toEqual([-ENXIO, -ENXIO]);
    expect([machine.setSysreg(Icc.SRE, 0n), machine.setSysreg(Icc.SRE, 7n), machine.sysreg(Icc.SRE)]).toEqual([-EINVAL, 0, 7]);
    expect([machine.setSysreg(Icc.SRE, 6n), machine.setSysreg(Icc.SRE, 0xffffffff_00000001n)]).toEqual([-EINVAL, 0]);
  });

  it("vector VA52: ICC_CTLR_EL1 cannot promise more than the host has", () => {
    const machine = AttrMachine.f0();
    expect(machine.sysreg(Icc.CTLR)).toBe(0x8c00);
    expect([0x8f00n, 0x9400n, 0xcc00n, 0x0c00n].map((value) => machine.setSysreg(Icc.CTLR, value))).toEqual([-EINVAL, -EINVAL, -EINVAL, -EINVAL]);
    expect(machine.setSysreg(Icc.CTLR, 0x8c03n)).toBe(0);
    expect(machine.sysreg(Icc.CTLR)).toBe(0x8c03);
    expect(guest(machine, 0, (vif) => run(vif.readIcv(Icc.CTLR)))).toBe(0x8c03);
    expect(machine.setSysreg(Icc.CTLR, 0x8300n)).toBe(0); // fewer bits, as the machine that was saved had
    expect(machine.sysreg(Icc.CTLR)).toBe(0x8300);
  });

  it("vector VA53: as many active-priorities registers as the priority bits need", () => {
    const machine = AttrMachine.f0();
    for (const encoding of [Icc.AP0R0 + 1, Icc.AP0R3, Icc.AP1R0 + 1, Icc.AP1R3]) expect([machine.sysreg(encoding), machine.setSysreg(encoding, 0n)]).toEqual([-EINVAL, -EINVAL]);
    machine.must(machine.setSysreg(Icc.AP1R0, 1n << 20n));
    machine.must(machine.setSysreg(Icc.AP0R0, 1n << 22n));
    expect([machine.sysreg(Icc.AP1R0), machine.sysreg(Icc.AP0R0), guest(machine, 0, (vif) => vif.runningPriority())]).toEqual([1 << 20, 1 << 22, 0xa0]);
  });

  it("binary points, group enables and the mask are those that the guest has", () => {
    const machine = AttrMachine.f0();
    expect([machine.sysreg(Icc.BPR0), machine.sysreg(Icc.BPR1)]).toEqual([2, 3]);
    for (const [encoding, value] of [[Icc.BPR0, 3n], [Icc.BPR1, 5n], [Icc.PMR, 0xffn], [Icc.IGRPEN0, 1n], [Icc.IGRPEN1, 1n]] as const) machine.must(machine.setSysreg(encoding, value, 2));
    const read = (encoding: number): number => guest(machine, 2, (vif) => run(vif.readIcv(encoding)));
    const encodings = [Icc.BPR0, Icc.BPR1, Icc.PMR, Icc.IGRPEN0, Icc.IGRPEN1];
    expect(encodings.map(read)).toEqual([3, 5, 0xf8, 1, 1]);
    expect(encodings.map((encoding) => machine.sysreg(encoding, 2))).toEqual([3, 5, 0xf8, 1, 1]);
    machine.must(machine.setSysreg(Icc.CTLR, 0x8c01n, 2)); // CBPR
    expect(machine.sysreg(Icc.BPR1, 2)).toBe(4);
    machine.must(machine.setSysreg(Icc.BPR1, 7n, 2));
    machine.must(machine.setSysreg(Icc.CTLR, 0x8c00n, 2));
    expect(machine.sysreg(Icc.BPR1, 2)).toBe(5);
  });
});

describe("SGIs of a GICv3 guest, by the frames (gic-v3.md A8)", () => {
  const pending = (machine: AttrMachine): number[] => [0, 1, 2, 3].map((vcpu) => machine.load(GICR + 0x20000 * vcpu + SGI + 0x200));

  it("vectors VA54, VA55: a list of targets; everybody else", () => {
    const machine = AttrMachine.f0();
    run(machine.vgic.guestSysregWrite(0, Icc.SGI1R, 0x0500000a, 0));
    expect(pending(machine)).toEqual([0, 1 << 5, 0, 1 << 5]);
    run(machine.vgic.guestSysregWrite(0, Icc.SGI1R, 0x02000000, 1 << 8));
    expect(pending(machine)).toEqual([0, 0x24, 0x4, 0x24]);
  });

  it("vector VA56: SGI0R reaches group 0 only", () => {
    const machine = AttrMachine.f0();
    run(machine.vgic.guestSysregWrite(0, Icc.SGI0R, 0x03000002, 0));
    expect(pending(machine)).toEqual([0, 0, 0, 0]);
    machine.store(GICR + 0x20000 + SGI + 0x80, 0xffffffff & ~(1 << 3));
    run(machine.vgic.guestSysregWrite(0, Icc.SGI0R, 0x03000002, 0));
    expect(pending(machine)).toEqual([0, 8, 0, 0]);
  });
});

describe("owners (gic-v3.md A9.9)", () => {
  it("vector VA64: who does not own a line does not move it", () => {
    const machine = AttrMachine.f0();
    const [a, b] = [{}, {}];
    expect(run(machine.vgic.setOwner(0, 27, a))).toBe(0);
    expect(run(machine.vgic.setOwner(0, 27, b))).toBe(-EEXIST);
    expect(run(machine.vgic.inject(0, 27, true, null))).toBe(0);
    expect(machine.levels(0)).toBe(0);
    run(machine.vgic.inject(0, 27, true, a));
    expect(machine.levels(0)).toBe(1 << 27);
    expect(machine.dist.cpus[0].privateIrqs[27].config).toBe(VgicConfig.LEVEL);
  });
});
