import { describe, expect, it } from "vitest";
import { VLPI_BASE } from "../../../arch/gic/gicr-vlpi.js";
import { run } from "../../../sim/step.js";
import { type Hw, ItsMachine, lo, VPROP, VPT } from "./its-machine.fixture.js";

const NOTHING = 1023;
const DOORBELL = 8300;

/** vPE 3 on CPU 0, event 7 its vLPI 8200 with priority 0xa0. */
function mapped(hw: Hw, options: ConstructorParameters<typeof ItsMachine>[1] = {}): ItsMachine {
  const machine = new ItsMachine(hw, options);
  for (const intid of [DOORBELL, 9003]) machine.configure(intid, 0xa1);
  machine.ram.setU8(VPROP + 8, 0xa3);
  machine.vmapp(3, 0);
  machine.vmapp(4, 1);
  machine.vmapti(7, 8200, 3, hw === "v4.0" ? DOORBELL : undefined);
  machine.enableVirtual(0);
  machine.enableVirtual(1);
  return machine;
}

describe.each(["v4.0", "v4.1"] as const)("vLPIs, %s", (hw) => {
  it("a resident vPE takes its vLPI without a physical interrupt; it has no active state", () => {
    const machine = mapped(hw);
    machine.schedule(0, 3);
    machine.int(2, 7);
    expect(machine.gic.isSignalled(0)).toBe(false);
    expect(machine.gic.ich(0).isSignalled(1)).toBe(true);
    expect(machine.virtualIar(0)).toBe(8200);
    expect(machine.ram.u8(VPT + 3 * 0x10000 + 8200 / 8)).toBe(0);
    machine.int(2, 7);
    expect(machine.virtualIar(0)).toBe(NOTHING);
    machine.virtualEoi(0, 8200);
    expect(machine.gic.ich(0).hcr >>> 27).toBe(0);
    expect(machine.virtualIar(0)).toBe(8200);
  });

  it("PendingLast is 1 as soon as Valid is, whatever software wrote (C1.2)", () => {
    const machine = mapped(hw);
    machine.gicr(0, VLPI_BASE + 0x78, hw === "v4.1" ? 3 : lo(VPT + 3 * 0x10000), 0x80000000 | 0);
    expect(run(machine.gic.readGicr(0, VLPI_BASE + 0x7c, 4)) & (1 << 29)).toBe(1 << 29);
  });

  it("VMAPP of more ID bits than GITS_TYPER has is skipped; VMOVI to a vPE whose table ends before the vLPI, too (C1.3)", () => {
    const machine = mapped(hw);
    const dw0 = hw === "v4.1" ? 0x300 | lo(VPROP) : 0;
    machine.command([0x29 | dw0, 0, 9005, 5, 0, 0x80000000 | 0, lo(VPT + 5 * 0x10000) | 16, 0]);
    machine.vmapti(8, 8201, 5);
    machine.int(2, 8);
    expect(machine.ram.u8(VPT + 5 * 0x10000 + 8200 / 8)).toBe(0);
    machine.command([0x29 | dw0, 0, 9005, 5, 0, 0x80000000 | 0, lo(VPT + 5 * 0x10000) | 12, 0]);
    machine.vmapti(9, 16384 + 8, 3);
    machine.command([0x21, 2, 9, 5, 0]);
    machine.int(2, 9);
    expect(machine.ram.u8(VPT + 3 * 0x10000 + 16392 / 8)).toBe(1);
  });

  it("what software must not send is told: VMAPP of a mapped vPE, VMAPTI for one that is not", () => {
    const machine = mapped(hw);
    const told: boolean[] = [];
    machine.its[0].listener = { command: (its) => told.push(its.translation.isUnpredictable) };
    machine.vmapp(3, 0);
    machine.vmapti(8, 8201, 6);
    machine.vmapti(8, 8201, 3);
    expect(told).toEqual([true, true, false]);
  });

  it("PendingLast says whether something enabled waits, and the next residency takes it", () => {
    const machine = mapped(hw);
    machine.schedule(0, 3);
    expect(machine.deschedule(0, 3)).toBe(false);
    machine.schedule(0, 3);
    machine.int(2, 7);
    expect(machine.deschedule(0, 3)).toBe(true);
    machine.schedule(0, 3);
    expect(machine.virtualIar(0)).toBe(8200);
    machine.ram.setU8(VPROP + 8, 0xa2);
    machine.int(2, 7);
    expect(machine.deschedule(0, 3)).toBe(false);
  });

  it("VMOVP takes the vPE to another redistributor, VMOVI an event with its pending bit to another vPE", () => {
    const machine = mapped(hw);
    machine.vmovp(3, 1);
    machine.schedule(1, 3);
    machine.int(2, 7);
    expect(machine.virtualIar(1)).toBe(8200);
    machine.virtualEoi(1, 8200);
    machine.int(2, 7);
    machine.command([0x21, 2, 7, 4, 0]);
    expect(machine.virtualIar(1)).toBe(NOTHING);
    machine.deschedule(1, 3);
    machine.schedule(1, 4);
    expect(machine.virtualIar(1)).toBe(8200);
  });

  it("another vPE cannot take the place of a resident one: the write is ignored and counted", () => {
    const machine = mapped(hw);
    machine.schedule(0, 3);
    machine.schedule(0, 4);
    machine.int(2, 7);
    expect(machine.virtualIar(0)).toBe(8200);
    expect(machine.gic.vlpis(0).misuses).toBe(1);
  });

  it("a redistributor that takes its time is Dirty until it is done, or until the second look; a write under Dirty is counted", () => {
    const machine = mapped(hw);
    const dirtyAndPendingLast = (): number => (run(machine.gic.readGicr(0, VLPI_BASE + 0x7c, 4)) >>> 28) & 3;
    machine.int(2, 7);
    let asked = 0;
    machine.gic.vlpis(0).parseLater(() => void asked++);
    machine.schedule(0, 3);
    expect([asked, machine.virtualIar(0), dirtyAndPendingLast() & 1]).toEqual([1, NOTHING, 1]);
    run(machine.gic.settleVlpis(0));
    expect([dirtyAndPendingLast() & 1, machine.virtualIar(0)]).toEqual([0, 8200]);
    machine.virtualEoi(0, 8200);
    machine.int(2, 7);
    expect(machine.deschedule(0, 3)).toBe(false); // under Dirty PendingLast says nothing yet
    expect(dirtyAndPendingLast()).toBe(2);
    expect(machine.gic.vlpis(0).misuses).toBe(0);
    machine.schedule(0, 3);
    machine.deschedule(0, 3);
    expect(machine.gic.vlpis(0).misuses).toBe(1);
  });

  it("a configuration byte counts from INV on, VINVALL looks at all", () => {
    const machine = mapped(hw);
    machine.ram.setU8(VPROP + 8, 0xa2);
    machine.schedule(0, 3);
    machine.int(2, 7);
    machine.ram.setU8(VPROP + 8, 0xa3);
    expect(machine.virtualIar(0)).toBe(NOTHING);
    machine.command([0x0c, 2, 7]);
    expect(machine.virtualIar(0)).toBe(8200);
    machine.virtualEoi(0, 8200);
    machine.ram.setU8(VPROP + 8, 0xa2);
    machine.int(2, 7);
    machine.ram.setU8(VPROP + 8, 0xa3);
    machine.command([0x2d, 0, 0, 3]);
    expect(machine.virtualIar(0)).toBe(8200);
  });
});

describe("a vLPI that is enabled while it is pending and its vPE away", () => {
  it.each(["v4.0", "v4.1"] as const)("%s: INV and VINVALL ring no doorbell, and the next residency has it", (hw) => {
    const machine = mapped(hw);
    machine.vmapti(8, 8201, 3);
    machine.schedule(0, 3);
    machine.int(2, 8); // disabled
    expect(machine.deschedule(0, 3, true)).toBe(false);
    machine.ram.setU8(VPROP + 9, 0xa3);
    machine.command([0x0c, 2, 8]);
    machine.command([0x2d, 0, 0, 3]);
    expect(machine.iar(0)).toBe(NOTHING);
    machine.schedule(0, 3);
    expect(machine.virtualIar(0)).toBe(8201);
  });
});

describe("a vLPI beside a list register (C1.4)", () => {
  it.each([[false, [40, 8200]], [true, [8200, 40]]] as const)("with one priority: the list register comes first, or the vLPI where the implementation has chosen so (%s)", (vlpiWinsTie, order) => {
    const machine = mapped("v4.0", { vlpiWinsTie });
    machine.schedule(0, 3);
    const ich = machine.gic.ich(0);
    ich.lrLo[0] = 40;
    ich.lrHi[0] = (1 << 30) | (1 << 28) | (0xa0 << 16);
    machine.int(2, 7);
    const taken = [0, 1].map(() => {
      const intid = machine.virtualIar(0);
      machine.virtualEoi(0, intid);
      return intid;
    });
    expect(taken).toEqual(order);
  });

  it("with another priority the higher one comes first, whatever the implementation does with equals", () => {
    for (const [priority, first] of [[0x98, 40], [0xa8, 8200]] as const)
      for (const vlpiWinsTie of [false, true]) {
        const machine = mapped("v4.0", { vlpiWinsTie });
        machine.schedule(0, 3);
        const ich = machine.gic.ich(0);
        ich.lrLo[0] = 40;
        ich.lrHi[0] = (1 << 30) | (1 << 28) | (priority << 16);
        machine.int(2, 7);
        expect(machine.virtualIar(0)).toBe(first);
      }
  });
});

describe("commands with a wrong parameter change nothing (C1.3)", () => {
  it("VMAPTI and VMOVI with a doorbell that is neither 1023 nor an LPI", () => {
    const machine = mapped("v4.0");
    machine.vmapti(8, 8208, 3, 40);
    machine.int(2, 8);
    expect(machine.ram.u8(VPT + 3 * 0x10000 + 8208 / 8)).toBe(0);
    machine.command([0x21, 2, 7, 4, 1, 40]);
    machine.int(2, 7);
    expect([machine.ram.u8(VPT + 3 * 0x10000 + 8200 / 8), machine.ram.u8(VPT + 4 * 0x10000 + 8200 / 8)]).toEqual([1, 0]);
    expect(machine.iar(0)).toBe(DOORBELL);
  });

  it("MAPC with V=0 is not one of them: it names no redistributor (B11)", () => {
    const machine = mapped("v4.0");
    machine.mapti(2, 9, 9003, 0);
    machine.command([0x09, 0, 0, 0, 0 | (99 << 16), 0]);
    machine.int(2, 9);
    expect(machine.iar(0)).toBe(NOTHING);
  });
});

describe("doorbells", () => {
  it("4.0: an event of a vPE that is away rings the event's doorbell at the vPE's redistributor, every time, enabled or not", () => {
    const machine = mapped("v4.0");
    machine.ram.setU8(VPROP + 8, 0xa2);
    machine.int(2, 7);
    expect(machine.iar(0)).toBe(DOORBELL);
    run(machine.gic.endOfInterrupt(0, DOORBELL));
    machine.vmovp(3, 1);
    machine.int(2, 7);
    expect([machine.iar(0), machine.iar(1)]).toEqual([NOTHING, DOORBELL]);
  });

  it("4.1: the default doorbell rings once after a residency that asked for it, for what is enabled", () => {
    const machine = mapped("v4.1");
    machine.int(2, 7);
    expect(machine.iar(0)).toBe(NOTHING);
    machine.schedule(0, 3);
    expect(machine.virtualIar(0)).toBe(8200);
    machine.deschedule(0, 3, true);
    machine.ram.setU8(VPROP + 8, 0xa2);
    machine.int(2, 7);
    expect(machine.iar(0)).toBe(NOTHING);
    machine.ram.setU8(VPROP + 8, 0xa3);
    machine.int(2, 7);
    expect(machine.iar(0)).toBe(9003);
    run(machine.gic.endOfInterrupt(0, 9003));
    machine.int(2, 7);
    expect(machine.iar(0)).toBe(NOTHING);
  });
});

describe("GICv4.1, what is each vPE's own", () => {
  it("a vPE that left with its doorbell asked for has it rung, whoever has been on its redistributor since, and where it has moved to", () => {
    const machine = mapped("v4.1");
    machine.vmovp(4, 0);
    machine.schedule(0, 3);
    machine.deschedule(0, 3, true);
    machine.schedule(0, 4);
    machine.deschedule(0, 4);
    machine.int(2, 7);
    expect(machine.iar(0)).toBe(9003);
    run(machine.gic.endOfInterrupt(0, 9003));
    machine.schedule(0, 3);
    expect(machine.virtualIar(0)).toBe(8200);
    machine.deschedule(0, 3, true);
    machine.vmovp(3, 1);
    machine.int(2, 7);
    expect([machine.iar(0), machine.iar(1)]).toEqual([NOTHING, 9003]);
  });

  it("an SGI of a group that is off hides no vLPI of the other", () => {
    const machine = mapped("v4.1");
    machine.command([0x00200123, 5, 0, 3]);
    machine.schedule(0, 3, 2);
    run(machine.its[0].write(0x20020, 8, 5, 3));
    machine.int(2, 7);
    expect(machine.virtualIar(0)).toBe(8200);
  });
});

describe("several ITSs", () => {
  it("with GITS_TYPER.VMOVP one VMOVP moves the vPE on all of them, without it on the one that it was sent to", () => {
    for (const [typerHigh, expected] of [[0x3f, 1], [0x1f, 0]] as const) {
      const machine = mapped("v4.0", { itses: 2, its: { typerHigh } });
      machine.vmapp(3, 0, 1);
      machine.command([0x2a, 2, 9, 3, 8200, 1023], 1);
      machine.vmovp(3, 1, 0);
      const { translation } = machine.its[1];
      translation.findVpe(3);
      expect(translation.vpe.redistributor).toBe(expected);
    }
  });
});

describe("virtual SGIs (4.1)", () => {
  it("VSGI configures one and takes its pending state back, GITS_SGIR raises it, VSGIPENDR shows it", () => {
    const machine = mapped("v4.1");
    const [its] = machine.its;
    machine.schedule(0, 3);
    machine.command([0x00a00523, 5, 0, 3]);
    run(its.write(0x20020, 8, 5, 3));
    run(machine.gic.writeGicr(0, VLPI_BASE + 0x80, 4, 3));
    expect(run(machine.gic.readGicr(0, VLPI_BASE + 0x88, 4))).toBe(1 << 5);
    machine.command([0x223, 5, 0, 3]);
    expect(machine.virtualIar(0)).toBe(NOTHING);
    run(its.write(0x20020, 8, 5, 3));
    machine.gic.ich(0).hcr = 1 | (1 << 8);
    expect(machine.virtualIar(0)).toBe(5);
    machine.virtualEoi(0, 5);
    expect(machine.gic.ich(0).hcr >>> 27).toBe(0);
    machine.deschedule(0, 3, true);
    run(its.write(0x20020, 8, 5, 3));
    expect(machine.iar(0)).toBe(9003);
  });

  it("group 1 is signalled with VGrp1En alone", () => {
    const machine = mapped("v4.1");
    machine.schedule(0, 3);
    machine.deschedule(0, 3);
    machine.gicr(0, VLPI_BASE + 0x78, 3, (0x80000000 | 0) + (1 << 27));
    machine.int(2, 7);
    expect(machine.virtualIar(0)).toBe(NOTHING);
  });

  it("GICR_INVLPIR of a vPE looks at its configuration anew", () => {
    const machine = mapped("v4.1");
    machine.ram.setU8(VPROP + 8, 0xa2);
    machine.schedule(0, 3);
    machine.int(2, 7);
    machine.ram.setU8(VPROP + 8, 0xa3);
    machine.gicr(0, 0xa0, 8200, (0x80000000 | 0) + 4);
    expect(machine.virtualIar(0)).toBe(NOTHING); // another vPE's
    machine.gicr(0, 0xa0, 8200, (0x80000000 | 0) + 3);
    expect(machine.virtualIar(0)).toBe(8200);
  });

  it("none of it on 4.0: the commands are skipped", () => {
    const machine = mapped("v4.0");
    machine.schedule(0, 3);
    machine.command([0x00a00523, 5, 0, 3]);
    run(machine.its[0].write(0x20020, 8, 5, 3));
    expect(machine.virtualIar(0)).toBe(NOTHING);
    expect(lo(machine.creadr())).toBeGreaterThan(0);
  });
});
