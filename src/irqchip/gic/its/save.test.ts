import { describe, expect, it } from "vitest";
import { run } from "../../../sim/step.js";
import { EBUSY, EEXIST, EFAULT, EINVAL } from "../../../uapi/errno.js";
import { COLLECTIONS, DEVICES, int, ItsStage, ITT, mapc, mapd, mapti, PENDING } from "../../../explore/stages/its-stage.js";

const VALID = 1n << 63n;
const OTHER_ITT = ITT + 0x10000;
const LEVEL2 = 0x41200000;

/** VI37's two devices. */
function twoDevices(): ItsStage {
  const h = new ItsStage();
  h.commands(mapd(2, 5), mapd(7, 4, OTHER_ITT), mapc(0, 0), mapc(3, 2), mapti(2, 0, 8192, 0), mapti(2, 20, 8195, 3));
  return h;
}

describe("tables of the ITS (gic.md D4)", () => {
  it("VI37: devices, events and collections as ABI 0 writes them", () => {
    const h = twoDevices();
    expect(h.save()).toBe(0);
    expect([h.peek(DEVICES + 16), h.peek(DEVICES + 56)]).toEqual([0x800a000008220004n, 0x8000000008222003n]);
    expect([h.peek(ITT), h.peek(ITT + 160)]).toEqual([0x0014000020000000n, 0x0000000020030003n]);
    expect([h.peek(COLLECTIONS), h.peek(COLLECTIONS + 8), h.peek(COLLECTIONS + 16)]).toEqual([0x8000000000000000n, 0x8000000000020003n, 0n]);
  });

  it("restored, everything is as it was", () => {
    const h = twoDevices();
    h.save();
    h.reset();
    h.write("BASER0", VALID | BigInt(DEVICES));
    h.write("BASER1", VALID | BigInt(COLLECTIONS));
    h.write("CBASER", VALID | 0x41020000n);
    expect(h.restore()).toBe(0);
    h.write("CTLR", 1n);
    expect(h.commands(int(2, 0), int(2, 20), int(7, 0))).toEqual([0, 0, 0x010307]);
    expect([h.drain(0), h.drain(2)]).toEqual([[8192], [8195]]);
  });

  it("VI38: a collection that a mapping named keeps its place, unmapped", () => {
    const h = new ItsStage();
    h.commands(mapd(2, 5), mapti(2, 1, 8192, 5));
    h.save();
    expect(h.peek(COLLECTIONS)).toBe(0x8000ffffffff0005n);
    h.reset();
    h.write("BASER1", VALID | BigInt(COLLECTIONS));
    expect(h.restore()).toBe(0);
    expect(h.mapped().collections).toEqual([[5, -1]]);
  });

  it("VI39: a step that is too far for an entry is gone in single steps", () => {
    const h = new ItsStage();
    h.write("CTLR", 0n);
    h.write("BASER0", VALID | (1n << 62n) | BigInt(DEVICES));
    h.write("CTLR", 1n);
    for (let page = 0; page < 3; page++) h.poke(DEVICES + 8 * page, VALID | BigInt(LEVEL2 + page * 0x10000));
    expect(h.commands(mapd(0, 5), mapd(20000, 5, OTHER_ITT), mapc(0, 1), mapti(20000, 1, 8192, 0))).toEqual([0, 0, 0, 0]);
    h.save();
    expect((h.peek(LEVEL2) >> 49n) & 0x3fffn).toBe(16383n);
    h.write("CTLR", 0n);
    h.reset();
    h.write("BASER0", VALID | (1n << 62n) | BigInt(DEVICES));
    h.write("BASER1", VALID | BigInt(COLLECTIONS));
    h.write("CBASER", VALID | 0x41020000n);
    expect(h.restore()).toBe(0);
    h.write("CTLR", 1n);
    expect(h.commands(int(20000, 1))).toEqual([0]);
  });

  it("VI40, VI41: tables that cannot be are refused, and leave nothing", () => {
    const dte = (bits: number): bigint => VALID | (BigInt(ITT / 8) & ~0x1fn) | BigInt(bits - 1);
    const cases: [string, number, (h: ItsStage) => void][] = [
      ["vCPU 9", -EINVAL, (h) => h.poke(COLLECTIONS, VALID | (9n << 16n))],
      ["an id twice", -EEXIST, (h) => [0, 8].forEach((at) => h.poke(COLLECTIONS + at, VALID))],
      ["17 bits of events", -EINVAL, (h) => h.poke(DEVICES, dte(17))],
      ["LPI 100", -EINVAL, (h) => (h.poke(DEVICES, dte(5)), h.poke(ITT, 100n << 16n))],
      ["a step behind the table", -EINVAL, (h) => (h.poke(DEVICES, dte(5)), h.poke(ITT + 31 * 8, (1n << 48n) | (8192n << 16n)))],
      ["an unknown collection", -EINVAL, (h) => (h.poke(DEVICES, dte(5)), h.poke(ITT, (8192n << 16n) | 9n))],
      ["a table in no memory", -EFAULT, (h) => h.poke(DEVICES, VALID | 0x10000000n | 4n)],
    ];
    for (const [what, errno, prepare] of cases) {
      const h = new ItsStage();
      h.write("CTLR", 0n);
      h.poke(COLLECTIONS, VALID);
      prepare(h);
      expect(h.restore(), what).toBe(errno);
      expect(h.mapped(), what).toEqual({ devices: [], collections: [] });
    }
  });

  it("VI42: a running vCPU refuses; without a valid device table none is written", () => {
    const h = twoDevices();
    run(h.vm.vcpus[1].mutex.lock());
    expect(h.save()).toBe(-EBUSY);
    run(h.vm.vcpus[1].mutex.unlock());
    const g = new ItsStage();
    g.write("CTLR", 0n);
    g.write("BASER0", BigInt(DEVICES));
    expect(g.save()).toBe(0);
    expect(g.peek(DEVICES + 16)).toBe(0n);
  });

  it("VI43: an event without a collection is an empty entry, and nobody's next", () => {
    const h = new ItsStage();
    h.commands(mapd(2, 5), mapc(0, 1), mapti(2, 4, 8195, 0), mapc(0, 0, false));
    h.poke(COLLECTIONS, 1n);
    expect(h.save()).toBe(0);
    expect([h.peek(ITT + 32), h.peek(COLLECTIONS)]).toEqual([0n, 0n]);
  });

  it("VI44: a device that its table no longer reaches is left out, [6.1] refused", () => {
    for (const compat of ["newest", "linux-6.1"] as const) {
      const h = new ItsStage({ compat });
      h.write("CTLR", 0n);
      h.write("BASER0", VALID | (1n << 62n) | BigInt(DEVICES));
      h.write("CTLR", 1n);
      for (let page = 0; page < 2; page++) h.poke(DEVICES + 8 * page, VALID | BigInt(LEVEL2 + page * 0x10000));
      h.commands(mapd(0, 5), mapd(8192, 5, OTHER_ITT));
      h.poke(DEVICES + 8, 0n);
      expect(h.save()).toBe(compat === "newest" ? 0 : -EINVAL);
      if (compat === "newest") expect((h.peek(LEVEL2) >> 49n) & 0x3fffn).toBe(0n);
    }
  });

  it("a first level that cannot be read ends a restore", () => {
    const h = new ItsStage();
    h.write("CTLR", 0n);
    h.write("BASER0", VALID | (1n << 62n) | 0x10000000n);
    expect(h.restore()).toBe(-EFAULT);
    expect(h.mapped()).toEqual({ devices: [], collections: [] });
  });

  it("[6.1] writes the devices before one that its table no longer reaches", () => {
    const h = new ItsStage({ compat: "linux-6.1" });
    h.write("CTLR", 0n);
    h.write("BASER0", VALID | (1n << 62n) | BigInt(DEVICES));
    h.write("CTLR", 1n);
    for (let page = 0; page < 2; page++) h.poke(DEVICES + 8 * page, VALID | BigInt(LEVEL2 + page * 0x10000));
    h.commands(mapd(0, 5), mapd(8192, 5, OTHER_ITT));
    h.poke(DEVICES + 8, 0n);
    expect(h.save()).toBe(-EINVAL);
    expect(h.peek(LEVEL2) >> 63n).toBe(1n);
  });

  it("VI47: SAVE_PENDING_TABLES writes the latches", () => {
    const h = new ItsStage();
    h.commands(mapd(2, 5), mapc(0, 1), mapti(2, 4, 8195, 0), mapti(2, 5, 8196, 0), int(2, 4));
    h.vm.ram.memory.setU8(PENDING + 0x10000 + 1024, 0x10);
    expect(h.savePending()).toBe(0);
    expect(h.vm.ram.memory.getU8(PENDING + 0x10000 + 1024)).toBe(0x08);
  });
});
