import { describe, expect, it } from "vitest";
import { run } from "../../../sim/step.js";
import * as A from "../../../uapi/arm.js";
import { EEXIST, EFAULT, EINVAL } from "../../../uapi/errno.js";
import { COLLECTIONS, DEVICES, int, inv, ITS, ItsStage, ITT, mapc, mapd, mapti } from "../../../explore/stages/its-stage.js";
import { createIts } from "./its.js";

// Rules of gic-its.md that no vector of gic.md asks.

const VALID = 1n << 63n;
const UNMAPPED = 0x010307;
const NO_MEMORY = 0x10000000n;

/** Device 2 with 5 bits of events, collection 0 on vCPU 1, event 4 as LPI 8195. */
function mapped(): ItsStage {
  const h = new ItsStage();
  expect(h.commands(mapd(2, 5), mapc(0, 1), mapti(2, 4, 8195, 0))).toEqual([0, 0, 0]);
  return h;
}

describe("commands (gic-its.md B4)", () => {
  it("B4.2: MAPD with V=0 does not look at its size", () => {
    expect(mapped().commands(mapd(2, 17, ITT, false), int(2, 4))).toEqual([0, UNMAPPED]);
  });

  it("B4.3: MAPC with V=0 does not look at its RDbase", () => {
    const h = mapped();
    expect(h.commands(mapc(0, 9, false), int(2, 4))).toEqual([0, UNMAPPED]);
  });

  it("B4.4: MAPTI of a mapped event is asked for its LPI first", () => {
    expect(mapped().commands(mapti(2, 4, 8191, 0), mapti(2, 4, 8200, 0))).toEqual([0x010a06, 0]);
  });

  it("B4.4: where the configuration cannot be read nothing stays, neither the mapping nor the collection that it named", () => {
    const h = new ItsStage();
    for (let cpu = 0; cpu < 4; cpu++) h.enableLpis(cpu, false);
    h.gicr(0, 0x70, NO_MEMORY | 0xfn);
    for (let cpu = 0; cpu < 4; cpu++) h.enableLpis(cpu, true);
    const [, failed, event] = h.commands(mapd(2, 5), mapti(2, 4, 8195, 7), int(2, 4));
    expect([failed, event]).toEqual([-EFAULT, UNMAPPED]);
    expect([h.mapped().collections, run(h.dist.lpis.next(8192))]).toEqual([[], -1]);
  });
});

describe("memory that ends (gic-its.md B4, B6.3)", () => {
  const RAM_END = 0x50000000;

  it("B4, step 1: a command that cannot be read is passed, and the one before it is not executed again", () => {
    const h = mapped();
    h.write("CTLR", 0n);
    h.write("CBASER", VALID | BigInt(RAM_END - 0x10000) | 16n); // seventeen pages, the last of them no memory
    h.write("CTLR", 1n);
    int(2, 4).forEach((word, i) => h.poke(RAM_END - 32 + 8 * i, word));
    h.trace.clear();
    h.write("CWRITER", 0x10020n);
    const executed = h.trace.events.filter(({ name }) => name === "its_command").map(({ args }) => Number(args[0]));
    expect([executed.length, executed.filter((opcode) => opcode !== 0), h.read("CREADR")]).toEqual([0x10000 / 32, [3], 0x10020n]);
  });

  it("B6.3: a pending table that cannot be read ends the scan: it makes nothing pending, and takes nothing back", () => {
    const h = mapped();
    h.config(8210, 0xa0);
    h.commands(mapti(2, 5, 8196, 0), mapti(2, 6, 8210, 0));
    expect(h.msi(2, 6)).toBe(1);
    h.enableLpis(1, false);
    h.gicr(1, 0x78, NO_MEMORY);
    h.enableLpis(1, true);
    expect(h.drain(1)).toEqual([]);
    h.config(8210, 0xa1);
    h.commands(inv(2, 6));
    expect(h.drain(1)).toEqual([8210]);
  });
});

describe("the translation cache (gic-its.md B7.3)", () => {
  it("MAPC with V=0 empties it", () => {
    const h = mapped();
    expect([h.msi(2, 4), h.its.cache.size]).toEqual([1, 1]);
    h.commands(mapc(0, 1, false));
    expect([h.its.cache.size, h.msi(2, 4)]).toEqual([0, 0]);
  });

  it("knows ids of 16 bits: a device of more is another one", () => {
    const h = mapped();
    expect([h.msi(2, 4), h.msi(0x10002, 4), h.msi(2, 0x10004)]).toEqual([1, 0, 0]);
  });
});

describe("attributes (gic-its.md B8)", () => {
  it("an address that wraps around is EINVAL; one that cannot be read EFAULT, also where one is set", () => {
    const h = new ItsStage({ isRaw: true });
    expect(h.address(0xffff_ffff_ffff_0000n)).toBe(-EINVAL);
    expect(h.address(BigInt(ITS))).toBe(0);
    expect(h.address(BigInt(ITS))).toBe(-EEXIST);
    expect(run(h.its.setAttr(h.process, A.KVM_DEV_ARM_VGIC_GRP_ADDR, A.KVM_VGIC_ITS_ADDR_TYPE, 0, 0xdead0000))).toBe(-EFAULT);
  });

  it("B1: a new ITS puts PROPBASER back to its reset value", () => {
    const h = new ItsStage();
    for (let cpu = 0; cpu < 4; cpu++) h.enableLpis(cpu, false);
    run(createIts(h.dist));
    expect(run(h.redistributor(0).mmioRead(h.vm.vcpus[0], 0x70, 8))).toBe(0x580);
  });
});

describe("tables (gic-its.md B9)", () => {
  it("B9.1: the distance to the next event has 16 bits", () => {
    const h = new ItsStage();
    h.commands(mapd(2, 16), mapc(0, 1), mapti(2, 0, 8192, 0), mapti(2, 65535, 8193, 0));
    h.save();
    expect(h.peek(ITT) >> 48n).toBe(65535n);
  });

  it("B9.1: a collection table that is full has no terminator behind it", () => {
    const h = new ItsStage();
    const table = 0x41900000;
    h.write("CTLR", 0n);
    h.write("BASER1", VALID | BigInt(table));
    h.write("CTLR", 1n);
    h.poke(table + 0x10000, 0x1234n);
    for (let icid = 0; icid < 8192; icid++) h.commands(mapc(icid, icid % 4));
    expect(h.save()).toBe(0);
    expect([h.peek(table + 0xfff8), h.peek(table + 0x10000)]).toEqual([VALID | (3n << 16n) | 8191n, 0x1234n]);
  });

  it("B9.2: the last device of all ends a restore, whatever the next page has", () => {
    const h = new ItsStage();
    const level2 = 0x41900000;
    h.write("CTLR", 0n);
    h.write("BASER0", VALID | (1n << 62n) | BigInt(DEVICES));
    for (let page = 0; page < 2; page++) {
      h.poke(DEVICES + 8 * page, VALID | BigInt(level2 + page * 0x10000));
      h.poke(level2 + page * 0x10000, VALID | (BigInt(ITT / 8) & ~0x1fn) | 4n);
    }
    expect(h.restore()).toBe(0);
    expect(h.mapped().devices).toEqual([0]);
  });

  it("a restore onto what is mapped releases what goes: no LPI is left that no event has (I6)", () => {
    const h = mapped();
    h.save();
    h.poke(COLLECTIONS, 0n);
    h.poke(ITT + 32, 0n);
    expect(h.restore()).toBe(0);
    expect(h.commands(int(2, 4))).toEqual([UNMAPPED]);
    expect(run(h.dist.lpis.next(8192))).toBe(-1);
  });
});

describe("memory", () => {
  it("events far apart cost what others do, and what was unmapped is given back", () => {
    const h = new ItsStage();
    h.commands(mapd(2, 16), mapc(0, 1));
    for (let i = 0; i < 128; i++) h.commands(mapti(2, i * 512 + 511, 8192, 0));
    const device = h.its.devices.get(2);
    if (device === undefined) throw new Error("no device");
    expect(device.bytes / 128).toBeLessThan(64);
    for (let round = 0; round < 4; round++)
      for (let event = 0; event < 128; event++) {
        device.map(event, 8192, 0);
        device.unmap(event);
      }
    expect(device.bytes / 128).toBeLessThan(64);
    expect([device.next(0), device.next(512), device.next(65535), device.intid(65535)]).toEqual([511, 1023, 65535, 8192]);
  });
});
