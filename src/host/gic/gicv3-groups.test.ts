import { describe, expect, it } from "vitest";
import { SPURIOUS_INTID } from "../../arch/gic/contract.js";
import { Icc } from "../../arch/gic/icc.js";
import { run } from "../../sim/step.js";
import { GicV3 } from "./gicv3.js";
import { QEMU_GICV3 } from "./implementation.js";

const GICD_CTLR = 0x0000;
const GICD_IGROUPR1 = 0x0084;
const GICD_ICFGR2 = 0x0c08;
const GICD_IPRIORITYR = 0x0400;
const GICD_ISENABLER1 = 0x0104;
const BOTH_GROUPS = 3;

/** Both groups on everywhere; edge SPIs 40 (0x80) in group 0 and 41 (0xA0) in group 1, enabled. */
function twoGroups(): GicV3 {
  const gic = new GicV3({ cpus: 1, interrupts: 64, eoiMode: 0 });
  const sysreg = (encoding: number, value: number): void => run(gic.writeSysreg(0, encoding, value, 0));
  run(gic.writeGicd(GICD_CTLR, 4, BOTH_GROUPS, 0));
  sysreg(Icc.PMR, 0xf8);
  sysreg(Icc.IGRPEN0, 1);
  sysreg(Icc.IGRPEN1, 1);
  run(gic.writeGicd(GICD_IGROUPR1, 4, ~(1 << 8), 0));
  run(gic.writeGicd(GICD_ICFGR2, 4, 0xaaaaaaaa | 0, 0));
  run(gic.writeGicd(GICD_IPRIORITYR + 40, 1, 0x80, 0));
  run(gic.writeGicd(GICD_IPRIORITYR + 41, 1, 0xa0, 0));
  run(gic.writeGicd(GICD_ISENABLER1, 4, 0x300, 0));
  return gic;
}

const sysregOf = (gic: GicV3, encoding: number): number => run(gic.readSysreg(0, encoding));

describe("physical GICv3 with two groups (gic-v3.md A10.3, A10.4)", () => {
  it("the next interrupt is taken through the register of its own group, not of the one before it", () => {
    const gic = twoGroups();
    run(gic.setSpi(40, true));
    run(gic.setSpi(41, true));
    expect([sysregOf(gic, Icc.IAR1), sysregOf(gic, Icc.IAR0)]).toEqual([SPURIOUS_INTID, 40]);
    run(gic.writeSysreg(0, Icc.EOIR0, 40, 0));
    expect([sysregOf(gic, Icc.HPPIR0), sysregOf(gic, Icc.HPPIR1)]).toEqual([SPURIOUS_INTID, 41]);
    expect([sysregOf(gic, Icc.IAR0), sysregOf(gic, Icc.IAR1)]).toEqual([SPURIOUS_INTID, 41]);
  });

  it("with CBPR and BPR0 7 nothing preempts, in either group", () => {
    const gic = twoGroups();
    run(gic.writeSysreg(0, Icc.CTLR, 1, 0));
    run(gic.writeSysreg(0, Icc.BPR0, 7, 0));
    run(gic.writeGicd(GICD_IGROUPR1, 4, -1, 0));
    run(gic.setSpi(41, true));
    expect(sysregOf(gic, Icc.IAR1)).toBe(41);
    run(gic.writeGicd(GICD_IPRIORITYR + 40, 1, 0x40, 0));
    run(gic.setSpi(40, true));
    expect([sysregOf(gic, Icc.RPR), sysregOf(gic, Icc.BPR1), sysregOf(gic, Icc.HPPIR1), sysregOf(gic, Icc.IAR1)]).toEqual([0, 7, 40, SPURIOUS_INTID]);
  });

  it("an interrupt of the idle priority is never a candidate", () => {
    const gic = new GicV3({ cpus: 1, interrupts: 64, implementation: QEMU_GICV3 });
    gic.boot();
    run(gic.writeGicd(GICD_IPRIORITYR + 40, 4, 0xfeff, 0));
    run(gic.writeGicd(GICD_ISENABLER1, 4, 0x300, 0));
    run(gic.setSpi(40, true));
    expect(sysregOf(gic, Icc.HPPIR1)).toBe(SPURIOUS_INTID);
    run(gic.setSpi(41, true));
    expect(sysregOf(gic, Icc.HPPIR1)).toBe(41);
    run(gic.setSpi(41, false));
    expect(sysregOf(gic, Icc.HPPIR1)).toBe(SPURIOUS_INTID);
  });
});
