import { describe, expect, it } from "vitest";
import { SPURIOUS_INTID } from "../../arch/gic/contract.js";
import { GICD_V3 } from "../../arch/gic/gicd.js";
import { IchHcr, IchMisr, IchVmcr } from "../../arch/gic/gich.js";
import { GICR_V3 } from "../../arch/gic/gicr.js";
import { Icc, Ich } from "../../arch/gic/icc.js";
import type { IrqPort } from "../../arch/irq-port.js";
import { run, type Step } from "../../sim/step.js";
import { GicV3 } from "./gicv3.js";
import { GENERIC_GICV3 } from "./implementation.js";
import type { Ichv3 } from "./ich.js";

function booted(options: { cpus?: number; eoiMode?: 0 | 1; listRegisters?: number } = {}): GicV3 {
  const gic = new GicV3({ cpus: 2, interrupts: 256, ...options });
  gic.boot();
  for (const intid of [40, 41, 42]) run(gic.setEnabled(0, intid, true));
  return gic;
}

const pulse = (gic: GicV3, intid: number): void => {
  run(gic.setSpi(intid, true));
  run(gic.setSpi(intid, false));
};
const iar = (gic: GicV3, cpu = 0): number => run(gic.acknowledge(cpu));
const isActive = (gic: GicV3, intid: number, cpu = 0): boolean => gic.isActive(cpu, intid);
const isPending = (gic: GicV3, intid: number, cpu = 0): boolean => gic.isPending(cpu, intid);

class Wire implements IrqPort {
  changes: boolean[] = [];
  *irq(isAsserted: boolean): Step<void> {
    this.changes.push(isAsserted);
  }
}

describe("physical GICv3, EOImode 1", () => {
  it("vector 44: an acknowledged interrupt blocks the others until its priority drop, and stays active after it", () => {
    const gic = booted();
    run(gic.setSpi(40, true));
    expect(iar(gic)).toBe(40);
    run(gic.setSpi(41, true));
    expect(gic.isSignalled(0)).toBe(false);
    run(gic.endOfInterrupt(0, 40));
    expect(gic.isSignalled(0)).toBe(true);
    expect(isActive(gic, 40)).toBe(true);
  });

  it("vector 45: DIR before EOIR deactivates and leaves the running priority raised", () => {
    const gic = booted();
    run(gic.setTrigger(0, 40, "edge"));
    pulse(gic, 40);
    iar(gic);
    run(gic.deactivate(0, 40));
    expect(isActive(gic, 40)).toBe(false);
    expect(run(gic.readSysreg(0, Icc.RPR))).toBe(0xa0);
    run(gic.endOfInterrupt(0, 40));
    expect(run(gic.readSysreg(0, Icc.RPR))).toBe(0xff);
  });

  it("vector 46: EOIR drops the highest active priority, whichever interrupt it names", () => {
    const gic = booted();
    run(gic.setPriority(0, 41, 0x40));
    run(gic.setSpi(40, true));
    expect(iar(gic)).toBe(40);
    run(gic.setSpi(41, true));
    expect(iar(gic)).toBe(41);
    run(gic.endOfInterrupt(0, 40));
    expect(run(gic.readSysreg(0, Icc.RPR))).toBe(0xa0);
  });

  it("vector 47: a level interrupt is pending again at once after DIR while its line is high", () => {
    const gic = booted();
    run(gic.setSpi(40, true));
    iar(gic);
    run(gic.endOfInterrupt(0, 40));
    run(gic.deactivate(0, 40));
    expect(iar(gic)).toBe(40);
    run(gic.endOfInterrupt(0, 40));
    run(gic.setSpi(40, false));
    run(gic.deactivate(0, 40));
    expect([isActive(gic, 40), isPending(gic, 40), iar(gic)]).toEqual([false, false, SPURIOUS_INTID]);
  });

  it("vector 48: a level interrupt withdrawn before IAR is spurious", () => {
    const gic = booted();
    run(gic.setSpi(40, true));
    expect(gic.isSignalled(0)).toBe(true);
    run(gic.setSpi(40, false));
    expect([gic.isSignalled(0), iar(gic)]).toEqual([false, SPURIOUS_INTID]);
    run(gic.endOfInterrupt(0, SPURIOUS_INTID));
    expect(run(gic.readSysreg(0, Icc.RPR))).toBe(0xff);
  });

  it("vector 50: SGIs of two CPUs merge into one interrupt", () => {
    const gic = booted({ cpus: 3 });
    run(gic.sendSgi(0, 1, 1));
    run(gic.sendSgi(2, 1, 1));
    expect(iar(gic, 1)).toBe(1);
    run(gic.endOfInterrupt(1, 1));
    run(gic.deactivate(1, 1));
    expect(iar(gic, 1)).toBe(SPURIOUS_INTID);
  });

  it("DIR of an SPI may come from another CPU", () => {
    const gic = booted();
    run(gic.setSpi(40, true));
    iar(gic);
    run(gic.endOfInterrupt(0, 40));
    run(gic.setSpi(40, false));
    run(gic.deactivate(1, 40));
    expect(isActive(gic, 40)).toBe(false);
  });

  it("tells a port each change of its wire, and only changes", () => {
    const gic = booted();
    const wires = [new Wire(), new Wire()];
    wires.forEach((wire, cpu) => gic.connect(cpu, wire));
    run(gic.setSpi(40, true));
    run(gic.setSpi(41, true));
    iar(gic);
    run(gic.setTarget(41, 1));
    expect(wires.map((w) => w.changes)).toEqual([[true, false], [true]]);
  });

  it("finds the best of many interrupts on 512 CPUs, ties by INTID", () => {
    const gic = new GicV3({ cpus: 512 });
    gic.boot();
    for (const [intid, priority] of [[900, 0xa0], [1019, 0x40], [33, 0xa0], [500, 0x40]]) {
      run(gic.setTarget(intid, 511));
      run(gic.setPriority(0, intid, priority));
      run(gic.setEnabled(0, intid, true));
      run(gic.setSpi(intid, true));
    }
    const taken: number[] = [];
    for (let i = 0; i < 4; i++) {
      taken.push(iar(gic, 511));
      run(gic.endOfInterrupt(511, taken[i]));
    }
    expect([...taken, iar(gic, 511)]).toEqual([500, 1019, 33, 900, SPURIOUS_INTID]);
  });
});

describe("physical GICv3 after reset", () => {
  it("every register that the tables give a reset value reads it; what identifies the implementation is its own", () => {
    const gic = new GicV3({ cpus: 2, interrupts: 96, implementation: { ...GENERIC_GICV3, gicdIidr: 0, gicdTyper: 0, gicrIidr: 0 } });
    const isOwn = /_(TYPER|ID)$/;
    for (const row of GICD_V3.table) if (!isOwn.test(row.name)) expect([row.name, run(gic.readGicd(row.offset, row.width))]).toEqual([row.name, row.reset | 0]);
    for (const row of GICR_V3.table) if (!isOwn.test(row.name)) expect([row.name, run(gic.readGicr(1, row.offset, row.width))]).toEqual([row.name, row.reset | 0]);
  });
});

describe("physical GICv3, EOImode 0", () => {
  it("EOIR deactivates, DIR is ignored", () => {
    const gic = booted({ eoiMode: 0 });
    run(gic.setSpi(40, true));
    iar(gic);
    run(gic.deactivate(0, 40));
    expect(isActive(gic, 40)).toBe(true);
    run(gic.setSpi(40, false));
    run(gic.endOfInterrupt(0, 40));
    expect(isActive(gic, 40)).toBe(false);
  });
});

const PENDING = 1 << 30;
const GROUP1 = 1 << 28;
const EOI = 1 << 9;

/** An enabled virtual interface with PMR 0xF0 and group 1 on, as F0 of gic.md D3. */
function guest(gic = booted()): Ichv3 {
  const ich = gic.ich(0);
  ich.vmcr = (0xf0 << IchVmcr.PMR_SHIFT) | IchVmcr.ENG1;
  ich.hcr = IchHcr.EN;
  return ich;
}

function load(ich: Ichv3, index: number, intid: number, priority: number, flags = GROUP1): void {
  ich.lrLo[index] = intid;
  ich.lrHi[index] = (priority << 16) | PENDING | flags;
  run(ich.update());
}

describe("GICv3 virtual CPU interface", () => {
  it("VA43: priority order, running priority, strict preemption", () => {
    const ich = guest();
    load(ich, 0, 40, 0xa0);
    load(ich, 1, 41, 0x40);
    expect(run(ich.readIcv(Icc.IAR1))).toBe(41);
    expect(run(ich.readIcv(Icc.RPR))).toBe(0x40);
    expect(run(ich.readIcv(Icc.IAR1))).toBe(SPURIOUS_INTID);
    run(ich.writeIcv(Icc.EOIR1, 41));
    expect(run(ich.readIcv(Icc.IAR1))).toBe(40);
    expect(ich.runningPriority()).toBe(0xa0);
  });

  it("VA44: a priority equal to PMR is not signalled; HPPIR shows it", () => {
    const ich = guest();
    run(ich.writeIcv(Icc.PMR, 0x40));
    load(ich, 0, 40, 0x40);
    expect([run(ich.readIcv(Icc.IAR1)), run(ich.readIcv(Icc.HPPIR1)), ich.isSignalled(1)]).toEqual([SPURIOUS_INTID, 40, false]);
  });

  it("VA45: only another group priority preempts", () => {
    const ich = guest();
    run(ich.writeIcv(Icc.BPR1, 5));
    load(ich, 0, 40, 0xa8);
    expect(run(ich.readIcv(Icc.IAR1))).toBe(40);
    expect([ich.ap1r[0], ich.runningPriority()]).toEqual([1 << 20, 0xa0]);
    load(ich, 1, 41, 0xa0);
    expect(run(ich.readIcv(Icc.IAR1))).toBe(SPURIOUS_INTID);
    load(ich, 2, 42, 0x80);
    expect(run(ich.readIcv(Icc.IAR1))).toBe(42);
    expect([ich.ap1r[0], ich.runningPriority()]).toEqual([(1 << 20) | (1 << 16), 0x80]);
  });

  it("VA46: binary points have minima; BPR1 follows BPR0 while CBPR is set", () => {
    const ich = guest();
    run(ich.writeIcv(Icc.BPR0, 0));
    run(ich.writeIcv(Icc.BPR1, 0));
    expect([run(ich.readIcv(Icc.BPR0)), run(ich.readIcv(Icc.BPR1))]).toEqual([2, 3]);
    run(ich.writeIcv(Icc.BPR0, 3));
    run(ich.writeIcv(Icc.CTLR, 1));
    run(ich.writeIcv(Icc.BPR1, 7));
    expect(run(ich.readIcv(Icc.BPR1))).toBe(4);
    run(ich.writeIcv(Icc.CTLR, 0));
    expect(run(ich.readIcv(Icc.BPR1))).toBe(3);
  });

  it("VA47: with EOImode 1 the end drops the priority and DIR deactivates", () => {
    const ich = guest();
    run(ich.writeIcv(Icc.CTLR, 2));
    expect(run(ich.readIcv(Icc.CTLR))).toBe(0x8c02);
    load(ich, 0, 40, 0xa0);
    load(ich, 1, 41, 0xa0);
    run(ich.readIcv(Icc.IAR1));
    run(ich.writeIcv(Icc.EOIR1, 40));
    expect([ich.runningPriority(), ich.lrHi[0] >>> 30]).toEqual([0xff, 2]);
    expect(run(ich.readIcv(Icc.IAR1))).toBe(41);
    run(ich.writeIcv(Icc.DIR, 40));
    expect(ich.lrHi[0] >>> 30).toBe(0);
  });

  it("VA48: with EOImode 0 DIR is ignored", () => {
    const ich = guest();
    load(ich, 0, 40, 0xa0);
    run(ich.readIcv(Icc.IAR1));
    run(ich.writeIcv(Icc.DIR, 40));
    expect([ich.lrHi[0] >>> 30, ich.hcr >>> 27]).toEqual([2, 0]);
  });

  it("VA49: an end that matches no list register drops the priority and is counted", () => {
    const ich = guest();
    load(ich, 0, 40, 0xa0);
    run(ich.readIcv(Icc.IAR1));
    run(ich.writeIcv(Icc.EOIR1, 99));
    expect([ich.runningPriority(), ich.lrHi[0] >>> 30, ich.hcr >>> 27]).toEqual([0xff, 2, 1]);
  });

  it("VA50: IAR0 with only group 1 pending changes nothing", () => {
    const ich = guest();
    load(ich, 0, 40, 0xa0);
    expect(run(ich.readIcv(Icc.IAR0))).toBe(SPURIOUS_INTID);
    expect([ich.runningPriority(), ich.lrHi[0] >>> 30]).toEqual([0xff, 1]);
  });

  it("VA58: an LPI's image is acknowledged and ended by its INTID", () => {
    const ich = guest();
    run(ich.writeIch(Ich.LR0, 0x2000, 0x50a00000));
    expect([run(ich.readIcv(Icc.IAR1)), ich.runningPriority()]).toEqual([8192, 0xa0]);
    run(ich.writeIcv(Icc.EOIR1, 8192));
    expect([ich.lrHi[0] >>> 30, ich.hcr >>> 27]).toEqual([0, 0]);
  });

  it("VA59: a level image asks for maintenance at its end", () => {
    const ich = guest();
    run(ich.writeIch(Ich.LR0, 40, 0x50800200));
    expect([run(ich.readIcv(Icc.IAR1)), ich.runningPriority(), ich.eisr()]).toEqual([40, 0x80, 0]);
    run(ich.writeIcv(Icc.EOIR1, 40));
    expect(ich.eisr()).toBe(1);
  });

  it("VA60: a HW image deactivates its physical INTID, without maintenance", () => {
    const gic = booted();
    run(gic.setActive(0, 27, true));
    const ich = guest(gic);
    run(ich.writeIch(Ich.LR0, 27, 0x70a0001b));
    run(ich.writeIcv(Icc.EOIR1, run(ich.readIcv(Icc.IAR1))));
    expect([isActive(gic, 27), ich.eisr()]).toEqual([false, 0]);
  });

  it("VA79: EOIR1 of a group 0 interrupt drops its priority, and EOIR0 then does nothing", () => {
    const ich = guest();
    run(ich.writeIcv(Icc.IGRPEN0, 1));
    load(ich, 0, 40, 0x80, 0);
    expect([ich.isSignalled(0), ich.isSignalled(1)]).toEqual([true, false]);
    expect([run(ich.readIcv(Icc.IAR0)), ich.runningPriority()]).toEqual([40, 0x80]);
    run(ich.writeIcv(Icc.EOIR1, 40));
    run(ich.writeIcv(Icc.EOIR0, 40));
    expect([ich.runningPriority(), ich.lrHi[0] >>> 30]).toEqual([0xff, 2]);
  });

  it("VA80: ends in the wrong order leave both interrupts active", () => {
    const ich = guest();
    load(ich, 0, 40, 0xb0);
    run(ich.readIcv(Icc.IAR1));
    load(ich, 1, 41, 0x60);
    run(ich.readIcv(Icc.IAR1));
    run(ich.writeIcv(Icc.EOIR1, 40));
    expect(ich.runningPriority()).toBe(0xb0);
    run(ich.writeIcv(Icc.EOIR1, 41));
    expect([ich.runningPriority(), ich.lrHi[0] >>> 30, ich.lrHi[1] >>> 30]).toEqual([0xff, 2, 2]);
  });

  it("an active and pending interrupt is pending after its end", () => {
    const ich = guest();
    load(ich, 0, 40, 0xa0);
    run(ich.readIcv(Icc.IAR1));
    ich.lrHi[0] |= PENDING;
    expect(run(ich.readIcv(Icc.HPPIR1))).toBe(SPURIOUS_INTID);
    run(ich.writeIcv(Icc.EOIR1, 40));
    expect(run(ich.readIcv(Icc.IAR1))).toBe(40);
  });

  it("the end of an EOI list register sets EISR and raises PPI 25 until the hypervisor clears En", () => {
    const gic = booted();
    const ich = guest(gic);
    load(ich, 0, 40, 0xa0, GROUP1 | EOI);
    run(ich.readIcv(Icc.IAR1));
    expect([ich.eisr(), ich.misr(), ich.elrsr()]).toEqual([0, 0, 0xe]);
    run(ich.writeIcv(Icc.EOIR1, 40));
    expect([ich.eisr(), ich.misr(), ich.elrsr(), gic.lineLevel(0, 25)]).toEqual([1, IchMisr.EOI, 0xe, true]);
    ich.hcr = 0;
    run(ich.update());
    expect(gic.lineLevel(0, 25)).toBe(false);
  });

  it("a HW list register deactivates the physical interrupt of this CPU", () => {
    const gic = booted();
    run(gic.setEnabled(0, 27, true));
    run(gic.setPpi(0, 27, true));
    expect(iar(gic)).toBe(27);
    run(gic.endOfInterrupt(0, 27));
    run(gic.setActive(1, 27, true));
    const ich = guest(gic);
    load(ich, 0, 27, 0xa0, GROUP1 | (1 << 29) | 27);
    expect(run(ich.readIcv(Icc.IAR1))).toBe(27);
    run(gic.setPpi(0, 27, false));
    expect(isActive(gic, 27)).toBe(true);
    run(ich.writeIcv(Icc.EOIR1, 27));
    expect([isActive(gic, 27), isActive(gic, 27, 1), ich.eisr(), ich.elrsr()]).toEqual([false, true, 0, 0xf]);
  });

  it("with EOImode 1 only DIR deactivates physically; a high line is then pending again at once", () => {
    const gic = booted();
    run(gic.setSpi(40, true));
    iar(gic);
    run(gic.endOfInterrupt(0, 40));
    const ich = guest(gic);
    run(ich.writeIcv(Icc.CTLR, 2));
    load(ich, 0, 40, 0xa0, GROUP1 | (1 << 29) | 40);
    run(ich.readIcv(Icc.IAR1));
    run(ich.writeIcv(Icc.EOIR1, 40));
    expect([isActive(gic, 40), gic.isSignalled(0)]).toEqual([true, false]);
    run(ich.writeIcv(Icc.DIR, 40));
    expect([isActive(gic, 40), gic.isSignalled(0)]).toEqual([false, true]);
  });

  it("maintenance conditions U, NP, LRENP and the group ones (host-irq.md 2.4)", () => {
    const ich = guest();
    ich.hcr = IchHcr.EN | IchHcr.UIE | IchHcr.NPIE | IchHcr.LRENPIE | IchHcr.VGRP0DIE | IchHcr.VGRP1EIE;
    expect(ich.misr()).toBe(IchMisr.U | IchMisr.NP | IchMisr.VGRP0D | IchMisr.VGRP1E);
    load(ich, 0, 40, 0xa0);
    load(ich, 1, 41, 0xa0);
    expect(ich.misr()).toBe(IchMisr.VGRP0D | IchMisr.VGRP1E);
    run(ich.readIcv(Icc.IAR1));
    run(ich.writeIcv(Icc.EOIR1, 99));
    expect(ich.misr()).toBe(IchMisr.LRENP | IchMisr.VGRP0D | IchMisr.VGRP1E);
  });

  it("presents 1 to 16 list registers, and the registers of the hypervisor", () => {
    const ich = guest(booted({ listRegisters: 16 }));
    expect(ich.readIch(Ich.VTR)).toBe(0x90a0000f | 0);
    run(ich.writeIch(Ich.HCR, -1, 0));
    expect(ich.readIch(Ich.HCR)).toBe(0xf8007dff | 0);
    run(ich.writeIch(Ich.LR15, 40, 0x50a00000));
    expect([ich.readIch(Ich.LR15), ich.readIch(Ich.ELRSR), run(ich.readIcv(Icc.IAR1))]).toEqual([40, 0x7fff, 40]);
    run(ich.writeIch(Ich.VMCR, 0, 0));
    expect([ich.readIch(Ich.VMCR), run(ich.readIcv(Icc.BPR0)), run(ich.readIcv(Icc.BPR1))]).toEqual([(2 << 21) | (3 << 18), 2, 3]);
  });

  it("nothing is signalled while En is 0", () => {
    const ich = guest();
    load(ich, 0, 40, 0xa0);
    ich.hcr = 0;
    expect([ich.isSignalled(1), run(ich.readIcv(Icc.IAR1))]).toEqual([false, SPURIOUS_INTID]);
  });
});

