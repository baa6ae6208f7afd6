import { describe, expect, it } from "vitest";
import { offsets } from "./offsets.fixture.js";
import * as powerpc from "./powerpc.js";

describe("powerpc's asm/kvm.h", () => {
  it("registers are 49 words of 64 bits, and their requests have the kernel's size", () => {
    expect(powerpc).toMatchObject({ KVM_GET_REGS: 0x8188ae81, KVM_SET_REGS: 0x4188ae82 });
    expect(offsets(powerpc.kvm_regs)).toMatchObject({ pc: 0, msr: 40, srr0: 48, srr1: 56, pid: 64 });
    expect([powerpc.kvm_regs.sprg[7].offset, powerpc.kvm_regs.gpr[0].offset, powerpc.kvm_regs.gpr[31].offset]).toEqual([128, 136, 384]);
  });
});
