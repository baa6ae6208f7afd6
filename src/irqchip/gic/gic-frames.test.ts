import { describe, expect, it } from "vitest";
import { Gicd, GICD_V3 } from "../../arch/gic/gicd.js";
import { run } from "../../sim/step.js";
import { EBUSY, EINVAL } from "../../uapi/errno.js";
import { AttrMachine, GICD, GICR } from "./vgic-attr.fixture.js";
import { isPendingFor } from "./vgic-cpuif.js";

const SGI = 0x10000;
const FULL = 0xffffffff;
const f64 = (machine: AttrMachine): AttrMachine => {
  machine.must(machine.setNrIrqs(64));
  return machine;
};
const ready = (machine: AttrMachine): AttrMachine => {
  machine.must(machine.setAddr(2, BigInt(GICD)));
  machine.must(machine.setAddr(3, BigInt(GICR)));
  machine.must(machine.init());
  machine.must(run(machine.vgic.mapResources()));
  return machine;
};

describe("GICD of a GICv3 (gic-v3.md A5)", () => {
  it("vector VA20: GICD_TYPER with and without an ITS", () => {
    const machine = AttrMachine.f0();
    expect(machine.load(GICD + 4)).toBe(0x00480007);
    machine.dist.hasIts = true;
    expect(machine.load(GICD + 4)).toBe(0x007a0007);
    const small = ready(f64(new AttrMachine()));
    small.dist.hasIts = true;
    expect(small.load(GICD + 4)).toBe(0x007a0001);
    small.store(GICD + 4, FULL);
    expect(small.load(GICD + 4)).toBe(0x007a0001);
  });

  it("vector VA21: GICD_CTLR has EnableGrp1 and nothing else to write", () => {
    const machine = AttrMachine.f0();
    expect(machine.load(GICD)).toBe(0x50);
    const after = (value: number): number => {
      machine.store(GICD, value);
      return machine.load(GICD);
    };
    expect([0x2, 0x53, 0x1, 0x102].map(after)).toEqual([0x52, 0x52, 0x50, 0x52]);
    machine.must(machine.setDist(0, 0x101));
    expect(machine.dist32(0)).toBe(0x50);
  });

  it("enabling kicks who has something pending; user space's enabling does not (A5)", () => {
    const machine = AttrMachine.f0();
    const kicks = (enable: () => void): number[] => {
      const before = machine.vm.vcpus.map((vcpu) => vcpu.kicks);
      enable();
      return machine.vm.vcpus.map((vcpu, i) => vcpu.kicks - before[i]);
    };
    machine.must(machine.setSysreg(0xc230, 0xf0n, 1));
    machine.store(GICD, 2);
    machine.store(GICR + 0x20000 + SGI + 0x200, 1 << 5, 4, 1); // SGI 5 of vCPU 1
    machine.store(GICD, 0);
    expect(kicks(() => machine.must(machine.setDist(0, 2)))).toEqual([0, 0, 0, 0]);
    machine.store(GICD, 0);
    expect(kicks(() => machine.store(GICD, 2))).toEqual([0, 1, 0, 0]);
    expect(run(isPendingFor(machine.dist, machine.dist.cpus[1]))).toBe(true);
  });

  it("vector VA22: GICD_IIDR chooses the revision", () => {
    const machine = AttrMachine.f0();
    expect(machine.load(GICD + 8)).toBe(0x4b00343b);
    expect(machine.setDist(8, 0x4b00243b)).toBe(0);
    expect([machine.load(GICD + 8), machine.load(GICR)]).toEqual([0x4b00243b, 0]);
    expect([0x4b00443b, 0x4b00343a, 0x4b00043b].map((value) => machine.setDist(8, value))).toEqual([-EINVAL, -EINVAL, -EINVAL]);
    expect(machine.setDist(8, 0x4b00143b)).toBe(0);
    machine.store(GICD + 8, 0x4b00343b);
    expect(machine.load(GICD + 8)).toBe(0x4b00143b);
    const old = AttrMachine.f0({ compat: "linux-6.1" });
    expect([0x4b00243b, 0x4b00443b, 0x4b00343a].map((value) => old.setDist(8, value))).toEqual([0, 0, -EINVAL]);
    expect([old.load(GICD + 8), old.load(GICR)]).toEqual([0x4b00343b, 0x6]);
  });

  it("GICD_TYPER2 cannot be given what the host has not", () => {
    const machine = new AttrMachine();
    expect([machine.setDist(0xc, 0), machine.setDist(0xc, 0x100)]).toEqual([0, -EINVAL]);
    machine.must(machine.init());
    expect([machine.setDist(0xc, 0), machine.setDist(0xc, 0x100)]).toEqual([0, -EBUSY]);
    expect(AttrMachine.f0({ compat: "linux-6.1" }).setDist(0xc, 0x100)).toBe(-EINVAL);
  });

  it("vector VA24: priorities have five bits, by byte and by word", () => {
    const machine = AttrMachine.f0();
    machine.store(GICD + 0x420, FULL);
    expect(machine.load(GICD + 0x420)).toBe(0xf8f8f8f8);
    machine.store(GICD + 0x421, 0x37, 1);
    expect(machine.load(GICD + 0x421, 1)).toBe(0x30);
    expect(machine.load(GICD + 0x420)).toBe(0xf8f830f8);
  });

  it("vector VA25: words of private interrupts are RAZ/WI", () => {
    const machine = AttrMachine.f0();
    machine.store(GICD + 0x100, FULL);
    expect([machine.load(GICD + 0x100), machine.load(GICD + 0x400), machine.load(GICD + 0xc00)]).toEqual([0, 0, 0]);
    expect(machine.redist32(0, SGI + 0x100)).toBe(0x0000ffff);
  });

  it("vector VA26: two-byte and unaligned accesses are RAZ/WI, as are sizes that a register has not", () => {
    const machine = AttrMachine.f0();
    machine.store(GICD + 0x420, FULL);
    expect([machine.load(GICD + 0x420, 2), machine.load(GICD + 0x422)]).toEqual([0, 0]);
    expect(machine.load64(GICD + 0x420)).toBe(0n);
    machine.store(GICD + 0x104, 1, 1);
    machine.store(GICD + 0x100, FULL, 8);
    expect([machine.load(GICD + 0x104, 1), machine.load(GICD + 0x104)]).toEqual([0, 0]);
  });

  it("vector VA27: nothing is beyond the last interrupt", () => {
    const machine = ready(f64(new AttrMachine()));
    for (const offset of [0x108, 0x440, 0xc10, 0x6200]) {
      machine.store(GICD + offset, FULL);
      expect(machine.load(GICD + offset)).toBe(0);
    }
    machine.store(GICD + 0x104, FULL);
    expect(machine.load(GICD + 0x104)).toBe(FULL);
  });

  it("vector VA28: SPIs are edge until the guest says level; even bits are ignored", () => {
    const machine = AttrMachine.f0();
    expect(machine.load(GICD + 0xc08)).toBe(0xaaaaaaaa);
    machine.store(GICD + 0xc08, FULL);
    expect(machine.load(GICD + 0xc08)).toBe(0xaaaaaaaa);
    machine.store(GICD + 0xc08, 0x55555556);
    expect(machine.load(GICD + 0xc08)).toBe(0x2);
  });

  it("vector VA30: IROUTER keeps Aff2.Aff1.Aff0 of its low word", () => {
    const machine = AttrMachine.f0();
    machine.store(GICD + 0x6100, 0x00000001_80010203n, 8);
    expect(machine.load64(GICD + 0x6100)).toBe(0x00010203n);
    machine.store(GICD + 0x6104, 5);
    expect(machine.load64(GICD + 0x6100)).toBe(0x00010203n);
    expect([machine.load(GICD + 0x6100), machine.load(GICD + 0x6104)]).toEqual([0x00010203, 0]);
    machine.store(GICD + 0x6000, 3);
    expect(machine.load(GICD + 0x6000)).toBe(0);
    expect(machine.dist.spis[0].targetVcpu).toBeNull();
    machine.store(GICD + 0x6100, 2);
    expect(machine.dist.spis[0].targetVcpu).toBe(machine.dist.cpus[2]);
  });

  it("vectors VA33, VA34: STATUSR, WAKER and PIDR2", () => {
    const machine = AttrMachine.f0();
    expect([machine.load(GICR + 0x14), machine.load(GICD + 0x10)]).toEqual([0, FULL]);
    expect([machine.load(GICD + 0xffe8), machine.load(GICR + 0xffe8)]).toEqual([0x3b, 0x3b]);
    for (let offset = 0xffd0; offset < 0x10000; offset += 4) if (offset !== 0xffe8) expect([machine.load(GICD + offset), machine.load(GICR + offset)]).toEqual([0, 0]);
  });

  it("registers that KVM does not have, and the offsets between, are RAZ/WI", () => {
    const machine = AttrMachine.f0();
    for (const offset of [0x20, 0x40, 0x48, 0x50, 0x58, 0x800, 0x820, 0xd00, 0xd04, 0xe00, 0xf00, 0xf10, 0xf20, 0x5000, 0xc000]) {
      machine.store(GICD + offset, FULL);
      expect(machine.load(GICD + offset)).toBe(0);
    }
    expect(GICD_V3.find(0x40, 4)).toBe(Gicd.SETSPI_NSR);
  });
});

describe("GICR of a GICv3 (gic-v3.md A6)", () => {
  it("vector VA19: GICR_TYPER of vCPU 17 with an ITS", () => {
    const machine = AttrMachine.f0({ ids: [17] });
    machine.dist.hasIts = true;
    expect(machine.load64(GICR + 8)).toBe(0x0000010100001111n);
    expect([machine.load(GICR + 8), machine.load(GICR + 12)]).toEqual([0x1111, 0x101]);
  });

  it("vector VA23: GICR_CTLR says that there is register-based invalidation", () => {
    const machine = AttrMachine.f0();
    machine.dist.hasIts = true;
    expect(machine.load(GICR)).toBe(0x6);
    expect(machine.load(GICR + 4)).toBe(0x4b00043b);
  });

  it("vector VA29: the triggers of private interrupts are fixed", () => {
    const machine = AttrMachine.f0();
    for (const offset of [0xc00, 0xc04]) machine.store(GICR + SGI + offset, offset === 0xc00 ? 0 : FULL);
    expect([machine.load(GICR + SGI + 0xc00), machine.load(GICR + SGI + 0xc04)]).toEqual([0xaaaaaaaa, 0]);
  });

  it("vector VA31: table addresses are sanitised", () => {
    const machine = AttrMachine.f0();
    expect([machine.load64(GICR + 0x70), machine.load64(GICR + 0x78)]).toEqual([0x580n, 0x580n]);
    machine.store(GICR + 0x78, 0x4000000080000000n, 8);
    machine.store(GICR + 0x70, 0x8000000f, 8);
    expect([machine.load64(GICR + 0x78), machine.load64(GICR + 0x70)]).toEqual([0x80000180n, 0x8000018fn]);
    machine.store(GICR + 0x20000 + 0x70, 0xffffffff_ffffffffn, 8); // one value for all; outer shareable (3) is kept as it is reserved
    expect(machine.load64(GICR + 0x70)).toBe(0x000fffff_ffffff9fn);
    machine.store(GICR + 0x78, 0xffffffff_ffffffffn, 8);
    expect(machine.load64(GICR + 0x78)).toBe(0x000fffff_ffff0f80n);
    machine.store(GICR + 0x78, 0x01000000_00000880n, 8); // outer shareable becomes inner, device and nC become RaWb
    expect(machine.load64(GICR + 0x78)).toBe(0x01000000_00000580n);
  });

  it("vector VA31 by words: a half leaves the other alone", () => {
    const machine = AttrMachine.f0();
    machine.store(GICR + 0x7c, 0x12);
    machine.store(GICR + 0x78, 0x80000000);
    expect(machine.load64(GICR + 0x78)).toBe(0x12_80000180n);
    machine.store(GICR + 0x74, 0x34);
    expect(machine.load64(GICR + 0x70)).toBe(0x34_00000580n);
    expect(machine.redist32(0, 0x7c)).toBe(0x12);
  });

  it("vector VA32: LPIs cannot be enabled without an ITS; once enabled, the tables stay", () => {
    const machine = AttrMachine.f0();
    machine.store(GICR, 1);
    expect(machine.load(GICR) & 1).toBe(0);
    machine.dist.hasIts = true;
    machine.store(GICR, 1);
    machine.store(GICR + 0x70, 0x8000000f, 8);
    machine.store(GICR + 0x78, 0x80000000, 8);
    expect([machine.load(GICR) & 1, machine.load64(GICR + 0x70), machine.load64(GICR + 0x78)]).toEqual([1, 0x580n, 0x580n]);
    machine.store(GICR + 0x20000 + 0x70, 0x8000000f, 8); // not this one
    expect(machine.load64(GICR + 0x70)).toBe(0x8000018fn);
    machine.store(GICR, 0);
    expect(machine.load(GICR) & 1).toBe(0);
  });

  it("vector VA81: SGIs are enabled at reset, and can be disabled", () => {
    const machine = AttrMachine.f0();
    expect(machine.load(GICR + SGI + 0x100)).toBe(0x0000ffff);
    machine.store(GICR + SGI + 0x180, 0x5);
    expect(machine.load(GICR + SGI + 0x100)).toBe(0x0000fffa);
    expect(machine.load(GICR + 0x20000 + SGI + 0x100)).toBe(0x0000ffff);
  });

  it("a frame is its vCPU's, whoever accesses it", () => {
    const machine = AttrMachine.f0();
    machine.store(GICR + 0x40000 + SGI + 0x41c, 0xb0a09080, 4, 0); // PPIs 28 to 31 of vCPU 2, by vCPU 0
    expect([machine.load(GICR + 0x40000 + SGI + 0x41c, 4, 3), machine.load(GICR + SGI + 0x41c, 4, 2)]).toEqual([0xb0a09080, 0]);
    machine.store(GICR + 0x40000 + SGI + 0x300, 1 << 28, 4, 1);
    expect([machine.load(GICR + 0x40000 + SGI + 0x380), machine.dist.cpus[2].apList.intids()]).toEqual([1 << 28, [28]]);
    machine.store(GICR + 0x40000 + SGI + 0x380, 1 << 28, 4, 1);
    expect(machine.load(GICR + 0x40000 + SGI + 0x300)).toBe(0);
  });
});

describe("GICv3 by kvm-unit-tests gicv3-mmio (gic-v3.md A13)", () => {
  const machine = AttrMachine.f0();

  it("TYPER, IIDR and PIDR2 ignore writes", () => {
    for (const offset of [0x4, 0x8, 0xffe8]) {
      const before = machine.load(GICD + offset);
      machine.store(GICD + offset, ~before & FULL);
      expect([machine.load(GICD + offset), before !== 0]).toEqual([before, true]);
    }
  });

  it("priorities: the same bits for all interrupts, words and bytes agree, nothing above the last", () => {
    const last = 32 * ((machine.load(GICD + 4) & 0x1f) + 1);
    for (let intid = 32; intid < last; intid += 4) {
      machine.store(GICD + 0x400 + intid, FULL);
      expect(machine.load(GICD + 0x400 + intid)).toBe(0xf8f8f8f8);
      machine.store(GICD + 0x400 + intid, 0x40302010);
      expect([0, 1, 2, 3].map((i) => machine.load(GICD + 0x400 + intid + i, 1))).toEqual([0x10, 0x20, 0x30, 0x40]);
      machine.store(GICD + 0x402 + intid, 0x9f, 1);
      expect(machine.load(GICD + 0x400 + intid)).toBe(0x40982010);
    }
    machine.store(GICD + 0x400 + last, FULL);
    expect(machine.load(GICD + 0x400 + last)).toBe(0);
  });
});
