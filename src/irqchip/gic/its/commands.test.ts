import { describe, expect, it } from "vitest";
import { EBUSY, EINVAL, EWOULDBLOCK } from "../../../uapi/errno.js";
import { clear, discard, int, inv, invall, ItsStage, ITS, ITT, mapc, mapd, mapti, movall, movi, PENDING } from "../../../explore/stages/its-stage.js";

const NONE = 1023;

/** Device 2 with 5 bits of events, collection 0 on vCPU 1, event 4 as LPI 8195. */
function mapped(): ItsStage {
  const h = new ItsStage();
  expect(h.commands(mapd(2, 5), mapc(0, 1), mapti(2, 4, 8195, 0))).toEqual([0, 0, 0]);
  return h;
}

/** The same, with collections on vCPUs 1 and 2. */
function twoCollections(): ItsStage {
  const h = mapped();
  h.commands(mapc(1, 2));
  return h;
}

describe("commands of the ITS (gic.md D4)", () => {
  it("VI12, VI14: a device id must fit the table, also to be unmapped", () => {
    const h = new ItsStage();
    expect(h.commands(mapd(8192, 5), mapd(9000, 1, ITT, false))).toEqual([0x010801, 0x010801]);
  });

  it("VI13: 16 bits of event id are the most", () => {
    const h = new ItsStage();
    expect(h.commands(mapd(2, 17), mapd(2, 16))).toEqual([0x010802, 0]);
  });

  it("VI15: MAPC asks for the vCPU and for room in the table; unmapping what was never mapped is fine", () => {
    const h = new ItsStage();
    expect(h.commands(mapc(0, 9), mapc(8192, 0), mapc(5, 0, false))).toEqual([0x010902, 0x010903, 0]);
  });

  it("VI16: MAPTI asks for the device, the event and the LPI, in this order", () => {
    const h = new ItsStage();
    h.commands(mapd(2, 5), mapc(0, 1));
    expect(h.commands(mapti(9, 0, 8192, 0), mapti(2, 32, 8191, 0), mapti(2, 0, 8191, 0), mapti(2, 0, 65536, 0))).toEqual([0x010a04, 0x010a05, 0x010a06, 0x010a06]);
  });

  it("VI17: PROPBASER says how many LPIs there are", () => {
    const h = new ItsStage();
    for (let cpu = 0; cpu < 4; cpu++) h.enableLpis(cpu, false);
    h.gicr(0, 0x70, 0x4103000dn);
    h.commands(mapd(2, 5), mapc(0, 1));
    expect(h.commands(mapti(2, 0, 16383, 0), mapti(2, 1, 16384, 0))).toEqual([0, 0x010a06]);
  });

  it("VI18: INT delivers the LPI to the collection's vCPU; ended, it is inactive", () => {
    const h = mapped();
    expect(h.commands(int(2, 4))).toEqual([0]);
    expect(h.iar(1)).toBe(8195);
    h.eoi(8195, 1);
    expect(h.drain(1)).toEqual([]);
    expect(h.listed(1)).toEqual([]);
  });

  it("VI19: a mapped event keeps its mapping", () => {
    const h = mapped();
    expect(h.commands(mapti(2, 4, 8200, 0), int(2, 4))).toEqual([0, 0]);
    expect(h.drain(1)).toEqual([8195]);
  });

  it("VI20: an event waits for its collection", () => {
    const h = mapped();
    expect(h.commands(mapti(2, 5, 8196, 7), int(2, 5), mapc(7, 2), int(2, 5))).toEqual([0, 0x010307, 0, 0]);
    expect(h.drain(2)).toEqual([8196]);
  });

  it("VI21: the configuration byte counts after INV, and not before", () => {
    const h = mapped();
    h.config(8195, 0xa0);
    h.commands(int(2, 4));
    expect(h.drain(1)).toEqual([8195]);
    h.commands(inv(2, 4), int(2, 4));
    expect(h.drain(1)).toEqual([]);
    h.config(8195, 0xa1);
    h.commands(inv(2, 4));
    expect(h.drain(1)).toEqual([8195]);
  });

  it("VI22: CLEAR takes a latched LPI back", () => {
    const h = mapped();
    h.config(8195, 0xa0);
    h.commands(inv(2, 4), int(2, 4), clear(2, 4));
    h.config(8195, 0xa1);
    h.commands(inv(2, 4));
    expect(h.drain(1)).toEqual([]);
  });

  it("VI23: MOVI to an unmapped collection changes nothing", () => {
    const h = mapped();
    expect(h.commands(movi(2, 4, 9), int(2, 4))).toEqual([0x010109, 0]);
    expect(h.drain(1)).toEqual([8195]);
  });

  it("VI24: MOVI of a pending LPI moves it, once", () => {
    const h = twoCollections();
    h.commands(int(2, 4), movi(2, 4, 1));
    h.cycle(1);
    h.cycle(1);
    expect(h.drain(2)).toEqual([8195]);
    expect(h.drain(1)).toEqual([]);
  });

  it("VI25: DISCARD ends the mapping and empties the table's slot", () => {
    const h = mapped();
    h.poke(ITT + 32, 0x1234n);
    expect(h.commands(discard(2, 4), int(2, 4), discard(2, 4))).toEqual([0, 0x010307, 0x010f07]);
    expect(h.peek(ITT + 32)).toBe(0n);
  });

  it("VI26: an event whose collection was unmapped stays so", () => {
    const h = mapped();
    expect(h.commands(mapc(0, 0, false), discard(2, 4), mapc(0, 1), int(2, 4), mapti(2, 4, 8195, 0), int(2, 4))).toEqual([0, 0x010f07, 0, 0x010307, 0, 0x010307]);
  });

  it("VI27: MOVALL retargets; both redistributors must exist", () => {
    const h = twoCollections();
    expect(h.commands(movall(1, 2), movall(9, 2), int(2, 4))).toEqual([0, 0x010e01, 0]);
    expect([h.drain(1), h.drain(2)]).toEqual([[], [8195]]);
  });

  it("VI28, VI58: MAPD of a mapped device ends its events, also through V=0 and the same table", () => {
    const h = mapped();
    expect(h.commands(mapd(2, 5), int(2, 4))).toEqual([0, 0x010307]);
    const g = mapped();
    expect(g.commands(mapd(2, 5, ITT, false), mapd(2, 5), int(2, 4))).toEqual([0, 0, 0x010307]);
  });

  it("VI48, VI49: INVALL reads again what goes to the collection's vCPU", () => {
    const h = twoCollections();
    h.commands(mapti(2, 5, 8196, 0), mapti(2, 6, 8197, 1));
    for (const intid of [8195, 8196, 8197]) h.config(intid, 0xa0);
    expect(h.commands(invall(0), invall(9))).toEqual([0, 0x010d09]);
    h.commands(int(2, 4), int(2, 5), int(2, 6));
    expect([h.drain(1), h.drain(2)]).toEqual([[], [8197]]);
  });

  it("VI53: DISCARD leaves a listed LPI to be delivered once", () => {
    const h = mapped();
    h.commands(int(2, 4), discard(2, 4));
    expect(h.drain(1)).toEqual([8195]);
    expect(h.commands(int(2, 4))).toEqual([0x010307]);
    expect(h.drain(1)).toEqual([]);
  });

  it("VI54: an LPI that nobody lists is gone with its latch at DISCARD", () => {
    const h = mapped();
    h.config(8195, 0xa0);
    h.commands(inv(2, 4), int(2, 4), discard(2, 4));
    h.config(8195, 0xa1);
    h.commands(mapti(2, 4, 8195, 0));
    expect(h.drain(1)).toEqual([]);
  });

  it("VI55: an LPI may be pending again before it was ended, [6.1] after it", () => {
    for (const compat of ["newest", "linux-6.1"] as const) {
      const h = new ItsStage({ compat });
      h.commands(mapd(2, 5), mapc(0, 1), mapti(2, 4, 8195, 0), int(2, 4));
      expect(h.iar(1)).toBe(8195);
      h.exit(1);
      h.commands(int(2, 4));
      h.enter(1);
      expect(h.hppir(1)).toBe(compat === "newest" ? 8195 : NONE);
      h.eoi(8195, 1);
      h.cycle(1);
      expect(h.iar(1)).toBe(8195);
    }
  });

  it("VI57: MOVALL tells nobody: a listed LPI moves when its vCPU exits, behind what came meanwhile", () => {
    const h = twoCollections();
    h.commands(mapti(2, 5, 8196, 0), int(2, 4), movall(1, 2), int(2, 5));
    h.enter(1);
    h.exit(1);
    expect(h.drain(2)).toEqual([8196, 8195]);
    expect(h.drain(1)).toEqual([]);
  });
});

describe("messages to the ITS (gic.md D4)", () => {
  it("VI30, VI31: a message names its device and any address of the ITS", () => {
    const h = mapped();
    expect(h.msi(2, 4, { flags: 0 })).toBe(-EINVAL);
    expect(h.msi(2, 4, { address: 0x08000000 })).toBe(-EINVAL);
    expect(h.msi(2, 4)).toBe(1);
    expect(h.msi(2, 4, { address: ITS })).toBe(1);
    expect(h.msi(2, 4, { address: ITS + 0x20000 })).toBe(-EINVAL);
  });

  it("VI32: an event that is not mapped is the guest's affair", () => {
    expect(mapped().msi(2, 5)).toBe(0);
    expect(mapped().msi(3, 4)).toBe(0);
  });

  it("VI33: without EnableLPIs the message is refused, and a pending LPI leaves the list with its latch", () => {
    const h = mapped();
    h.commands(int(2, 4));
    expect(h.listed(1)).toEqual([8195]);
    h.enableLpis(1, false);
    expect(h.listed(1)).toEqual([]);
    expect(h.msi(2, 4)).toBe(-EBUSY);
    expect(h.drain(1)).toEqual([]);
    h.commands(inv(2, 4));
    expect(h.drain(1)).toEqual([8195]);
  });

  it("VI34: the pending bit of a mapped LPI is taken out of the table", () => {
    const h = new ItsStage();
    const byte = PENDING + 0x10000 + 1024;
    h.vm.ram.memory.setU8(byte, 0x88);
    h.commands(mapd(2, 5), mapc(0, 1), mapti(2, 4, 8195, 0));
    expect(h.vm.ram.memory.getU8(byte)).toBe(0x80);
    expect(h.drain(1)).toEqual([8195]);
  });

  it("VI35, VI36: an LPI of two events lives with either, and keeps its target", () => {
    const h = mapped();
    h.commands(mapd(3, 5, ITT + 0x10000), mapc(3, 3), mapti(3, 0, 8195, 3));
    h.commands(int(2, 4));
    expect([h.drain(1), h.drain(3)]).toEqual([[8195], []]);
    h.commands(discard(2, 4), int(3, 0));
    expect([h.drain(1), h.drain(3)]).toEqual([[8195], []]);
  });

  it("VI50, VI51, VI52: translations are cached until something changes them", () => {
    const h = twoCollections();
    expect(h.msi(2, 4, { isAtomic: true })).toBe(-EWOULDBLOCK);
    expect(h.msi(2, 4)).toBe(1);
    expect(h.its.cache.size).toBe(1);
    expect(h.msi(2, 4, { isAtomic: true })).toBe(1);
    expect(h.drain(1)).toEqual([8195]);
    h.commands(movi(2, 4, 1));
    expect(h.its.cache.size).toBe(0);
    expect(h.msi(2, 4)).toBe(1);
    expect(h.drain(2)).toEqual([8195]);
    h.enableLpis(2, false);
    expect(h.its.cache.size).toBe(0);
    expect(h.msi(2, 4)).toBe(-EBUSY);
  });

  it("VI56: a bit taken at MAPTI is lost when LPIs are enabled afterwards, and not when they were before", () => {
    const h = new ItsStage();
    const byte = PENDING + 0x10000 + 1024;
    h.enableLpis(1, false);
    h.vm.ram.memory.setU8(byte, 0x08);
    h.commands(mapd(2, 5), mapc(0, 1), mapti(2, 4, 8195, 0));
    h.enableLpis(1, true);
    expect(h.drain(1)).toEqual([]);
    const g = new ItsStage();
    g.vm.ram.memory.setU8(byte, 0x08);
    g.commands(mapd(2, 5), mapc(0, 1), mapti(2, 4, 8195, 0));
    expect(g.drain(1)).toEqual([8195]);
  });
});
