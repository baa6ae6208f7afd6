import { describe, expect, it } from "vitest";
import { run } from "../../sim/step.js";
import * as A from "../../uapi/arm.js";
import { E2BIG, EBUSY, EEXIST, EFAULT, EINVAL, ENODEV, ENOENT, ENXIO } from "../../uapi/errno.js";
import { ALL_ONES, AttrMachine, GICD, GICR, UNMAPPED } from "./vgic-attr.fixture.js";

const ADDR = A.KVM_DEV_ARM_VGIC_GRP_ADDR;
const V3_DIST = A.KVM_VGIC_V3_ADDR_TYPE_DIST;
const V3_REDIST = A.KVM_VGIC_V3_ADDR_TYPE_REDIST;
const REGION = A.KVM_VGIC_V3_ADDR_TYPE_REDIST_REGION;
const NR_IRQS = A.KVM_DEV_ARM_VGIC_GRP_NR_IRQS;
const CTRL = A.KVM_DEV_ARM_VGIC_GRP_CTRL;
/** The low word of GICR_TYPER of each vCPU id. */
const typers = (machine: AttrMachine, ids: readonly number[]): number[] => ids.map((id) => machine.redist32(id, 8));

describe("NR_IRQS (gic-v3.md A3.4)", () => {
  it("vector VA4: a multiple of 32 from 64 to 992", () => {
    const machine = new AttrMachine();
    expect([63, 96 + 1, 1024, 1056].map((count) => machine.setNrIrqs(count))).toEqual([-EINVAL, -EINVAL, -EINVAL, -EINVAL]);
    expect(machine.set(NR_IRQS, 0n, 64n, UNMAPPED)).toBe(-EFAULT);
  });

  it("vector VA5: set once", () => {
    const machine = new AttrMachine();
    expect(machine.get(NR_IRQS, 0n)).toBe(32n);
    expect(machine.setNrIrqs(992)).toBe(0);
    expect(machine.get(NR_IRQS, 0n)).toBe(992n);
    expect(machine.setNrIrqs(256)).toBe(-EBUSY);
    expect(machine.getTo(NR_IRQS, 0n, UNMAPPED)).toBe(-EFAULT);
  });
});

describe("ADDR (gic-v3.md A3.3)", () => {
  it("vector VA6: alignment, then the guest's address size, then once", () => {
    const machine = new AttrMachine();
    expect([0x08000100n, 1n << 40n, 0x08000000n, 0x09000000n].map((address) => machine.setAddr(V3_DIST, address))).toEqual([-EINVAL, -E2BIG, 0, -EEXIST]);
    expect(machine.setAddr(V3_DIST, 0x100n)).toBe(-EEXIST);
    expect(machine.getAddr(V3_DIST)).toBe(0x08000000n);
    const fresh = new AttrMachine();
    expect(fresh.setAddr(V3_DIST, 0xffffffff_ffff0000n)).toBe(-EINVAL);
    expect(fresh.setAddr(V3_DIST, (1n << 40n) - 0x10000n)).toBe(0);
  });

  it("vector VA7: types of the other model and unknown ones", () => {
    const machine = new AttrMachine();
    expect(machine.setAddr(A.KVM_VGIC_V2_ADDR_TYPE_DIST, 0n)).toBe(-ENXIO);
    expect(machine.setAddr(9, 0n)).toBe(-ENXIO);
    expect(machine.getAddr(A.KVM_VGIC_V2_ADDR_TYPE_CPU)).toBe(-ENXIO);
    expect(machine.setAddr(A.KVM_VGIC_ITS_ADDR_TYPE, 0n)).toBe(-ENXIO);
    expect(machine.set(ADDR, 9n, 0n, UNMAPPED)).toBe(-EFAULT);
    const v2 = new AttrMachine({ model: 2 });
    expect(v2.setAddr(V3_DIST, 0x08000000n)).toBe(-ENXIO);
    expect(v2.setAddr(A.KVM_VGIC_V2_ADDR_TYPE_DIST, 0x08000100n)).toBe(-EINVAL);
    expect(v2.setAddr(A.KVM_VGIC_V2_ADDR_TYPE_DIST, 0x08001000n)).toBe(0);
    expect(v2.setAddr(A.KVM_VGIC_V2_ADDR_TYPE_CPU, (1n << 40n) - 0x1000n)).toBe(-E2BIG);
    expect(v2.setAddr(A.KVM_VGIC_V2_ADDR_TYPE_CPU, 0x08010000n)).toBe(0);
    expect(v2.getAddr(A.KVM_VGIC_V2_ADDR_TYPE_CPU)).toBe(0x08010000n);
  });

  it("vector VA8: the first region has index 0", () => {
    expect(new AttrMachine().setRegion(0x0020000000240001n)).toBe(-EINVAL);
  });

  it("vector VA9: a region has a count and no flags", () => {
    const machine = new AttrMachine();
    expect([0x0000000000240000n, 0x0020000000241000n].map((payload) => machine.setRegion(payload))).toEqual([-EINVAL, -EINVAL]);
  });

  it("vectors VA10, VA11: the next index, no legacy region among them, no overlap", () => {
    const machine = new AttrMachine();
    expect(machine.setRegion(0x0020000000240000n)).toBe(0);
    expect(machine.setRegion(0x0020000000240000n)).toBe(-EINVAL);
    expect(machine.setRegion(0x0020000000300002n)).toBe(-EINVAL);
    expect(machine.setAddr(V3_REDIST, 0x400000n)).toBe(-EINVAL);
    expect(machine.setRegion(0x0020000000260001n)).toBe(-EINVAL);
    expect(machine.setRegion(0x0020000000280001n)).toBe(0);
  });

  it("vector VA12: what is not set", () => {
    const machine = new AttrMachine();
    expect(machine.getAddr(REGION, 3n)).toBe(-ENOENT);
    expect(machine.getAddr(V3_REDIST)).toBe(ALL_ONES);
    expect(machine.getAddr(V3_DIST)).toBe(ALL_ONES);
    expect(machine.getTo(ADDR, BigInt(REGION), UNMAPPED)).toBe(-EFAULT);
    expect(machine.getTo(ADDR, BigInt(V3_DIST), UNMAPPED)).toBe(-EFAULT);
    machine.setRegion(0x0020000000240000n);
    expect(machine.getAddr(REGION, 0n)).toBe(0x0020000000240000n);
    expect(machine.getAddr(V3_REDIST)).toBe(0x240000n);
  });

  it("vector VA13: one legacy region, and no other then", () => {
    const machine = new AttrMachine();
    expect(machine.setAddr(V3_REDIST, 0x400000n)).toBe(0);
    expect(machine.setAddr(V3_REDIST, 0x400000n)).toBe(-EEXIST);
    expect(machine.setRegion(0x0020000000240000n)).toBe(-EINVAL);
  });

  it("a region's other checks in their order: wrap, distributor, alignment, size", () => {
    const machine = new AttrMachine();
    expect(machine.setAddr(V3_REDIST, 0xffffffff_ffff0000n)).toBe(-EINVAL);
    machine.must(machine.setAddr(V3_DIST, BigInt(GICD)));
    expect(machine.setAddr(V3_REDIST, BigInt(GICD) - 0x60000n)).toBe(-EINVAL);
    expect(machine.setAddr(V3_REDIST, 0x401000n)).toBe(-EINVAL);
    expect(machine.setAddr(V3_REDIST, 1n << 40n)).toBe(-E2BIG);
    expect(machine.setAddr(V3_REDIST, (1n << 40n) - 0x60000n)).toBe(-E2BIG);
    expect(machine.setRegion(0x0020000000000000n | (BigInt(GICD) - 0x20000n))).toBe(0); // only first run sees this overlap
    expect(run(machine.vgic.mapResources())).toBe(-ENXIO);
  });

  it("a frame that finds no place on the bus takes its region with it", () => {
    const machine = new AttrMachine();
    const taken = machine.vgic.dist.frames.distributor;
    run(machine.vm.mmioBus.register(0x240000 + 0x20000, 0x1000, taken));
    expect(machine.setRegion(0x0040000000240000n)).toBe(-EEXIST);
    expect(machine.getAddr(REGION, 0n)).toBe(-ENOENT);
    expect(machine.vm.mmioBus.ranges.length).toBe(1);
    run(machine.vm.mmioBus.unregister(0x240000 + 0x20000, taken));
    expect(machine.setRegion(0x0040000000240000n)).toBe(0);
    expect(machine.vm.mmioBus.ranges.length).toBe(4);
  });
});

describe("frames in the order of creation (gic-v3.md A3.3, A6.1)", () => {
  const ids = [0, 3, 5, 4, 1, 2];
  const inOrder = (machine: AttrMachine): number[] => typers(machine, ids);

  it("vector VA17: Last at the end of a series of regions", () => {
    const machine = new AttrMachine({ ids });
    for (const payload of [0x0020000000100000n, 0x0020000000240001n, 0x0020000000200002n]) expect(machine.setRegion(payload)).toBe(0);
    machine.must(machine.init());
    expect(inOrder(machine)).toEqual([0x000, 0x310, 0x500, 0x410, 0x100, 0x200]);
    expect(machine.dist.cpus.map((cpu) => cpu.rdBase)).toEqual([0x100000, 0x120000, 0x240000, 0x260000, 0x200000, 0x220000]);
  });

  it("vector VA18: the last created of a legacy region", () => {
    const machine = new AttrMachine({ ids });
    machine.must(machine.setAddr(V3_REDIST, 0x240000n));
    machine.must(machine.init());
    expect(inOrder(machine)).toEqual([0x000, 0x300, 0x500, 0x400, 0x100, 0x210]);
  });

  it("a vCPU that comes after the regions gets its frame at once; without room it has none, and nobody runs", () => {
    const machine = new AttrMachine({ ids: [0] });
    machine.must(machine.setAddr(V3_DIST, BigInt(GICD)));
    machine.must(machine.setRegion(0x0020000000240000n));
    expect(run(machine.vgic.vcpuCreated(machine.vm.addVcpu(1)))).toBe(0);
    expect(machine.dist.cpus[1].rdBase).toBe(0x260000);
    expect(run(machine.vgic.vcpuCreated(machine.vm.addVcpu(2)))).toBe(0);
    machine.must(machine.init());
    expect(typers(machine, [0, 1, 2])).toEqual([0x000, 0x110, 0x200]);
    expect(run(machine.vgic.mapResources())).toBe(-ENXIO);
  });

  it("the frames go with the VM", () => {
    const machine = AttrMachine.f0();
    expect(machine.vm.mmioBus.ranges.map((range) => range.base)).toEqual([GICR, GICR + 0x20000, GICR + 0x40000, GICR + 0x60000, GICD]);
    run(machine.vgic.destroy());
    expect(machine.vm.mmioBus.ranges).toEqual([]);
  });
});

describe("CTRL (gic-v3.md A3.5)", () => {
  it("vector VA15 by attributes: INIT twice, then nothing changes any more", () => {
    const machine = new AttrMachine();
    expect([machine.init(), machine.init()]).toEqual([0, 0]);
    expect(run(machine.vgic.vcpuCreated(machine.vm.addVcpu(9)))).toBe(-EBUSY);
    expect(machine.setNrIrqs(128)).toBe(-EBUSY);
    expect(machine.vm.routedPins).toBe(224);
  });

  it("INIT wants vCPUs, and none half created", () => {
    expect(new AttrMachine({ ids: [] }).init()).toBe(-ENODEV);
    const machine = new AttrMachine();
    machine.vm.createdVcpus++;
    expect(machine.init()).toBe(-EBUSY);
  });

  it("the pending tables are saved only by an initialised GICv3 whose vCPUs stand still", () => {
    const save = (machine: AttrMachine): number => machine.set(CTRL, BigInt(A.KVM_DEV_ARM_VGIC_SAVE_PENDING_TABLES), 0n);
    const machine = new AttrMachine();
    expect(save(machine)).toBe(-ENXIO);
    machine.must(machine.init());
    expect(save(machine)).toBe(0);
    machine.running(2, true);
    expect(save(machine)).toBe(-EBUSY);
    expect(machine.vm.vcpus.filter((vcpu) => !vcpu.mutex.isOpen()).length).toBe(1);
    expect(machine.vm.lock.isOpen()).toBe(true);
    expect(save(AttrMachine.f0({ model: 2 }))).toBe(-ENXIO);
    for (const its of [A.KVM_DEV_ARM_ITS_SAVE_TABLES, A.KVM_DEV_ARM_ITS_RESTORE_TABLES, A.KVM_DEV_ARM_ITS_CTRL_RESET]) expect(machine.set(CTRL, BigInt(its), 0n)).toBe(-ENXIO);
  });
});

describe("the order of errors of register access (gic-v3.md A3.6)", () => {
  const REGISTERS = [A.KVM_DEV_ARM_VGIC_GRP_REDIST_REGS, A.KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS, A.KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO];
  const SYSREG = 0xc230n;
  const attr = (group: number, affinity: bigint): bigint => (affinity << 32n) | (group === A.KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS ? SYSREG : 0n);

  it("vector VA14: not before INIT", () => {
    const machine = new AttrMachine();
    expect(machine.dist32(0)).toBe(-EBUSY);
    expect(machine.setDist(0, 0)).toBe(-EBUSY);
    expect(machine.dist32(0x8)).toBe(0x4b00343b); // GICD_IIDR and GICD_TYPER2 are what INIT may depend on
    expect(machine.dist32(0xc)).toBe(0);
    expect(new AttrMachine({ compat: "linux-6.1" }).dist32(0x8)).toBe(-EBUSY);
  });

  it.each(REGISTERS)("group %i: no such vCPU, then the payload, then who runs, then INIT", (group) => {
    const machine = new AttrMachine();
    expect(machine.set(group, attr(group, 7n), 0n, UNMAPPED)).toBe(-EINVAL);
    expect(machine.get(group, attr(group, 7n))).toBe(-EINVAL);
    machine.running(3, true);
    expect(machine.set(group, attr(group, 1n), 0n, UNMAPPED)).toBe(-EFAULT);
    expect(machine.set(group, attr(group, 1n), 0n)).toBe(-EBUSY);
    machine.running(3, false);
    expect(machine.set(group, attr(group, 1n), 0n)).toBe(-EBUSY);
    machine.must(machine.init());
    expect(machine.set(group, attr(group, 1n), 0n)).toBe(0);
    expect(machine.getTo(group, attr(group, 1n), UNMAPPED)).toBe(-EFAULT);
    expect(machine.vm.vcpus.every((vcpu) => vcpu.mutex.isOpen()) && machine.vm.lock.isOpen() && machine.dist.configLock.isOpen()).toBe(true);
  });

  it("no register at the offset, or not at a word", () => {
    const machine = AttrMachine.f0();
    expect([machine.dist32(0x40), machine.dist32(0x102), machine.setDist(0xf00, 1)]).toEqual([-ENXIO, -ENXIO, -ENXIO]);
    expect([machine.redist32(0, 0x40), machine.redist32(0, 0x10102), machine.setRedist(0, 0x9000, 1)]).toEqual([-ENXIO, -ENXIO, -ENXIO]);
    expect(machine.dist32(0x100 + 31 * 4)).toBe(0); // an array's word beyond the last interrupt is no register, but no error either
  });
});

describe("has_attr (gic-v3.md A3.6)", () => {
  it("GICv3", () => {
    const machine = new AttrMachine();
    const all: readonly [number, bigint, number][] = [
      ...[V3_DIST, V3_REDIST, REGION].map((type): [number, bigint, number] => [ADDR, BigInt(type), 0]),
      ...[A.KVM_VGIC_V2_ADDR_TYPE_DIST, A.KVM_VGIC_V2_ADDR_TYPE_CPU, A.KVM_VGIC_ITS_ADDR_TYPE, 6].map((type): [number, bigint, number] => [ADDR, BigInt(type), -ENXIO]),
      [NR_IRQS, 0n, 0],
      [CTRL, 0n, 0],
      [CTRL, 1n, -ENXIO],
      [CTRL, 3n, 0],
      [A.KVM_DEV_ARM_VGIC_GRP_DIST_REGS, 0x0n, 0],
      [A.KVM_DEV_ARM_VGIC_GRP_DIST_REGS, 0x2n, -ENXIO],
      [A.KVM_DEV_ARM_VGIC_GRP_DIST_REGS, 0x40n, -ENXIO],
      [A.KVM_DEV_ARM_VGIC_GRP_REDIST_REGS, 0x10080n, 0],
      [A.KVM_DEV_ARM_VGIC_GRP_REDIST_REGS, 0x20000n, -ENXIO],
      [A.KVM_DEV_ARM_VGIC_GRP_REDIST_REGS, (9n << 32n) | 0x10080n, -EINVAL],
      [A.KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS, 0xc230n, 0],
      [A.KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS, 0xc660n, -ENXIO],
      [A.KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO, 33n, 0],
      [A.KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO, 0x400n, -ENXIO],
      [A.KVM_DEV_ARM_VGIC_GRP_CPU_REGS, 0n, -ENXIO],
      [A.KVM_DEV_ARM_VGIC_GRP_ITS_REGS, 0n, -ENXIO],
      [A.KVM_DEV_ARM_VGIC_GRP_MAINT_IRQ, 0n, -ENXIO],
    ];
    expect(all.map(([group, attr]) => [group, attr, machine.has(group, attr)])).toEqual(all);
  });

  it("GICv2", () => {
    const machine = new AttrMachine({ model: 2 });
    const all: readonly [number, bigint, number][] = [
      [ADDR, 0n, 0],
      [ADDR, 1n, 0],
      [ADDR, 2n, -ENXIO],
      [NR_IRQS, 0n, 0],
      [CTRL, 0n, 0],
      [CTRL, 3n, -ENXIO],
      [A.KVM_DEV_ARM_VGIC_GRP_DIST_REGS, 0xf10n, 0],
      [A.KVM_DEV_ARM_VGIC_GRP_DIST_REGS, 0x6100n, -ENXIO],
      [A.KVM_DEV_ARM_VGIC_GRP_DIST_REGS, 9n << 32n, -EINVAL],
      [A.KVM_DEV_ARM_VGIC_GRP_CPU_REGS, 0xd0n, 0],
      [A.KVM_DEV_ARM_VGIC_GRP_CPU_REGS, 0xcn, -ENXIO],
      [A.KVM_DEV_ARM_VGIC_GRP_REDIST_REGS, 0n, -ENXIO],
      [A.KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO, 0n, -ENXIO],
    ];
    expect(all.map(([group, attr]) => [group, attr, machine.has(group, attr)])).toEqual(all);
  });
});
