import { describe, expect, it } from "vitest";
import { GITS_TRANSLATER } from "../../../arch/gic/gits.js";
import { COLLECTIONS, DEVICES, discard, int, inv, ITS, ITS_STRIDE, ItsStage, ITT, mapc, mapd, mapti, movi } from "../../../explore/stages/its-stage.js";
import { run } from "../../../sim/step.js";
import * as A from "../../../uapi/arm.js";
import { EBUSY, EFAULT, EINVAL, ENODEV, ENXIO } from "../../../uapi/errno.js";

// Rules of gic-its.md on tables and registers, at their edges: where memory ends, where a table is rewritten, where ids end.

const VALID = 1n << 63n;
const INDIRECT = 1n << 62n;
const RAM_END = 0x50000000;
const LEVEL2 = 0x41200000;
const OUTER_SHAREABLE = 2n << 10n;
const REGS = A.KVM_DEV_ARM_VGIC_GRP_ITS_REGS;
const dte = (next = 0, bits = 5): bigint => VALID | (BigInt(next) << 49n) | (BigInt(ITT) >> 3n) | BigInt(bits - 1);

/** Device 2 with 5 bits of events, collection 0 on vCPU 1, event 4 as LPI 8195. */
function mapped(options: ConstructorParameters<typeof ItsStage>[0] = {}): ItsStage {
  const h = new ItsStage(options);
  expect(h.commands(mapd(2, 5), mapc(0, 1), mapti(2, 4, 8195, 0))).toEqual([0, 0, 0]);
  return h;
}

/** The ITS is off while a table is placed. */
function place(h: ItsStage, baser: "BASER0" | "BASER1", value: bigint): void {
  h.write("CTLR", 0n);
  h.write(baser, value);
  h.write("CTLR", 1n);
}

describe("registers (gic-its.md B2)", () => {
  it.each(["BASER0", "BASER1", "CBASER"] as const)("B2.1: without a valid %s the ITS does not start", (register) => {
    const h = new ItsStage();
    h.write("CTLR", 0n);
    h.write(register, 0n);
    h.write("CTLR", 1n);
    expect(h.read("CTLR") & 1n).toBe(0n);
  });

  it("B2.1: an ITS that is on stays on, whatever bit 0 is written with again", () => {
    const h = mapped();
    h.write("CTLR", 1n);
    expect([h.read("CTLR") & 1n, h.msi(2, 4)]).toEqual([1n, 1]);
  });

  it("B2.2: a table that is placed anew loses what is mapped by it, one that is written as it was keeps it; [6.1] keeps it both times", () => {
    for (const compat of ["newest", "linux-6.1"] as const) {
      const h = mapped({ compat });
      place(h, "BASER0", h.read("BASER0"));
      place(h, "BASER1", h.read("BASER1"));
      expect(h.mapped()).toEqual({ devices: [2], collections: [[0, 1]] });
      const isKept = compat === "linux-6.1";
      place(h, "BASER1", VALID | BigInt(COLLECTIONS + 0x200000));
      expect(h.mapped()).toEqual({ devices: [2], collections: isKept ? [[0, 1]] : [] });
      place(h, "BASER0", VALID | BigInt(DEVICES + 0x200000));
      expect(h.mapped().devices).toEqual(isKept ? [2] : []);
    }
  });

  it("A6.4: outer shareable is taken for inner, in each of the three", () => {
    const h = new ItsStage({ isRaw: true });
    for (const register of ["BASER0", "BASER1", "CBASER"] as const) {
      h.write(register, VALID | BigInt(DEVICES) | OUTER_SHAREABLE);
      expect((h.read(register) >> 10n) & 3n).toBe(1n);
    }
  });

  it("B2: CREADR of an ITS that is on is refused before its value is looked at", () => {
    expect(new ItsStage().set(REGS, 0x90, 0x2000n)).toBe(-EBUSY);
  });

  it("B8: has_attr knows the four controls", () => {
    const h = new ItsStage();
    const has = (attr: number): number => run(h.its.hasAttr(h.process, A.KVM_DEV_ARM_VGIC_GRP_CTRL, attr, 0));
    expect([A.KVM_DEV_ARM_VGIC_CTRL_INIT, A.KVM_DEV_ARM_ITS_SAVE_TABLES, A.KVM_DEV_ARM_ITS_RESTORE_TABLES, A.KVM_DEV_ARM_ITS_CTRL_RESET, 99].map(has)).toEqual([0, 0, 0, 0, -ENXIO]);
  });
});

describe("ids and the memory of their entries (gic-its.md B3, B4)", () => {
  it("B3.2: the entry in a flat table must lie in memory", () => {
    const h = new ItsStage();
    place(h, "BASER0", VALID | BigInt(RAM_END));
    expect(h.commands(mapd(0, 5))).toEqual([0x010801]);
  });

  it("B3.1: device ids end at 0xffff, however much room two levels have", () => {
    const h = new ItsStage();
    place(h, "BASER0", VALID | INDIRECT | BigInt(DEVICES));
    for (const index of [7, 8]) h.poke(DEVICES + 8 * index, VALID | BigInt(LEVEL2));
    expect(h.commands(mapd(0xffff, 5), mapd(0x10000, 5))).toEqual([0, 0x010801]);
  });

  it("B3.3: a page of the second level is where bits [51:16] say, if bit 63 does", () => {
    const h = new ItsStage();
    place(h, "BASER0", VALID | INDIRECT | BigInt(DEVICES));
    h.poke(DEVICES, VALID | BigInt(LEVEL2 + 0xfff8));
    h.poke(DEVICES + 8, BigInt(LEVEL2));
    expect(h.commands(mapd(3, 5), mapd(8192, 5), mapc(0, 1), mapti(3, 0, 8195, 0))).toEqual([0, 0x010801, 0, 0]);
    expect([h.save(), h.peek(LEVEL2 + 24)]).toEqual([0, dte()]);
  });

  it("B4.3: MAPC of a collection that is there asks no table, one that is not does", () => {
    const h = mapped({ compat: "linux-6.1" });
    place(h, "BASER1", VALID | BigInt(RAM_END));
    expect(h.commands(mapc(0, 2), mapc(1, 2))).toEqual([0, 0x010903]);
  });

  it("B4.4: an event whose entry lies behind the end of memory is out of range", () => {
    const h = new ItsStage();
    const [, , last, beyond] = h.commands(mapd(2, 6, RAM_END - 0x100), mapc(0, 1), mapti(2, 31, 8195, 0), mapti(2, 32, 8196, 0));
    expect([last, beyond]).toEqual([0, 0x010a05]);
  });

  it("B4.5: MOVI of an event whose own collection is not mapped", () => {
    const h = mapped();
    expect(h.commands(mapti(2, 5, 8196, 7), movi(2, 5, 0))).toEqual([0, 0x010109]);
  });

  it("B4.2, B4.6: MAPD with V=0 and DISCARD leave an empty entry in memory", () => {
    const h = mapped();
    h.save();
    expect([h.peek(DEVICES + 16) === 0n, h.peek(ITT + 32) === 0n]).toEqual([false, false]);
    h.commands(discard(2, 4), mapd(2, 5, ITT, false));
    expect([h.peek(DEVICES + 16), h.peek(ITT + 32)]).toEqual([0n, 0n]);
  });

  it("B6.1: a configuration byte that cannot be read leaves the LPI as it is", () => {
    const h = mapped();
    for (let cpu = 0; cpu < 4; cpu++) h.enableLpis(cpu, false);
    h.gicr(0, 0x70, 0x10000000n | 0xfn);
    for (let cpu = 0; cpu < 4; cpu++) h.enableLpis(cpu, true);
    expect(h.commands(inv(2, 4), int(2, 4))).toEqual([-EFAULT, 0]);
    expect(h.drain(1)).toEqual([8195]);
  });

  it("B7.1: messages of a VM without an ITS have nowhere to go", () => {
    expect(new ItsStage({ itses: 0, isRaw: true }).msi(2, 4)).toBe(-ENODEV);
  });

  it("B7.3: EnableLPIs going to 0 empties what every ITS remembers", () => {
    const h = new ItsStage({ itses: 2 });
    for (const n of [0, 1]) {
      h.use(n);
      h.commands(mapd(2, 5), mapc(0, 1), mapti(2, n, 8195 + n, 0));
      h.msi(2, n, { address: ITS + n * ITS_STRIDE + GITS_TRANSLATER });
    }
    const sizes = (): number[] => h.dist.itses.map(({ cache }) => cache.size);
    expect(sizes()).toEqual([1, 1]);
    h.enableLpis(1, false);
    expect(sizes()).toEqual([0, 0]);
  });
});

describe("save and restore (gic-its.md B9)", () => {
  it("B9.1: a device's events are written before its entry", () => {
    const h = new ItsStage();
    h.commands(mapd(2, 5, DEVICES), mapc(0, 1), mapti(2, 2, 8195, 0)); // the event's entry is the device's
    expect([h.save(), h.peek(DEVICES + 16) >> 63n]).toEqual([0, 1n]);
  });

  it("B9.1: what cannot be written ends the save", () => {
    const h = mapped({ compat: "linux-6.1" });
    place(h, "BASER1", VALID | BigInt(RAM_END));
    expect(h.save()).toBe(-EFAULT);
  });

  it("B5: collections are saved in the order in which they were made", () => {
    const h = new ItsStage();
    h.commands(mapc(3, 1), mapc(1, 2), mapc(2, 0));
    h.save();
    expect([0, 1, 2].map((slot) => h.peek(COLLECTIONS + 8 * slot) & 0xffffn)).toEqual([3n, 1n, 2n]);
  });

  it("B9.2: a device entry behind the last id is refused; a page without bit 63 is not looked into", () => {
    const h = new ItsStage();
    place(h, "BASER0", VALID | INDIRECT | BigInt(DEVICES));
    h.poke(LEVEL2, dte());
    h.poke(DEVICES, BigInt(LEVEL2));
    expect([h.restore(), h.mapped().devices]).toEqual([0, []]);
    h.poke(DEVICES + 64, VALID | BigInt(LEVEL2));
    expect([h.restore(), h.mapped().devices]).toEqual([-EINVAL, []]);
  });
});
