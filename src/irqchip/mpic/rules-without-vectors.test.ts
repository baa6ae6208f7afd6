import { describe, expect, it } from "vitest";
import { MPIC_42, MPIC_CPUS, Output } from "./constants.js";
import { MpicHarness } from "./mpic.fixture.js";

// Rules of mpic.md that no vector of its section 11 holds.

const v42 = (): MpicHarness => new MpicHarness({ model: MPIC_42 });
const RESET = 0x8000_0000;
const [GCR, SPVE, TFRR, VIR] = [0x1020, 0x10e0, 0x10f0, 0x1080];
const [TCCR0, TBCR0] = [0x1100, 0x1110];
const ilrOf = (irq: number): number => 0x10018 + 0x20 * irq;

describe("mpic.md 4: registers", () => {
  it("SPVE keeps 16 bits, and IACK of nothing gives them", () => {
    const h = new MpicHarness();
    h.write(SPVE, 0xabcd_1234);
    expect([h.read(SPVE), h.iack()]).toEqual(["0x00001234", 0x1234]);
  });

  it("VIR reads 0 whatever is written, the vendor's and the CPUs' reset registers alike", () => {
    const h = new MpicHarness();
    h.write(VIR, 0xffff_ffff);
    expect([h.read(VIR), h.read(0x1090)]).toEqual(["0x00000000", "0x00000000"]);
  });

  it("CTPR keeps four bits", () => {
    const h = new MpicHarness();
    h.ctpr(0xffff_fff8);
    expect(h.read(0x20080)).toBe("0x00000008");
  });

  it("TBCR keeps all 32 bits; TCCR is not written", () => {
    const h = new MpicHarness();
    h.write(TBCR0, 0x9234_5678);
    h.write(TCCR0, 0xffff_ffff);
    expect([h.mpic.timerBase[0] >>> 0, h.mpic.timerCount[0]]).toEqual([0x9234_5678, 0]);
  });

  it("ILR: the low byte modulo the outputs on 4.2; nothing on 2.0, where it reads ones", () => {
    const h = v42();
    const after = (value: number): number => {
      h.write(ilrOf(3), value);
      return h.mpic.output[3];
    };
    expect([1, 2, 3, 5, 0xff, 0x101].map(after)).toEqual([Output.CINT, Output.MCP, Output.INT, Output.MCP, Output.INT, Output.CINT]);
    expect(h.read(ilrOf(3))).toBe("0x00000001");
    const older = new MpicHarness();
    older.write(ilrOf(3), 1);
    expect([older.mpic.output[3], older.read(ilrOf(3))]).toEqual([Output.INT, "0xffffffff"]);
  });

  it("the current CPU's block is nobody's without a current CPU: neither an EOI nor an IPI nor a CTPR is written there", () => {
    const h = new MpicHarness();
    h.set(3, 8, 0x43, 1);
    h.write(0x10a0, 0x000a_0060);
    h.edge(3);
    h.iack();
    for (const [offset, value] of [[0xb0, 0], [0x40, 3], [0x80, 9]] as const) expect(h.write(offset, value)).toBe(0);
    expect([h.mpic.cpus[0].servicing.has(3), h.mpic.destination[256], h.mpic.pending[256], h.read(0x20080)]).toEqual([true, 0, 0, "0x00000000"]);
    h.write(0xb0, 0, 0); // the same by CPU 0
    expect(h.mpic.cpus[0].servicing.has(3)).toBe(false);
  });
});

describe("mpic.md 5.8: GCR's bit 31", () => {
  it("the other bits of the write are ignored: the mode is 0 afterwards", () => {
    for (const h of [new MpicHarness(), v42()]) {
      h.write(GCR, 0x6000_0000);
      h.write(GCR, RESET | 0x6000_0000);
      expect(h.read(GCR)).toBe("0x00000000");
    }
  });

  /** Everything that a reset must have changed, then all that it must not have. */
  function dirtied(): MpicHarness {
    const h = new MpicHarness();
    h.write(GCR, 0x2000_0000);
    h.write(SPVE, 0x1234);
    h.write(TFRR, 0x77);
    h.write(TBCR0, 0x1234);
    h.set(3, 8, 0x43, 2);
    h.write(0x10060, 0x0048_0043); // source 3 a level
    h.write(0x100b0, 0x4000_0000); // source 5: CPU 0's critical line
    h.write(0x100a0, 0x8048_0045);
    h.set(20, 9, 0x50, 1);
    h.set(225, 9, 0x71, 0);
    for (const irq of [5, 20]) h.drive(irq, 1);
    h.write(0x1740, 0x2500_0000);
    h.iack();
    h.drive(3, 1);
    return h;
  }

  it("resets what is named: SPVE, TFRR, GCR, IVPRs, senses, IDRs, CTPRs, timers, and the queues with what they had cached", () => {
    const h = dirtied();
    h.write(GCR, RESET);
    const { mpic } = h;
    expect([h.read(SPVE), h.read(TFRR), h.read(GCR), mpic.timerBase[0] >>> 0, mpic.timerCount[0]]).toEqual(["0x0000ffff", "0x00000000", "0x00000000", 0x8000_0000, 0]);
    expect([3, 5, 20, 225, 256].map((irq) => h.ivpr(irq))).toEqual(["0x80000000", "0x80000000", "0x80800000", "0x80800000", "0x80000000"]);
    expect([mpic.isLevel[3], mpic.isLevel[5], mpic.isLevel[20], mpic.idr[3], mpic.idr[5], mpic.idr[20]]).toEqual([0, 0, 1, 1, 1, 1]);
    for (let cpu = 0; cpu < MPIC_CPUS; cpu++) {
      const { ctpr, raised, servicing } = mpic.cpus[cpu];
      expect([ctpr, raised.members(), raised.next, raised.priority, servicing.members(), servicing.next, servicing.priority]).toEqual([15, [], -1, 0, [], -1, 0]);
    }
  });

  it("touches nothing else: targets, outputs, who ignores the mask, what is pending, MSIRs, counters of outputs and lines stay", () => {
    const kept = ({ mpic }: MpicHarness): unknown => ({
      destination: [...mpic.destination],
      output: [...mpic.output],
      isUnmaskable: [...mpic.isUnmaskable],
      pending: [...mpic.pending],
      msir: [...mpic.msir],
      active: mpic.cpus.map((cpu) => [...cpu.active]),
      lines: mpic.cpus.map((cpu) => cpu.isLineHigh),
    });
    const h = dirtied();
    const before = kept(h);
    expect([h.mpic.msir[1], h.mpic.cpus[0].active[Output.CINT], h.mpic.destination[3], h.mpic.isUnmaskable[5], h.line(1)]).toEqual([0x20, 1, 2, 1, 1]);
    h.write(GCR, RESET);
    expect(kept(h)).toEqual(before);
  });
});

describe("mpic.md 5.6: IPIs", () => {
  it("targets are added to those there are, CPUs that do not exist among them", () => {
    const h = new MpicHarness();
    h.write(0x20040, 0x8000_0002);
    h.write(0x20040, 0x0000_0010);
    expect(h.mpic.destination[256] >>> 0).toBe(0x8000_0012);
  });
});
