import { describe, expect, it } from "vitest";
import { SPURIOUS_INTID } from "../../arch/gic/contract.js";
import { IchHcr, IchMisr, IchVmcr } from "../../arch/gic/gich.js";
import { listRegistersOf, preemptionBitsOf, priorityBitsOf } from "../../arch/gic/icc.js";
import { run } from "../../sim/step.js";
import type { Gichv2 } from "./gich.js";
import { GicV2 } from "./gicv2.js";

function booted(cpus = 4, eoiMode: 0 | 1 = 1): GicV2 {
  const gic = new GicV2({ cpus, interrupts: 160, eoiMode });
  gic.boot();
  return gic;
}

const IAR = 0x0c;
const EOIR = 0x10;
const DIR = 0x1000;
const iar = (gic: GicV2, cpu = 0): number => run(gic.readGicc(cpu, IAR, 4));

describe("physical GICv2", () => {
  it("vector 49: the same SGI from two CPUs is two interrupts, each with its source", () => {
    const gic = booted();
    run(gic.sendSgi(0, 1, 1));
    run(gic.sendSgi(2, 1, 1));
    expect(iar(gic, 1)).toBe(0x001);
    run(gic.endOfInterrupt(1, 0x001));
    run(gic.deactivate(1, 0x001));
    expect(iar(gic, 1)).toBe(0x801);
    run(gic.endOfInterrupt(1, 0x801));
    run(gic.deactivate(1, 0x801));
    expect([iar(gic, 1), gic.isActive(1, 1)]).toEqual([SPURIOUS_INTID, false]);
  });

  it("K28: an end without the source leaves the other instance active", () => {
    const gic = booted();
    run(gic.sendSgi(0, 1, 1));
    run(gic.sendSgi(2, 1, 1));
    for (let i = 0; i < 2; i++) {
      iar(gic, 1);
      run(gic.endOfInterrupt(1, 1));
      run(gic.deactivate(1, 1));
    }
    expect(gic.isActive(1, 1)).toBe(true);
    run(gic.sendSgi(2, 1, 1));
    expect([gic.isPending(1, 1), gic.isSignalled(1)]).toEqual([true, false]);
    run(gic.setActive(1, 1, false));
    expect(gic.isSignalled(1)).toBe(true);
  });

  it("an SGI of a second source is taken while the first is still active, once its priority dropped", () => {
    const gic = booted();
    run(gic.sendSgi(0, 1, 1));
    expect(iar(gic, 1)).toBe(0x001);
    run(gic.sendSgi(2, 1, 1));
    run(gic.sendSgi(0, 1, 1));
    expect(gic.isSignalled(1)).toBe(false);
    run(gic.endOfInterrupt(1, 0x001));
    expect(iar(gic, 1)).toBe(0x801);
    run(gic.endOfInterrupt(1, 0x801));
    expect(iar(gic, 1)).toBe(SPURIOUS_INTID);
    run(gic.deactivate(1, 0x001));
    expect(iar(gic, 1)).toBe(0x001);
  });

  it("VA68: GICD_SGIR to all others and to a list", () => {
    const gic = booted();
    run(gic.writeGicd(0, 0xf00, 4, 0x01000003));
    run(gic.writeGicd(2, 0xf00, 4, 0x00020003));
    expect([0, 1, 2, 3].map((cpu) => gic.isPending(cpu, 3))).toEqual([false, true, true, true]);
    expect(run(gic.readGicd(1, 0xf20, 4))).toBe(0x05000000);
    expect(iar(gic, 1)).toBe(0x003);
    run(gic.writeGicc(1, EOIR, 4, 0x003));
    run(gic.writeGicc(1, DIR, 4, 0x003));
    expect(iar(gic, 1)).toBe(0x803);
  });

  it("SPENDSGIR and CPENDSGIR change pending sources; ISPENDR0 does not touch SGIs (A12)", () => {
    const gic = booted();
    run(gic.writeGicd(1, 0xf21, 1, 0x0c));
    run(gic.writeGicd(1, 0x200, 4, 0x8));
    expect(run(gic.readGicd(1, 0x200, 4))).toBe(0x2);
    run(gic.writeGicd(1, 0xf11, 1, 0x04));
    expect(iar(gic, 1)).toBe(0x401 | 0x800);
  });

  it("private registers are banked by the accessing CPU, ITARGETSR0-7 name it", () => {
    const gic = booted();
    run(gic.writeGicd(1, 0x100, 4, 1 << 27));
    expect([run(gic.readGicd(1, 0x100, 4)), run(gic.readGicd(0, 0x100, 4))]).toEqual([0xffff | (1 << 27), 0xffff]);
    expect(run(gic.readGicd(2, 0x800, 4))).toBe(0x04040404);
    run(gic.writeGicd(2, 0x800, 4, -1));
    expect(run(gic.readGicd(2, 0x800, 4))).toBe(0x04040404);
  });

  it("ITARGETSR keeps the CPUs there are and sends to the lowest; none named, nothing is sent", () => {
    const gic = booted(2);
    run(gic.setEnabled(0, 40, true));
    run(gic.setSpi(40, true));
    run(gic.writeGicd(0, 0x828, 1, 0xfe));
    expect([run(gic.readGicd(0, 0x828, 1)), gic.isSignalled(0), gic.isSignalled(1)]).toEqual([2, false, true]);
    run(gic.writeGicd(0, 0x828, 1, 0));
    expect([gic.isSignalled(0), gic.isSignalled(1)]).toEqual([false, false]);
  });

  it("the CPU interface: PMR, RPR, HPPIR, enable, EOImode", () => {
    const gic = booted(1, 0);
    run(gic.setEnabled(0, 40, true));
    run(gic.setSpi(40, true));
    expect([run(gic.readGicc(0, 0x00, 4)), run(gic.readGicc(0, 0x04, 4)), run(gic.readGicc(0, 0x18, 4)), run(gic.readGicc(0, 0x14, 4))]).toEqual([1, 0xf0, 40, 0xff]);
    run(gic.writeGicc(0, 0x04, 4, 0xa0));
    expect(iar(gic)).toBe(SPURIOUS_INTID);
    run(gic.writeGicc(0, 0x04, 4, 0xff));
    expect(run(gic.readGicc(0, 0x04, 4))).toBe(0xf8);
    expect([iar(gic), run(gic.readGicc(0, 0x14, 4)), run(gic.readGicc(0, 0xd0, 4))]).toEqual([40, 0xa0, 1 << 20]);
    run(gic.writeGicc(0, EOIR, 4, 40));
    expect([gic.isActive(0, 40), gic.isSignalled(0)]).toEqual([false, true]);
    run(gic.writeGicc(0, 0x00, 4, 0));
    expect(gic.isSignalled(0)).toBe(false);
  });

  it("TYPER, IIDR and PIDR2 say what there is", () => {
    const gic = booted();
    expect([run(gic.readGicd(0, 0x004, 4)), run(gic.readGicd(0, 0x008, 4)), run(gic.readGicd(0, 0xfe8, 4))]).toEqual([0x64, 0x0200143b, 0x2b]);
  });
});

const LR0 = 0x100;
const EISR = 0x20;
const ELRSR = 0x30;
const MISR = 0x10;

/** GICH enabled, the guest's group 0 on and its PMR open. */
function guest(gic = booted()): Gichv2 {
  const gich = gic.gich(0);
  run(gich.writeGicv(0x04, 4, 0xf0));
  run(gich.writeGicv(0x00, 4, 1));
  run(gich.writeGich(0x00, 4, IchHcr.EN));
  return gich;
}

describe("GICH and GICV", () => {
  it("vector 51: GICH_VTR tells list registers and priority bits", () => {
    const vtr = guest().readGich(0x04, 4);
    expect([vtr, listRegistersOf(vtr), preemptionBitsOf(vtr), priorityBitsOf(vtr)]).toEqual([0x90000003 | 0, 4, 5, 5]);
  });

  it("vector 52: a level list register with an EOI request through its life", () => {
    const gic = booted();
    const gich = guest(gic);
    run(gich.writeGich(LR0, 4, 0x1a080028));
    expect(gich.isSignalled(1)).toBe(true);
    expect(run(gich.readGicv(IAR, 4))).toBe(40);
    expect(gich.readGich(LR0, 4)).toBe(0x2a080028);
    run(gich.writeGicv(EOIR, 4, 40));
    expect([gich.readGich(LR0, 4), gich.readGich(EISR, 4), gich.readGich(MISR, 4), gich.readGich(ELRSR, 4)]).toEqual([0x0a080028, 1, IchMisr.EOI, 0xe]);
    expect(gic.lineLevel(0, 25)).toBe(true);
  });

  it("vector 53: a HW list register deactivates the physical interrupt", () => {
    const gic = booted();
    run(gic.setEnabled(0, 27, true));
    run(gic.setPpi(0, 27, true));
    expect(iar(gic)).toBe(27);
    run(gic.endOfInterrupt(0, 27));
    run(gic.setPpi(0, 27, false));
    const gich = guest(gic);
    run(gich.writeGich(LR0, 4, 0x9a006c1b | 0));
    expect(run(gich.readGicv(IAR, 4))).toBe(27);
    expect(gic.isActive(0, 27)).toBe(true);
    run(gich.writeGicv(EOIR, 4, 27));
    expect([gich.readGich(ELRSR, 4), gich.readGich(EISR, 4), gic.isActive(0, 27)]).toEqual([0xf, 0, false]);
  });

  it("vector 54: the underflow condition comes with the end of the second last list register", () => {
    const gic = booted();
    const gich = guest(gic);
    run(gich.writeGich(LR0, 4, 0x1a000028));
    run(gich.writeGich(LR0 + 4, 4, 0x1a000029));
    run(gich.writeGich(0, 4, IchHcr.EN | IchHcr.UIE));
    expect([gich.readGich(MISR, 4), gic.lineLevel(0, 25)]).toEqual([0, false]);
    run(gich.writeGicv(EOIR, 4, run(gich.readGicv(IAR, 4))));
    expect([gich.readGich(MISR, 4), gic.lineLevel(0, 25)]).toEqual([IchMisr.U, true]);
  });

  it("vector 55: an end that matches no list register is counted", () => {
    const gich = guest();
    run(gich.writeGich(0, 4, IchHcr.EN | IchHcr.LRENPIE));
    run(gich.writeGich(0xf0, 4, 1 << 20));
    run(gich.writeGicv(EOIR, 4, 77));
    expect([gich.readGich(0, 4) >>> 27, gich.readGich(MISR, 4)]).toEqual([1, IchMisr.LRENP]);
  });

  it("an SGI's source is part of what the guest acknowledges and ends", () => {
    const gich = guest();
    run(gich.writeGich(LR0, 4, 0x1a000801));
    expect(run(gich.readGicv(IAR, 4))).toBe(0x801);
    run(gich.writeGicv(EOIR, 4, 0x001));
    expect(gich.readGich(LR0, 4) >>> 28).toBe(2);
  });

  it("GICV_IAR gives group 1 only with AckCtl, GICV_AIAR always", () => {
    const gich = guest();
    run(gich.writeGicv(0, 4, 3));
    run(gich.writeGich(LR0, 4, 0x5a000028));
    expect([run(gich.readGicv(IAR, 4)), run(gich.readGicv(0x18, 4)), run(gich.readGicv(0x28, 4))]).toEqual([1022, 1022, 40]);
    expect(run(gich.readGicv(0x20, 4))).toBe(40);
    run(gich.writeGicv(0x24, 4, 40));
    run(gich.writeGich(LR0, 4, 0x5a000028));
    run(gich.writeGicv(0, 4, 7));
    expect(run(gich.readGicv(IAR, 4))).toBe(40);
  });

  it("GICV registers are fields of GICH_VMCR", () => {
    const gich = guest();
    run(gich.writeGicv(0x00, 4, -1));
    run(gich.writeGicv(0x08, 4, 0));
    run(gich.writeGicv(0x1c, 4, 6));
    expect(run(gich.readGicv(0x00, 4))).toBe(0x21f);
    run(gich.writeGicv(0x00, 4, 0x201));
    expect([run(gich.readGicv(0x08, 4)), run(gich.readGicv(0x1c, 4))]).toEqual([2, 3]);
    run(gich.writeGicv(0x1c, 4, 6));
    const expected = 1 | IchVmcr.EOIM | (6 << IchVmcr.BPR1_SHIFT) | (2 << IchVmcr.BPR0_SHIFT) | (0xf0 << IchVmcr.PMR_SHIFT);
    expect(gich.readGich(0x08, 4)).toBe(expected | 0);
  });

  it("GICH_HCR has no reserved bits (host-irq.md 2.3)", () => {
    const gich = guest();
    run(gich.writeGich(0x00, 4, -1));
    expect(gich.readGich(0x00, 4)).toBe(0xf80000ff | 0);
  });

  it("with EOImode 1 GICV_DIR deactivates", () => {
    const gich = guest();
    run(gich.writeGicv(0, 4, 0x201));
    run(gich.writeGich(LR0, 4, 0x1a000028));
    run(gich.readGicv(IAR, 4));
    run(gich.writeGicv(EOIR, 4, 40));
    expect(gich.readGich(LR0, 4) >>> 28).toBe(2);
    run(gich.writeGicv(DIR, 4, 40));
    expect(gich.readGich(LR0, 4) >>> 28).toBe(0);
  });

  it("up to 64 list registers, the upper ones in EISR1 and ELRSR1", () => {
    const gich = new GicV2({ cpus: 1, interrupts: 64, listRegisters: 64 }).gich(0);
    run(gich.writeGich(0, 4, IchHcr.EN));
    run(gich.writeGich(LR0 + 4 * 40, 4, 0x0a080028));
    run(gich.writeGich(LR0 + 4 * 63, 4, 0x1a000029));
    expect([gich.readGich(EISR + 4, 4), gich.readGich(ELRSR + 4, 4), gich.readGich(ELRSR, 4), gich.misr()]).toEqual([1 << 8, 0x7ffffeff, -1, IchMisr.EOI]);
  });
});
