import fc from "fast-check";
import { describe, expect, it } from "vitest";
import * as arm from "./arm.js";

describe("KVM_IRQ_LINE on arm64", () => {
  it("packs vcpu2[31:28] type[27:24] vcpu[23:16] id[15:0]", () => {
    expect(arm.armIrqLine(arm.KVM_ARM_IRQ_TYPE_SPI, 32)).toBe(0x0100_0020);
    expect(arm.armIrqLine(arm.KVM_ARM_IRQ_TYPE_PPI, 27, 0x1ff)).toBe(0x12ff_001b);
    expect(arm.armIrqLine(arm.KVM_ARM_IRQ_TYPE_CPU, arm.KVM_ARM_IRQ_CPU_FIQ, 0xfff)).toBe(0xf0ff_0001);
  });

  it("comes apart into what went in", () => {
    const nat = (max: number) => fc.integer({ min: 0, max });
    fc.assert(
      fc.property(nat(15), nat(0xffff), nat(0xfff), (type, id, vcpu) => {
        const irq = arm.armIrqLine(type, id, vcpu);
        expect([arm.armIrqLineType(irq), arm.armIrqLineId(irq), arm.armIrqLineVcpu(irq)]).toEqual([type, id, vcpu]);
        expect(irq >>> 0).toBe(irq);
        expect([arm.armIrqLineType(irq | 0), arm.armIrqLineId(irq | 0), arm.armIrqLineVcpu(irq | 0)]).toEqual([type, id, vcpu]);
      }),
    );
  });

  it("refuses a part that does not fit", () => {
    for (const [type, id, vcpu] of [[16, 0, 0], [1, 0x1_0000, 0], [2, 16, 0x1000], [-1, 0, 0], [1, -1, 0], [1, 0, -1]]) {
      expect(() => arm.armIrqLine(type, id, vcpu)).toThrow(RangeError);
    }
  });
});

describe("vGIC attributes", () => {
  it("REDIST_REGION is count[63:52] base[51:16] flags[15:12] index[11:0]", () => {
    const lo = arm.redistRegionLo(0xf_1234_8765_0000, 3, 0xabc);
    const hi = arm.redistRegionHi(0xf_1234_8765_0000, 0xfed);
    expect([lo, hi]).toEqual([0x8765_3abc, 0xfedf_1234]);
  });

  it("REDIST_REGION comes apart into what went in, whichever sign the halves have", () => {
    const base = fc.integer({ min: 0, max: 2 ** 36 - 1 }).map((frame) => frame * 0x1_0000);
    const nat = (max: number) => fc.integer({ min: 0, max });
    fc.assert(
      fc.property(base, nat(0xfff), nat(15), nat(0xfff), (address, count, flags, index) => {
        const lo = arm.redistRegionLo(address, flags, index);
        const hi = arm.redistRegionHi(address, count);
        for (const [l, h] of [[lo, hi], [lo | 0, hi | 0]]) {
          expect(arm.redistRegionBase(l, h)).toBe(address);
          expect(arm.redistRegionCount(h)).toBe(count);
          expect([arm.redistRegionFlags(l), arm.redistRegionIndex(l)]).toEqual([flags, index]);
        }
      }),
    );
  });

  it("groups and types have the numbers of gic-v3.md A3.2", () => {
    expect(arm).toMatchObject({
      KVM_DEV_ARM_VGIC_GRP_ADDR: 0,
      KVM_DEV_ARM_VGIC_GRP_DIST_REGS: 1,
      KVM_DEV_ARM_VGIC_GRP_CPU_REGS: 2,
      KVM_DEV_ARM_VGIC_GRP_NR_IRQS: 3,
      KVM_DEV_ARM_VGIC_GRP_CTRL: 4,
      KVM_DEV_ARM_VGIC_GRP_REDIST_REGS: 5,
      KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS: 6,
      KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO: 7,
      KVM_DEV_ARM_VGIC_GRP_ITS_REGS: 8,
      KVM_DEV_ARM_VGIC_GRP_MAINT_IRQ: 9,
    });
  });
});

describe("one-reg ids", () => {
  const id = (hi: number, lo: number): string => hi.toString(16).padStart(8, "0") + lo.toString(16).padStart(8, "0");

  it("are those of host-irq.md 4.7", () => {
    expect(id(arm.KVM_REG_ARM64_U64_HI, arm.KVM_REG_ARM_CORE | arm.KVM_REG_ARM_CORE_PC)).toBe("6030000000100040");
    expect(id(arm.KVM_REG_ARM64_U64_HI, arm.KVM_REG_ARM64_SYSREG | arm.armSysReg(3, 0, 0, 0, 5))).toBe("603000000013c005");
    expect(id(arm.KVM_REG_ARM64_U64_HI, arm.KVM_REG_ARM_MPIDR_EL1_LO)).toBe("603000000013c005");
    expect(id(arm.KVM_REG_ARM64_U64_HI, arm.KVM_REG_ARM_TIMER_CNT_LO)).toBe("603000000013df1a");
    expect(id(arm.KVM_REG_ARM64_U64_HI, arm.KVM_REG_ARM_TIMER_CVAL_LO)).toBe("603000000013df02");
  });

  it("the size code is in bits 55:52", () => {
    expect((arm.KVM_REG_ARM64_U32_HI & arm.KVM_REG_SIZE_MASK_HI) >>> 20).toBe(2);
    expect((arm.KVM_REG_ARM64_U64_HI & arm.KVM_REG_SIZE_MASK_HI) >>> 20).toBe(3);
    expect((arm.KVM_REG_ARM64_U128_HI & arm.KVM_REG_SIZE_MASK_HI) >>> 20).toBe(4);
  });
});
