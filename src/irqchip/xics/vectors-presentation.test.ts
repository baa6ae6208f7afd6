import { describe, expect, it } from "vitest";
import { EINVAL } from "../../uapi/errno.js";
import { H_PARAMETER } from "./constants.js";
import { fresh, Papr, presented } from "./papr.fixture.js";

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
