import { describe, expect, it } from "vitest";
import { GITS_TRANSLATER } from "../../../arch/gic/gits.js";
import { EBUSY, EINVAL, EWOULDBLOCK } from "../../../uapi/errno.js";
import { clear, discard, int, ITS, ITS_STRIDE, ItsStage, ITT, mapc, mapd, mapti, movall, movi } from "../../../explore/stages/its-stage.js";

const OTHER = ITS + ITS_STRIDE + GITS_TRANSLATER;
const EVENTS = 32;

/** Event 0 of device 2 is mapped, to vCPU 1. */
function mapped(compat: "newest" | "linux-6.1" = "newest", itses = 1): ItsStage {
  const h = new ItsStage({ compat, itses });
  h.commands(mapd(2, 5), mapc(0, 1), mapc(1, 2), mapti(2, 0, 8195, 0));
  return h;
}

const isKnown = (h: ItsStage, event: number, address = ITS + GITS_TRANSLATER): boolean => h.msi(2, event, { isAtomic: true, address }) !== -EWOULDBLOCK;

describe("translations that are remembered (gic-its.md B7.3)", () => {
  it("every one stays, however many there are, until something changes one", () => {
    const h = new ItsStage();
    h.gicr(0, 0, 0n, 4);
    for (let device = 0; device < 40; device++) {
      h.commands(mapd(device, 5, ITT + 0x1000 * device), mapc(0, 1));
      for (let event = 0; event < EVENTS; event++) h.commands(mapti(device, event, 8192 + 32 * device + event, 0), int(device, event));
    }
    expect(h.its.cache.size).toBe(40 * EVENTS);
    for (let device = 0; device < 40; device++) for (let event = 0; event < EVENTS; event++) expect(h.msi(device, event, { isAtomic: true })).toBe(1);
    h.commands(discard(39, 31));
    expect(h.its.cache.size).toBe(0);
    expect(h.msi(39, 31)).toBe(0);
    expect(h.msi(39, 30)).toBe(1);
  });

  it("a message is not asked for KVM_MSI_VALID_DEVID where its translation is known", () => {
    const h = mapped();
    expect(h.msi(2, 0, { flags: 0 })).toBe(-EINVAL);
    h.msi(2, 0);
    expect(h.msi(2, 0, { flags: 0 })).toBe(1);
  });

  it("any address of the ITS finds them, [6.1] that of GITS_TRANSLATER alone", () => {
    for (const compat of ["newest", "linux-6.1"] as const) {
      const h = mapped(compat);
      h.msi(2, 0);
      expect([isKnown(h, 0), isKnown(h, 0, ITS)]).toEqual([true, compat === "newest"]);
    }
  });

  it("CLEAR changes no translation", () => {
    const h = mapped();
    h.msi(2, 0);
    h.commands(clear(2, 0));
    expect(isKnown(h, 0)).toBe(true);
  });

  it("each ITS has its own, [6.1] a change at one empties those of all", () => {
    for (const compat of ["newest", "linux-6.1"] as const) {
      const h = mapped(compat, 2);
      h.use(1);
      h.commands(mapd(2, 5, ITT + 0x10000), mapc(0, 3), mapti(2, 0, 8200, 0));
      h.msi(2, 0);
      h.msi(2, 0, { address: OTHER });
      h.commands(movi(2, 0, 0));
      expect([isKnown(h, 0), isKnown(h, 0, OTHER)]).toEqual([compat === "newest", false]);
      expect([h.drain(1), h.drain(3)]).toEqual([[8195], [8200]]);
    }
  });

  it("[6.1] remembers 16 for each vCPU, and forgets the one not used for longest", () => {
    const h = new ItsStage({ compat: "linux-6.1", ids: [0] });
    h.commands(mapd(2, 5), mapc(0, 0));
    for (let event = 0; event < 18; event++) h.commands(mapti(2, event, 8192 + event, 0));
    for (let event = 0; event < 18; event++) h.msi(2, event);
    expect(h.its.cache.size).toBe(16);
    expect([isKnown(h, 1), isKnown(h, 2)]).toEqual([false, true]);
    h.msi(2, 0);
    expect([isKnown(h, 3), isKnown(h, 2), isKnown(h, 0)]).toEqual([false, true, true]);
  });

  it("MOVALL empties them, and takes the LPIs of its first vCPU or, newer, all of them", () => {
    for (const movallOfAll of [false, true]) {
      const h = new ItsStage({ hazards: { movallOfAll } });
      h.commands(mapd(2, 5), mapc(0, 1), mapc(1, 2), mapti(2, 0, 8195, 0), mapti(2, 1, 8196, 1));
      h.msi(2, 0);
      h.commands(movall(1, 3));
      expect(h.its.cache.size).toBe(0);
      h.commands(int(2, 0), int(2, 1));
      expect([h.drain(1), h.drain(2), h.drain(3)]).toEqual(movallOfAll ? [[], [], [8196, 8195]] : [[], [8196], [8195]]);
    }
  });
});

describe("LPIs by stricter rules than the kernel's (gic.md D0.5)", () => {
  it("R41: an EnableLPIs scan erases what was latched before, and adds to it where that is asked for", () => {
    for (const strictPendingScan of [false, true]) {
      const h = new ItsStage({ hazards: { strictPendingScan } });
      h.commands(mapd(2, 5), mapc(0, 1), mapti(2, 0, 8195, 0), int(2, 0));
      h.enableLpis(1, false);
      h.enableLpis(1, true);
      expect(h.drain(1)).toEqual(strictPendingScan ? [8195] : []);
    }
  });

  it("R55: a CLEAR does not reach a list register of another vCPU, unless every vCPU leaves its guest for it", () => {
    for (const strictClear of [false, true]) {
      const h = new ItsStage({ hazards: { strictClear } });
      h.commands(mapd(2, 5), mapc(0, 1), mapti(2, 0, 8195, 0), int(2, 0));
      h.enter(1);
      h.commands(clear(2, 0));
      expect(h.drain(1)).toEqual(strictClear ? [] : [8195]);
    }
  });

  it("R56: a latch outlives EnableLPIs going to 0, and an INV after a PTZ enable delivers it, unless it is dropped", () => {
    for (const strictDisable of [false, true]) {
      const h = new ItsStage({ hazards: { strictDisable } });
      h.commands(mapd(2, 5), mapc(0, 1), mapti(2, 0, 8195, 0), int(2, 0));
      h.enableLpis(1, false);
      expect(h.msi(2, 0)).toBe(-EBUSY);
      h.gicr(1, 0x78, (1n << 62n) | 0x41050000n);
      h.enableLpis(1, true);
      expect(h.drain(1)).toEqual([]);
      h.commands([0x0cn | (2n << 32n), 0n, 0n, 0n]);
      expect(h.drain(1)).toEqual(strictDisable ? [] : [8195]);
    }
  });
});
