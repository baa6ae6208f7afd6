import { describe, expect, it } from "vitest";
import { run } from "../../sim/step.js";
import { EEXIST, EINVAL, ENOENT } from "../../uapi/errno.js";
import { KVM_IRQFD_FLAG_RESAMPLE } from "../../uapi/kvm.js";
import { KVM_INTERRUPT_SET_LEVEL as SET_LEVEL, KVM_INTERRUPT_UNSET as UNSET } from "../../uapi/powerpc.js";
import { lsi, Papr, presented } from "./papr.fixture.js";

describe("xics.md 23: masks and RTAS", () => {
  it("23: a masked message waits for int-on", () => {
    const p = Papr.base();
    p.src(0x1001, 5);
    expect([p.off(0x1001), p.line(0x1001), p.marks(0x1001), p.pq(0x1001), p.word(0x1001)]).toEqual([0, 0, "mp", "P-", "0x00000e0500000000"]);
    expect([p.getXive(0x1001), p.on(0x1001), p.icp()]).toEqual([[0, 0, 0xff], 0, "ff,ff,05,001001,0,1"]);
  });

  it("24: int-off twice loses the priority", () => {
    const p = Papr.base();
    p.src(0x1001, 5);
    expect([p.off(0x1001), p.off(0x1001), p.on(0x1001)]).toEqual([0, 0, 0]);
    expect([p.source(0x1001), p.word(0x1001)]).toMatchObject([{ priority: 0xff, savedPriority: 0xff }, "0x000002ff00000000"]);
  });

  it("25: two messages while masked are two interrupts", () => {
    const p = Papr.base();
    p.src(0x1001, 5, { masked: true });
    p.line(0x1001);
    p.line(0x1001);
    p.on(0x1001);
    expect([p.xirr(), p.eoi(0xff001001), p.icp(), p.pq(0x1001)]).toEqual(["0xff001001", 0, "ff,ff,05,001001,0,1", "P-"]);
  });

  it("26: a presentation that is rejected after its source was masked waits for int-on", () => {
    const p = presented();
    p.off(0x1001);
    p.cppr(4);
    expect([p.marks(0x1001), p.word(0x1001)]).toEqual(["mp", "0x00000e0500000000"]);
    p.cppr(0xff);
    expect(p.icp()).toBe("ff,ff,ff,000000,0,0");
    p.on(0x1001);
    expect(p.icp()).toBe("ff,ff,05,001001,0,1");
  });

  it("27: a source that waits and moves is presented at its new server, once", () => {
    const p = Papr.base();
    p.cppr(0);
    p.src(0x1001, 5);
    p.line(0x1001);
    p.setXive(0x1001, 1, 7);
    expect([p.icp(1), p.marks(0x1001), p.icp(0), p.rm(0)]).toEqual(["ff,ff,07,001001,0,1", "", "00,ff,ff,000000,1,0", [4]]);
    p.cppr(0xff);
    expect([p.icp(0), p.icp(1)]).toEqual(["ff,ff,ff,000000,0,0", "ff,ff,07,001001,0,1"]);
  });

  it("28: a source that is presented and moves stays, until it is rejected", () => {
    const p = presented();
    p.setXive(0x1001, 1, 7);
    expect(p.icp(0)).toBe("ff,ff,05,001001,0,1");
    p.cppr(5);
    expect([p.icp(0), p.icp(1)]).toEqual(["05,ff,ff,000000,0,0", "ff,ff,07,001001,0,1"]);
  });

  it("36: RTAS changes a source that nobody created, and only there it shows", () => {
    const p = Papr.base();
    p.src(0x1001, 5);
    expect([p.setXive(0x1002, 0, 5), p.getXive(0x1002), p.word(0x1002), p.line(0x1002)]).toEqual([0, [0, 0, 5], -ENOENT, -EINVAL]);
  });

  it("37: no block, no server, wrong counts: -3", () => {
    const p = Papr.base();
    p.src(0x1001, 5);
    expect([p.setXive(0x3000, 0, 5), p.setXive(0x1001, 9, 5), p.rtas("ibm,set-xive", [0x1001, 0, 5], 2)?.[0]]).toEqual([-3, -3, -3]);
  });

  it("38: priority 0x1ff masks, and takes the way of a delivery", () => {
    const p = Papr.base();
    p.src(0x1001, 5, { masked: true });
    p.line(0x1001);
    expect([p.setXive(0x1001, 0, 0x1ff), p.source(0x1001).priority, p.marks(0x1001)]).toEqual([0, 0xff, "mp"]);
  });

  it("62: tokens: in use, unknown name, taken back", () => {
    const p = Papr.base();
    const define = (name: string, token: number): number => run(p.m.defineToken(name, token));
    expect([define("ibm,set-xive", 0x100), define("ibm,get-xive", 0x100), define("foo", 0x101), define("foo", 0x100), define("foo", 0)]).toEqual([0, -EEXIST, -ENOENT, -EEXIST, 0]);
    // The fixture's own token goes first, the one of 0x100 next.
    expect([define("ibm,set-xive", 0), define("ibm,set-xive", 0)]).toEqual([0, 0]);
    expect(run(p.m.rtas("ibm,set-xive", [0x1001, 0, 5], 1, 0x100))).toBeNull();
  });
});

describe("xics.md 23: levels", () => {
  it("29: a high line is presented again at each EOI, and a second SET changes nothing", () => {
    const p = lsi();
    p.line(0x1010, SET_LEVEL);
    const before = p.icp(1);
    p.line(0x1010, SET_LEVEL);
    expect([p.word(0x1010), p.icp(1)]).toEqual(["0x00000d0500000001", before]);
    expect([p.xirr(1), p.eoi(0xff001010, 1), p.icp(1)]).toEqual(["0xff001010", 0, "ff,ff,05,001010,0,1"]);
  });

  it("30: until the line falls", () => {
    const p = lsi();
    p.line(0x1010, SET_LEVEL);
    p.xirr(1);
    p.eoi(0xff001010, 1);
    p.xirr(1);
    p.line(0x1010, UNSET);
    expect([p.eoi(0xff001010, 1), p.pq(0x1010), p.icp(1)]).toEqual([0, "--", "ff,ff,ff,000000,0,0"]);
  });

  it("31: a line that falls before it is taken leaves a spurious interrupt", () => {
    const p = lsi();
    p.line(0x1010, SET_LEVEL);
    p.line(0x1010, UNSET);
    expect([p.icp(1), p.xirr(1), p.eoi(0xff001010, 1), p.icp(1)]).toEqual(["ff,ff,05,001010,0,1", "0xff001010", 0, "ff,ff,ff,000000,0,0"]);
  });

  it("32: a masked one that falls again is presented at int-on all the same", () => {
    const p = lsi(0);
    p.off(0x1010);
    p.line(0x1010, SET_LEVEL);
    expect([p.marks(0x1010), p.word(0x1010)]).toEqual(["mp", "0x00000f0500000000"]);
    p.line(0x1010, UNSET);
    expect(p.marks(0x1010)).toBe("mp");
    p.on(0x1010);
    expect([p.icp(), p.pq(0x1010)]).toEqual(["ff,ff,05,001010,0,1", "--"]);
  });

  it("33: a high line that is masked in service waits for int-on", () => {
    const p = lsi(0);
    p.line(0x1010, SET_LEVEL);
    p.xirr();
    p.off(0x1010);
    p.eoi(0xff001010);
    expect(p.marks(0x1010)).toBe("mp");
    p.on(0x1010);
    expect(p.icp()).toBe("ff,ff,05,001010,0,1");
  });

  it("51: a resampling irqfd costs one more presentation and one more resample signal", () => {
    const p = lsi(0);
    const [trigger, resample] = [p.m.eventfd(), p.m.eventfd()];
    expect(run(p.m.irqfd(trigger, 0x1010, KVM_IRQFD_FLAG_RESAMPLE, resample))).toBe(0);
    run(p.m.signal(trigger));
    expect([p.xirr(), p.eoi(0xff001010)]).toEqual(["0xff001010", 0]);
    expect([p.icp(), p.pq(0x1010), run(p.m.count(resample))]).toEqual(["ff,ff,05,001010,0,1", "--", 1]);
    expect([p.xirr(), p.eoi(0xff001010), p.icp(), run(p.m.count(resample))]).toEqual(["0xff001010", 0, "ff,ff,ff,000000,0,0", 1]);
  });
});
