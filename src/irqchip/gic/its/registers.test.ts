import { describe, expect, it } from "vitest";
import { run } from "../../../sim/step.js";
import * as A from "../../../uapi/arm.js";
import { E2BIG, EBUSY, EEXIST, EINVAL, ENXIO } from "../../../uapi/errno.js";
import { ITS, ItsStage, mapc, mapd, mapti, QUEUE, sync } from "../../../explore/stages/its-stage.js";

const REGS = A.KVM_DEV_ARM_VGIC_GRP_ITS_REGS;
const [CREADR, IIDR] = [0x90, 0x4];
const UNKNOWN = [0x77n, 0n, 0n, 0n] as const;

describe("registers of the ITS (gic.md D4)", () => {
  it("VI1: TYPER, IIDR and CTLR at reset", () => {
    const h = new ItsStage({ isRaw: true });
    expect([h.read("TYPER"), h.read("IIDR"), h.read("CTLR")]).toEqual([0x1ef71n, 0x4b00043bn, 0x80000000n]);
  });

  it("VI2: BASER0 to BASER2 at reset", () => {
    const h = new ItsStage({ isRaw: true });
    expect([h.read("BASER0"), h.read("BASER1"), h.read("BASER2")]).toEqual([0x1907000000000600n, 0x1c07000000000600n, 0n]);
  });

  it("VI3: a BASER keeps its type and entry size; the collection table is flat", () => {
    const h = new ItsStage({ isRaw: true });
    h.write("BASER0", 0x8000000041000000n);
    h.write("BASER1", 0xc000000041010000n);
    expect([h.read("BASER0"), h.read("BASER1")]).toEqual([0x9907000041000200n, 0x9c07000041010200n]);
  });

  it("VI4: CBASER is on 64 KiB, and a write of it empties the queue", () => {
    const h = new ItsStage({ isRaw: true });
    h.write("CBASER", 0x8000000041021000n);
    expect([h.read("CBASER"), h.read("CREADR"), h.read("CWRITER")]).toEqual([0x9800000041020000n, 0n, 0n]);
  });

  it("VI5: CTLR is not enabled without a valid queue: the whole write is ignored", () => {
    const h = new ItsStage({ isRaw: true });
    h.write("BASER0", 0x8000000041000000n);
    h.write("BASER1", 0x8000000041010000n);
    h.write("CTLR", 1n);
    expect(h.read("CTLR")).toBe(0x80000000n);
    h.write("CBASER", 0x8000000041020000n);
    h.write("CTLR", 1n);
    expect(h.read("CTLR")).toBe(0x80000001n);
  });

  it("VI6: CBASER and BASER0 stay as they are while the ITS is enabled", () => {
    const h = new ItsStage();
    const before = [h.read("CBASER"), h.read("BASER0")];
    h.write("CBASER", 0x8000000049990000n);
    h.write("BASER0", 0x8000000049990000n);
    expect([h.read("CBASER"), h.read("BASER0")]).toEqual(before);
  });

  it("VI7: a CWRITER behind the queue is ignored; an unknown command is passed over", () => {
    const h = new ItsStage();
    h.write("CWRITER", 0x1000n);
    expect(h.read("CWRITER")).toBe(0n);
    expect(h.commands(UNKNOWN)).toEqual([-19]);
    expect(h.read("CREADR")).toBe(0x20n);
  });

  it("VI8: the queue wraps", () => {
    const h = new ItsStage();
    for (let i = 0; i < 127; i++) h.commands(sync());
    expect(h.read("CREADR")).toBe(0xfe0n);
    h.commands(sync());
    expect([h.read("CREADR"), h.read("CWRITER")]).toEqual([0n, 0n]);
  });

  it("VI9: user space restores CREADR while the ITS is off, inside the queue", () => {
    const h = new ItsStage();
    expect(h.set(REGS, CREADR, 0x20n)).toBe(-EBUSY);
    h.write("CTLR", 0n);
    expect(h.set(REGS, CREADR, 0x2000n)).toBe(-EINVAL);
    expect(h.set(REGS, CREADR, 0x20n)).toBe(0);
    expect(h.get(REGS, CREADR)).toBe(0x20n);
  });

  it("VI10: attributes are aligned, of registers that exist; IIDR takes revision 0 alone", () => {
    const h = new ItsStage();
    expect(h.set(REGS, 0x84, 0n)).toBe(-EINVAL);
    expect(h.set(REGS, 0x10040, 0n)).toBe(-ENXIO);
    expect(h.set(REGS, IIDR, 0x1000n)).toBe(-EINVAL);
    expect(h.set(REGS, IIDR, 0x4b00043bn)).toBe(0);
    expect(run(h.its.hasAttr(h.process, REGS, 0x84, 0))).toBe(-EINVAL);
  });

  it("B8: an attribute is judged by its alignment, then by the address, then by the register; has_attr asks for no address", () => {
    const h = new ItsStage({ isRaw: true });
    expect([h.set(REGS, 0x84, 0n), h.set(REGS, 0x10040, 0n), h.set(REGS, CREADR, 0n)]).toEqual([-EINVAL, -ENXIO, -ENXIO]);
    const has = (attrLo: number, attrHi = 0): number => run(h.its.hasAttr(h.process, REGS, attrLo, attrHi));
    expect([has(0x84), has(CREADR), has(0x10040), has(4, 1), has(2, 1)]).toEqual([-EINVAL, 0, -ENXIO, -ENXIO, -EINVAL]);
  });

  it("B8: what a running vCPU refuses comes before a control that does not exist", () => {
    const h = new ItsStage();
    run(h.vm.vcpus[1].mutex.lock());
    expect([h.control(99), h.control(A.KVM_DEV_ARM_VGIC_CTRL_INIT)]).toEqual([-EBUSY, 0]);
    run(h.vm.vcpus[1].mutex.unlock());
    expect(h.control(99)).toBe(-ENXIO);
  });

  it("B8: a running vCPU is told before that there is no such register; in Linux 6.1 behind it", () => {
    for (const [compat, error] of [["newest", -EBUSY], ["linux-6.1", -ENXIO]] as const) {
      const h = new ItsStage({ compat });
      run(h.vm.vcpus[1].mutex.lock());
      expect([h.set(REGS, 0x84, 0n), h.set(REGS, 0x10040, 0n), h.set(REGS, CREADR, 0n)]).toEqual([-EINVAL, error, -EBUSY]);
      run(h.vm.vcpus[1].mutex.unlock());
      expect(h.set(REGS, 0x10040, 0n)).toBe(-ENXIO);
    }
  });

  it("B8: an address that the bus refuses counts as set, and takes no messages", () => {
    const h = new ItsStage({ isRaw: true });
    run(h.vm.mmioBus.register(ITS, 0x1000, h.its));
    expect(h.address(BigInt(ITS))).toBe(-EEXIST);
    expect(h.its.base).toBe(ITS);
    expect(h.msi(2, 4)).toBe(-EINVAL);
    expect(h.address(0x09000000n)).toBe(-EEXIST);
  });

  it("VI11: the address is set once, on 64 KiB, within the guest's address space", () => {
    const set = new ItsStage();
    expect(set.address(BigInt(ITS))).toBe(-EEXIST);
    const h = new ItsStage({ isRaw: true });
    expect(h.set(REGS, CREADR, 0n)).toBe(-ENXIO);
    expect(h.address(0x08081000n)).toBe(-EINVAL);
    expect(h.address(1n << 40n)).toBe(-E2BIG);
    expect(h.address((1n << 40n) - 0x10000n)).toBe(-E2BIG);
    expect(h.address(BigInt(ITS))).toBe(0);
    expect(h.get(A.KVM_DEV_ARM_VGIC_GRP_ADDR, A.KVM_VGIC_ITS_ADDR_TYPE)).toBe(BigInt(ITS));
  });

  it("B2: a register of 64 bits takes its halves one by one", () => {
    const h = new ItsStage({ isRaw: true });
    h.store(0x80, 4, BigInt(QUEUE));
    h.store(0x84, 4, 0x80000000n);
    expect(h.read("CBASER")).toBe(0x9800000041020000n);
    expect([h.load(0x80, 4), h.load(0x84, 4)]).toEqual([0x41020000n, 0x98000000n]);
    expect(h.load(0x81, 4)).toBe(0n);
  });

  it("VI29: an ITS that is off refuses messages and has forgotten its translations", () => {
    const h = new ItsStage();
    h.commands(mapd(2, 5), mapc(0, 1), mapti(2, 4, 8195, 0));
    expect([h.msi(2, 4), h.its.cache.size]).toEqual([1, 1]);
    h.write("CTLR", 0n);
    expect(h.its.cache.size).toBe(0);
    expect(h.msi(2, 4)).toBe(-EBUSY);
  });

  it("VI45: CTRL_RESET drops what is valid and what is mapped", () => {
    const h = new ItsStage();
    expect(h.reset()).toBe(0);
    expect([h.read("BASER0"), h.read("BASER1")]).toEqual([0x1907000041000200n, 0x1c07000041010200n]);
    expect([h.read("CBASER"), h.read("CREADR"), h.read("CWRITER"), h.read("CTLR")]).toEqual([0n, 0n, 0n, 0x80000000n]);
  });

  it("VI46: INIT of an ITS does nothing; pending tables are the GIC's", () => {
    const h = new ItsStage();
    expect(h.control(A.KVM_DEV_ARM_VGIC_CTRL_INIT)).toBe(0);
    expect(h.control(A.KVM_DEV_ARM_VGIC_SAVE_PENDING_TABLES)).toBe(-ENXIO);
  });
});
