import { describe, expect, it } from "vitest";
import { run } from "../../sim/step.js";
import { EBADF, EBUSY, EEXIST, EFAULT, EINVAL, ENOENT, ENXIO, EPERM } from "../../uapi/errno.js";
import { KVM_HAS_DEVICE_ATTR, KVM_IRQFD_FLAG_RESAMPLE } from "../../uapi/kvm.js";
import { KVM_INTERRUPT_SET_LEVEL as SET_LEVEL, KVM_INTERRUPT_UNSET as UNSET } from "../../uapi/powerpc.js";
import { H_PARAMETER } from "./constants.js";
import { Papr } from "./papr.fixture.js";

const BAD_POINTER = 0x10;
/** One server that has never lowered its priority. */
const fresh = (): Papr => new Papr({ servers: [0] });

/** Vector 3: a message is presented. */
function presented(priority = 5): Papr {
  const p = Papr.base();
  p.src(0x1001, priority);
  p.line(0x1001);
  return p;
}

/** Vector 29: an LSI of server 1. */
function lsi(server = 1): Papr {
  const p = Papr.base();
  p.src(0x1010, 5, { server, lsi: true });
  return p;
}

describe("xics.md 23: connect, present, accept, end", () => {
  it("1: a connected server admits nothing, requests nothing", () => {
    expect(new Papr().icpWord()).toBe("0x00000000ffff0000");
  });

  it("2: H_CPPR(0xff) opens it", () => {
    expect(Papr.base().icpWord()).toBe("0xff000000ffff0000");
  });

  it("3: a message is presented, and is not pending", () => {
    const p = presented();
    expect([p.icp(), p.ee(), p.pq(0x1001), p.word(0x1001)]).toEqual(["ff,ff,05,001001,0,1", true, "P-", "0x0000080500000000"]);
  });

  it("4, 5: H_XIRR takes it, H_EOI ends it and tells the listeners of its GSI once", () => {
    const p = presented();
    expect([p.xirr(), p.icp(), p.ee(), p.pq(0x1001)]).toEqual(["0xff001001", "05,ff,ff,000000,0,0", false, "P-"]);
    p.acks();
    expect([p.eoi(0xff001001), p.icp(), p.pq(0x1001), p.acks()]).toEqual([0, "ff,ff,ff,000000,0,0", "--", [0x1001]]);
  });

  it("6: a burst before the EOI is one presentation, and exactly one more after it", () => {
    const p = presented();
    p.line(0x1001);
    p.line(0x1001);
    expect([p.pq(0x1001), p.xirr(), p.eoi(0xff001001), p.pq(0x1001), p.icp()]).toEqual(["PQ", "0xff001001", 0, "P-", "ff,ff,05,001001,0,1"]);
    expect([p.xirr(), p.eoi(0xff001001), p.pq(0x1001), p.icp()]).toEqual(["0xff001001", 0, "--", "ff,ff,ff,000000,0,0"]);
  });

  it("7: what comes before the guest lowers its priority is kept and presented then", () => {
    const p = fresh();
    p.src(0x1001, 5);
    p.line(0x1001);
    expect([p.icp(), p.rm(), p.marks(0x1001), p.word(0x1001)]).toEqual(["00,ff,ff,000000,1,0", [4], "rs", "0x00000c0500000000"]);
    p.cppr(0xff);
    expect([p.icp(), p.rm(), p.marks(0x1001)]).toEqual(["ff,ff,05,001001,0,1", [], ""]);
  });

  it("8: equality with CPPR does not admit", () => {
    const p = Papr.base();
    p.cppr(5);
    p.src(0x1001, 5);
    p.line(0x1001);
    expect(p.icp()).toBe("05,ff,ff,000000,1,0");
    p.cppr(6);
    expect(p.icp()).toBe("06,ff,05,001001,0,1");
  });

  it("9: a more favoured source takes the place of another, which comes back at the EOI", () => {
    const p = presented();
    p.src(0x1002, 3);
    p.line(0x1002);
    expect([p.icp(), p.rm(), p.marks(0x1001), p.pq(0x1001)]).toEqual(["ff,ff,03,001002,1,1", [4], "rs", "P-"]);
    expect([p.xirr(), p.icp()]).toEqual(["0xff001002", "03,ff,ff,000000,1,0"]);
    p.eoi(0xff001002);
    expect([p.icp(), p.marks(0x1001)]).toEqual(["ff,ff,05,001001,0,1", ""]);
  });

  it("10: handlers nest, and each EOI restores the CPPR before", () => {
    const p = presented();
    p.src(0x1002, 3);
    expect(p.xirr()).toBe("0xff001001");
    p.line(0x1002);
    expect([p.xirr(), p.icp()]).toEqual(["0x05001002", "03,ff,ff,000000,0,0"]);
    p.eoi(0x05001002);
    expect(p.icp()).toBe("05,ff,ff,000000,0,0");
    p.eoi(0xff001001);
    expect(p.icp()).toBe("ff,ff,ff,000000,0,0");
  });
});

describe("xics.md 23: IPIs and priorities", () => {
  it("11: an IPI takes the place of a source, which waits until the MFRR and the CPPR admit it", () => {
    const p = presented();
    expect(p.ipi(0, 4, 1)).toBe(0);
    expect([p.icp(), p.rm(), p.marks(0x1001)]).toEqual(["ff,04,04,000002,1,1", [4], "rs"]);
    expect([p.xirr(), p.icp()]).toEqual(["0xff000002", "04,04,ff,000000,1,0"]);
    p.ipi(0, 0xff);
    expect(p.icp()).toBe("04,ff,ff,000000,1,0");
    p.eoi(0xff000002);
    expect(p.icp()).toBe("ff,ff,05,001001,0,1");
  });

  it("12: an IPI displaces a source of equal priority", () => {
    const p = presented(4);
    p.ipi(0, 4);
    expect([p.icp(), p.marks(0x1001)]).toEqual(["ff,04,04,000002,1,1", "rs"]);
  });

  it("13: a source does not displace an IPI of equal priority", () => {
    const p = Papr.base();
    p.ipi(0, 4);
    p.src(0x1001, 4);
    p.line(0x1001);
    expect([p.icp(), p.marks(0x1001)]).toEqual(["ff,04,04,000002,1,1", "rs"]);
  });

  it("14: an IPI is displaced without record: its MFRR brings it back", () => {
    const p = Papr.base();
    p.ipi(0, 4);
    p.src(0x1001, 3);
    p.line(0x1001);
    expect([p.icp(), p.xirr(), p.eoi(0xff001001)]).toEqual(["ff,04,03,001001,0,1", "0xff001001", 0]);
    expect([p.icp(), p.xirr()]).toEqual(["ff,04,04,000002,0,1", "0xff000002"]);
  });

  it("15: an EOI with the MFRR still set is another IPI", () => {
    const p = Papr.base();
    p.ipi(0, 4);
    p.xirr();
    p.eoi(0xff000002);
    expect(p.icp()).toBe("ff,04,04,000002,0,1");
  });

  it("16: a CPPR as favoured as what is presented rejects it", () => {
    const p = presented();
    p.cppr(5);
    expect([p.icp(), p.marks(0x1001)]).toEqual(["05,ff,ff,000000,1,0", "rs"]);
    p.cppr(0xff);
    expect(p.icp()).toBe("ff,ff,05,001001,0,1");
  });

  it("17: a less favoured one keeps it", () => {
    const p = presented();
    p.cppr(6);
    expect(p.icp()).toBe("06,ff,05,001001,0,1");
  });

  it("18: a rejected IPI is not delivered again, its MFRR holds it", () => {
    const p = Papr.base();
    p.ipi(0, 4);
    p.cppr(4);
    expect(p.icp()).toBe("04,04,ff,000000,0,0");
    p.cppr(0xff);
    expect(p.icp()).toBe("ff,04,04,000002,0,1");
  });

  it("19: H_XIRR with nothing pending changes nothing", () => {
    const p = Papr.base();
    p.cppr(7);
    expect([p.xirr(), p.icp()]).toEqual(["0x07000000", "07,ff,ff,000000,0,0"]);
  });

  it("20: H_IPOLL looks, and knows no server 9", () => {
    const p = presented();
    const before = p.icp();
    expect([p.ipoll(0), p.icp(), p.ipoll(9).status]).toEqual([{ status: 0, xirr: "0xff001001", mfrr: "0xff" }, before, H_PARAMETER]);
  });

  it("21: the EOI of a source without a block fails, after the CPPR has changed", () => {
    const p = Papr.base();
    expect([p.eoi(0x07123456), p.icp()]).toEqual([H_PARAMETER, "07,ff,ff,000000,0,0"]);
  });

  it("22: EOI of irq 0: with block 0 it succeeds and tells the listeners of GSI 0", () => {
    const p = Papr.base();
    expect(p.eoi(0xff000000)).toBe(H_PARAMETER);
    p.src(0x20, 5);
    p.acks();
    expect([p.eoi(0xff000000), p.acks()]).toEqual([0, [0]]);
  });

  it("42: making the MFRR less favoured takes no IPI back, and such a word cannot be restored", () => {
    const p = Papr.base();
    p.ipi(0, 4);
    p.ipi(0, 0xff);
    expect([p.icp(), p.icpWord(), p.setIcp(0xff000002, 0xff040000), p.xirr(), p.icp()]).toEqual([
      "ff,ff,04,000002,0,1",
      "0xff000002ff040000",
      -EINVAL,
      "0xff000002",
      "04,ff,ff,000000,0,0",
    ]);
  });

  it("43: the most favoured request stays latched", () => {
    const p = Papr.base();
    p.ipi(0, 4);
    p.ipi(0, 2);
    p.ipi(0, 6);
    expect(p.icp()).toBe("ff,06,02,000002,0,1");
  });

  it("52: H_CPPR(0x100) stores the low byte", () => {
    const p = Papr.base();
    expect([p.cppr(0x100), p.icp()]).toEqual([0, "00,ff,ff,000000,0,0"]);
  });

  it("53: H_IPI(0x1ff) stores the low byte, and leaves what is presented", () => {
    const p = Papr.base();
    p.ipi(0, 4);
    p.ipi(0, 0x1ff);
    expect(p.icp()).toBe("ff,ff,04,000002,0,1");
  });

  it("54: an EOI that raises the priority rejects nothing", () => {
    const p = presented();
    p.eoi(0x03000002);
    expect(p.icp()).toBe("03,ff,05,001001,0,0");
    p.cppr(0xff);
    expect([p.icp(), p.ee()]).toEqual(["ff,ff,05,001001,0,1", true]);
  });

  it("56: an IPI to server 9 fails and changes nothing", () => {
    const p = Papr.base();
    expect([p.ipi(9, 4), p.icp(0), p.icp(1)]).toEqual([H_PARAMETER, "ff,ff,ff,000000,0,0", "ff,ff,ff,000000,0,0"]);
  });

  it("57: priority 0 against an IPI of priority 0 loses", () => {
    const p = Papr.base();
    p.src(0x1001, 0);
    p.ipi(0, 0);
    p.line(0x1001);
    expect([p.icp(), p.marks(0x1001)]).toEqual(["ff,00,00,000002,1,1", "rs"]);
  });

  it("an outstanding MFRR keeps out sources as favoured as it or less, also while no IPI is shown (8.2)", () => {
    const p = Papr.base();
    p.setIcp(0xff000000, 0x04ff0000);
    p.src(0x1001, 4);
    p.src(0x1002, 3);
    p.line(0x1001);
    expect([p.icp(), p.marks(0x1001)]).toEqual(["ff,04,ff,000000,1,0", "rs"]);
    p.line(0x1002);
    expect(p.icp()).toBe("ff,04,03,001002,1,1");
  });

  it("65: register values are compared untruncated and stored by their low byte", () => {
    const p = fresh();
    p.src(0x1001, 7);
    p.cppr(0x740);
    expect(p.icp()).toBe("40,ff,ff,000000,0,0");
    p.line(0x1001);
    expect([p.icp(), p.xirr(), p.eoi(0x40001001), p.icp()]).toEqual(["40,ff,07,001001,0,1", "0x40001001", 0, "40,ff,ff,000000,0,0"]);
    p.ipi(0, 0x313);
    expect([p.icp(), p.ee()]).toEqual(["40,13,ff,000000,0,0", false]);
    p.cppr(0xff);
    expect(p.icp()).toBe("ff,13,13,000002,0,1");
  });
});

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

describe("xics.md 23: words, save and restore", () => {
  it("34: what a source's word may not say", () => {
    const p = Papr.base();
    expect([p.src(15, 5), p.src(0x10_0000, 5), p.src(0x1001, 5, { server: 9 }), p.src(0x1001, 5, { server: 9, masked: true })]).toEqual([-ENOENT, -ENOENT, -EINVAL, -EINVAL]);
    expect([p.src(0x1001, 0xff, { server: 9 }), p.word(0x1001)]).toEqual([0, "0x000002ff00000009"]);
  });

  it("35: a word that cannot be read leaves its block", () => {
    const p = Papr.base();
    expect(run(p.m.setSource(0x5000, 5, 0, BAD_POINTER))).toBe(-EFAULT);
    expect([p.word(0x5000), p.getXive(0x5000)]).toEqual([-ENOENT, [0, 0, 0xff]]);
  });

  it("39, 40, 41: fields of a server's word that contradict each other", () => {
    const p = Papr.base();
    p.src(0x1005, 0xff);
    expect(p.setIcp(0xff000000, 0xff050000)).toBe(-EINVAL);
    expect([p.setIcp(0xff000002, 0xff040000), p.setIcp(0xff000002, 0x04040000), p.ee(), p.setIcp(0x04000002, 0x04040000)]).toEqual([-EINVAL, 0, true, -EINVAL]);
    expect([p.setIcp(0xff001001, 0x05050000), p.setIcp(0xff001001, 0x06050000)]).toEqual([-EINVAL, 0]);
    expect([p.setIcp(0x05001001, 0xff050000), p.setIcp(0xff009000, 0x06050000)]).toEqual([-EINVAL, -EINVAL]);
  });

  it("44: a source restored before its server shows at the next EOI", () => {
    const p = fresh();
    p.src(0x1001, 5, { pending: true });
    expect([p.setIcp(0xff000000, 0xffff0000), p.icp()]).toEqual([0, "ff,ff,ff,000000,1,0"]);
    p.eoi(0xff000002);
    expect(p.icp()).toBe("ff,ff,05,001001,0,1");
  });

  it("45: and at once where servers come first", () => {
    const p = fresh();
    p.src(0x1001, 0xff);
    p.setIcp(0xff000000, 0xffff0000);
    p.src(0x1001, 5, { pending: true });
    expect(p.icp()).toBe("ff,ff,05,001001,0,1");
  });

  it("46: a message in an XISR with another queued is neither lost nor doubled", () => {
    const from = presented();
    from.line(0x1001);
    expect([from.word(0x1001), from.icpWord()]).toEqual(["0x0000180500000000", "0xff001001ff050000"]);
    const to = new Papr();
    to.src(0x1001, 0xff);
    expect([to.setIcp(0xff001001, 0xff050000), to.set(0x1001, 0x1805, 0)]).toEqual([0, 0]);
    expect([to.icp(), to.pq(0x1001), to.xirr(), to.eoi(0xff001001)]).toEqual(["ff,ff,05,001001,0,1", "PQ", "0xff001001", 0]);
    expect([to.icp(), to.pq(0x1001)]).toEqual(["ff,ff,05,001001,0,1", "P-"]);
  });

  it("47: a level in an XISR is presented once more", () => {
    const from = lsi(0);
    from.line(0x1010, SET_LEVEL);
    expect([from.word(0x1010), from.icpWord()]).toEqual(["0x00000d0500000000", "0xff001010ff050000"]);
    const to = new Papr();
    to.src(0x1010, 0xff, { lsi: true });
    to.setIcp(0xff001010, 0xff050000);
    to.set(0x1010, 0x0d05, 0);
    expect([to.icp(), to.marks(0x1010)]).toEqual(["ff,ff,05,001010,1,1", "rs"]);
    expect([to.xirr(), to.line(0x1010, UNSET), to.eoi(0xff001010), to.icp()]).toEqual(["0xff001010", 0, 0, "ff,ff,05,001010,0,1"]);
  });

  it("48: an EOI without an acceptance moves Q to P", () => {
    const p = Papr.base();
    p.src(0x1001, 5, { presented: true, queued: true });
    expect([p.eoi(0xff001001), p.icp(), p.pq(0x1001)]).toEqual([0, "ff,ff,05,001001,0,1", "P-"]);
  });

  it("49: Q alone is no service", () => {
    const p = Papr.base();
    p.src(0x1001, 5, { queued: true });
    p.line(0x1001);
    expect([p.icp(), p.pq(0x1001)]).toEqual(["ff,ff,05,001001,0,1", "P-"]);
  });

  it("50: a scan goes by numbers, not by priorities", () => {
    const p = Papr.base();
    p.cppr(0, 0);
    p.cppr(0, 1);
    p.src(0x1001, 5);
    p.src(0x2001, 4);
    p.line(0x1001);
    p.line(0x2001);
    expect(p.rm()).toEqual([4, 8]);
    p.cppr(0xff);
    expect([p.icp(), p.rm(), p.marks(0x1001)]).toEqual(["ff,ff,04,002001,1,1", [4], "rs"]);
  });
});

describe("xics.md 23: the device", () => {
  it("55: KVM_IRQ_LINE hides what KVM_IRQ_LINE_STATUS shows", () => {
    const p = Papr.base();
    expect(p.line(0x7777)).toBe(-EINVAL); // the status; the request itself gave 0
    expect(p.lines("xics_drop")).toEqual(["xics_drop(30583,no block)"]);
  });

  it("58: a vCPU has one controller, a server one vCPU; the file must be a XICS", () => {
    const p = Papr.base();
    const connect = (cpu: number, fd: number, server: number, flags = 0): number => run(p.m.connect(cpu, fd, server, flags));
    run(p.m.addVcpu(7));
    expect([connect(0, p.m.device, 3), connect(2, p.m.device, 0), connect(2, p.m.vmFd, 3), connect(2, 99, 3), connect(2, p.m.device, 3, 1)]).toEqual([-EBUSY, -EEXIST, -EPERM, -EBADF, -EINVAL]);
    expect(connect(2, p.m.device, 0x8000_0000)).toBe(0);
  });

  it("59: one XICS at a time; closed, it is gone with its servers, and may be made again", () => {
    const p = presented();
    expect(run(p.m.createXics())).toBe(-EEXIST);
    run(p.m.close(p.m.device));
    expect([p.icpWord(), p.line(0x1001)]).toEqual([-ENXIO, -ENXIO]);
    p.m.device = run(p.m.createXics());
    expect([p.m.device > 0, p.word(0x1001), p.icpWord()]).toEqual([true, -ENOENT, -ENXIO]);
    expect([run(p.m.connect(0, p.m.device, 4)), p.icpWord()]).toEqual([0, "0x00000000ffff0000"]);
  });

  it("63: which attributes there are", () => {
    const p = Papr.base();
    const has = (group: number, attr: number): number => run(p.m.attr(KVM_HAS_DEVICE_ATTR, group, attr, 0));
    expect([has(1, 15), has(1, 16), has(1, 0xf_ffff), has(1, 0x10_0000), has(1, 2 ** 32 + 16), has(2, 1)]).toEqual([-ENXIO, 0, 0, -ENXIO, -ENXIO, -ENXIO]);
  });
});
