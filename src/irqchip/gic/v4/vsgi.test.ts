import { describe, expect, it } from "vitest";
import { Icc } from "../../../arch/gic/icc.js";
import { run } from "../../../sim/step.js";
import { DirectMachine } from "../../../explore/stages/direct-machine.js";

const NASSGI_REQ = 1 << 8;
const ENABLE = 2;
const GICR_SGI = 0x10000;

/** The guest's distributor off, its SGIs asked for, and on again. */
function vsgis(isBooted = false): DirectMachine {
  const machine = new DirectMachine({ hw: "v4.1" });
  if (isBooted) machine.boot();
  machine.gicd(0, NASSGI_REQ);
  machine.gicd(0, NASSGI_REQ | ENABLE);
  machine.settle();
  machine.trace.clear();
  return machine;
}
const sgi1r = (machine: DirectMachine, to: number, sgi: number): boolean => run(machine.vgic.guestSysregWrite(0, Icc.SGI1R, (sgi << 24) | (1 << to), 0));
const pending = (machine: DirectMachine, cpu: number): number => machine.redist(cpu, GICR_SGI + 0x200);

describe("virtual SGIs (gic-v4.md C7)", () => {
  it("4.0 has none: GICD_TYPER2 reads 0, nASSGIreq stays 0", () => {
    const machine = new DirectMachine();
    machine.gicd(0, NASSGI_REQ);
    expect([machine.distributor(0x0c), machine.distributor(0) & NASSGI_REQ]).toEqual([0, 0]);
  });

  it("one of a group that the guest has off hides nothing of the other, whatever its priority (C1.4)", () => {
    const machine = vsgis(true);
    machine.direct(7);
    const [sgi, bit] = [5, 1 << 5];
    machine.gicr(1, GICR_SGI + 0x80, 4, ~bit);
    machine.gicr(1, GICR_SGI + 0x400 + sgi, 1, 0x20);
    machine.gicr(1, GICR_SGI + 0x100, 4, bit);
    machine.gicr(1, GICR_SGI + 0x200, 4, bit);
    machine.settle();
    expect([machine.vpeBit(1, sgi), machine.acknowledged()]).toEqual([1, []]);
    machine.send();
    expect([machine.acknowledged(), machine.vpeBit(1, sgi)]).toEqual([["1:8200"], 1]);
  });

  it("nASSGIreq changes while the distributor is off, and sticks while it is on", () => {
    const machine = vsgis();
    expect([machine.distributor(0x0c), machine.distributor(0) & NASSGI_REQ]).toEqual([NASSGI_REQ, NASSGI_REQ]);
    machine.gicd(0, ENABLE);
    expect(machine.distributor(0) & NASSGI_REQ).toBe(NASSGI_REQ);
    machine.gicd(0, 0);
    expect(machine.distributor(0) & NASSGI_REQ).toBe(0);
  });

  it("VG38: SGI1R writes GITS_SGIR, nothing is listed, and the guest that runs takes it without an exit", () => {
    const machine = vsgis(true);
    machine.zero();
    sgi1r(machine, 1, 5);
    machine.settle();
    expect(machine.lines("gic_hw_write").filter((line) => line.includes("SGIR"))).toEqual(["gic_hw_write(-1,GITS_SGIR,0x1_00000005)"]);
    expect(machine.acknowledged()).toEqual(["1:5"]);
    expect(machine.since).toEqual({ acks: 1 });
    expect(machine.listed(1)).toEqual([]);
  });

  it("VG39: no active state: ISACTIVER reads 0 and ignores writes", () => {
    const machine = vsgis();
    machine.gicr(1, GICR_SGI + 0x300, 4, 1 << 5);
    expect(machine.redist(1, GICR_SGI + 0x300)).toBe(0);
  });

  it("ISPENDR and ICPENDR are the hardware's; a latch goes there and comes back (hazard R47)", () => {
    const machine = new DirectMachine({ hw: "v4.1" });
    machine.gicr(1, GICR_SGI + 0x200, 4, 1 << 5);
    expect(pending(machine, 1)).toBe(1 << 5);
    machine.gicd(0, NASSGI_REQ);
    expect([pending(machine, 1), machine.vpeBit(1, 5)]).toEqual([1 << 5, 1]);
    machine.gicr(1, GICR_SGI + 0x280, 4, 1 << 5);
    expect([pending(machine, 1), machine.vpeBit(1, 5)]).toEqual([0, 0]);
    machine.gicr(1, GICR_SGI + 0x200, 4, 1 << 6);
    machine.gicd(0, 0);
    expect([pending(machine, 1), machine.vpeBit(1, 6)]).toEqual([1 << 6, 0]);
  });

  it("a new priority is a VSGI of its own, and so is a clear", () => {
    const machine = vsgis();
    machine.gicr(1, GICR_SGI + 0x400 + 5, 1, 0x40);
    expect(machine.physical()).toEqual(["VSGI 1"]);
    expect(machine.vpe(1).sgiConfig[5].priority).toBe(0x40);
    machine.gicr(1, GICR_SGI + 0x280, 4, 1 << 5);
    expect(machine.physical()).toEqual(["VSGI 1"]);
    expect(machine.vpe(1).sgiConfig[5].priority).toBe(0x40);
  });
});
