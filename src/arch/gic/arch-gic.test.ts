import { describe, expect, it } from "vitest";
import { Gicc, GICC_V2, GICV_V2 } from "./gicc.js";
import { Gicd, GICD_V2, GICD_V3 } from "./gicd.js";
import { GICH_V2, Gich } from "./gich.js";
import { GICR_V3, Gicr } from "./gicr.js";
import { ctlrOfVtr, DEFAULT_VTR, Icc, listRegistersOf, preemptionBitsOf, priorityBitsOf, SYSTEM_REGISTERS, systemRegisterName, systemRegisterNamed } from "./icc.js";
import { lr2Iar, lr2Pintid, lr2Vintid } from "./list-register.js";
import { ActivePriorities, clampBpr, commonBpr1, groupPriority, IDLE_PRIORITY } from "./priority.js";
import { type GicRegister } from "./register-table.js";
import { affinityOfId, sgi1rCluster, sgi1rIntid, sgi1rIsBroadcast, sgi1rTargetList, sgirTargets } from "./sgi.js";

const rowsByName = (table: readonly GicRegister[]): string[] => table.map((r) => r.name.slice(r.name.indexOf("_") + 1));

describe("register frames", () => {
  it("name each row as its enumeration does", () => {
    expect(rowsByName(GICD_V3.table)[Gicd.ICFGR]).toBe("ICFGR");
    expect(rowsByName(GICD_V3.table)[Gicd.ID]).toBe("ID");
    expect(rowsByName(GICR_V3.table)[Gicr.NSACR]).toBe("NSACR");
    expect(rowsByName(GICC_V2.table)[Gicc.DIR]).toBe("DIR");
    expect(rowsByName(GICH_V2.table)[Gich.LR]).toBe("LR");
  });

  it("hold no two registers at one place", () => {
    for (const frame of [GICD_V3, GICD_V2, GICR_V3, GICC_V2, GICV_V2, GICH_V2])
      for (const [row, r] of frame.table.entries())
        for (let i = 0; i < r.count; i++) {
          const size = (r.sizes & 4) !== 0 ? 4 : r.width;
          expect(frame.find(r.offset + i * r.width, size)).toBe(row);
        }
  });

  it("refuse sizes and alignments that the register does not have (A4.1)", () => {
    expect(GICD_V3.find(0x420, 1)).toBe(Gicd.IPRIORITYR);
    expect(GICD_V3.find(0x420, 2)).toBe(-1);
    expect(GICD_V3.find(0x422, 4)).toBe(-1);
    expect(GICD_V3.find(0x104, 8)).toBe(-1);
    expect(GICD_V3.find(0x6100, 8)).toBe(Gicd.IROUTER);
    expect(GICD_V3.find(0x6104, 8)).toBe(-1);
    expect(GICD_V3.find(0x20, 4)).toBe(-1);
    expect(GICD_V3.find(0x10000, 4)).toBe(-1);
    expect(GICD_V2.find(0x6100, 4)).toBe(-1);
  });

  it("name what a trace shows", () => {
    expect(GICD_V3.nameAt(0x10c)).toBe("GICD_ISENABLER3");
    expect(GICD_V3.nameAt(0x469)).toBe("GICD_IPRIORITYR26+1");
    expect(GICD_V3.nameAt(0x6144)).toBe("GICD_IROUTER40+4");
    expect(GICR_V3.nameAt(0x10100)).toBe("GICR_ISENABLER0");
    expect(GICD_V3.nameAt(0x20)).toBe("+0x20");
  });
});

describe("system registers", () => {
  it("have the encodings of CPU_SYSREGS (A10.2)", () => {
    expect(systemRegisterNamed("ICC_PMR_EL1")?.encoding).toBe(0xc230);
    expect(systemRegisterNamed("ICC_CTLR_EL1")?.encoding).toBe(0xc664);
    expect(systemRegisterNamed("ICC_SRE_EL1")?.encoding).toBe(0xc665);
    expect(systemRegisterNamed("ICC_IGRPEN1_EL1")?.encoding).toBe(Icc.IGRPEN1);
    expect(systemRegisterName(0xc643)).toBe("ICC_BPR0_EL1");
    expect(systemRegisterName(0xc000)).toBe("S3_0_C0_C0_0");
    expect(new Set(SYSTEM_REGISTERS.map((r) => r.encoding)).size).toBe(SYSTEM_REGISTERS.length);
  });

  it("present the interface that ICH_VTR describes", () => {
    expect(listRegistersOf(DEFAULT_VTR)).toBe(4);
    expect(priorityBitsOf(DEFAULT_VTR)).toBe(5);
    expect(preemptionBitsOf(DEFAULT_VTR)).toBe(5);
    expect(ctlrOfVtr(DEFAULT_VTR)).toBe(0x8c00);
    expect(listRegistersOf(0x90000003)).toBe(4);
  });
});

describe("list registers", () => {
  it("GICH_LR: the source CPU is part of what the guest sees only with HW=0", () => {
    const hw = 0x9a006c1b | 0;
    expect([lr2Pintid(hw), lr2Vintid(hw), lr2Iar(hw)]).toEqual([27, 27, 27]);
    expect([lr2Vintid(0x10000801), lr2Iar(0x10000801)]).toEqual([1, 0x801]);
  });
});

describe("priorities", () => {
  it("VA46: BPR minima, and BPR1 while CBPR is set", () => {
    expect([clampBpr(0, 2), clampBpr(0, 3), clampBpr(6, 3), commonBpr1(3), commonBpr1(7)]).toEqual([2, 3, 6, 4, 7]);
  });

  it("the binary point cuts off the bits that do not preempt", () => {
    expect(groupPriority(0xa8, 1, 2, 5, false)).toBe(0xa0);
    expect(groupPriority(0xa8, 1, 5, 3, true)).toBe(0x80);
    expect(groupPriority(0xa8, 0, 2, 3, false)).toBe(0xa8);
    expect(groupPriority(0xa8, 0, 7, 3, false)).toBe(0);
    expect(groupPriority(0xa8, 1, 7, 3, true)).toBe(0);
  });

  it("dropping takes the most urgent bit of both groups", () => {
    for (const bits of [5, 6, 7]) {
      const active = new ActivePriorities(new Int32Array(4), new Int32Array(4), bits);
      expect([active.running(), active.runningGroup(), active.drop()]).toEqual([IDLE_PRIORITY, -1, IDLE_PRIORITY]);
      active.activate(1, 0xf8);
      active.activate(0, 0x60);
      active.activate(1, 0x40);
      expect([active.running(), active.runningGroup(), active.drop()]).toEqual([0x40, 1, 0x40]);
      expect([active.running(), active.runningGroup(), active.drop()]).toEqual([0x60, 0, 0x60]);
      expect([active.drop(), active.running()]).toEqual([0xf8, IDLE_PRIORITY]);
    }
  });

  it("one array may serve both groups, as in GICv2", () => {
    const apr = new Int32Array(1);
    const active = new ActivePriorities(apr, apr, 5);
    active.activate(1, 0xa0);
    expect(apr[0]).toBe(1 << 20);
    expect([active.drop(), apr[0]]).toEqual([0xa0, 0]);
  });
});

describe("SGI requests", () => {
  it("VA54, VA55: ICC_SGI1R", () => {
    expect([sgi1rIntid(0x0500000a), sgi1rTargetList(0x0500000a), sgi1rIsBroadcast(0)]).toEqual([5, 0xa, false]);
    expect(sgi1rIsBroadcast(0x100)).toBe(true);
    expect(sgi1rCluster(0x00120000, 0x00340056)).toBe(0x34561200);
    expect(affinityOfId(17)).toBe(0x101);
  });

  it("GICD_SGIR: list, others, self, reserved", () => {
    expect(sgirTargets(0x00060003, 0, 0xf)).toBe(6);
    expect(sgirTargets(0x01000003, 0, 0xf)).toBe(0xe);
    expect(sgirTargets(0x02000003, 2, 0xf)).toBe(4);
    expect(sgirTargets(0x03ff0003, 2, 0xf)).toBe(0);
  });
});
