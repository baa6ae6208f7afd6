import { describe, expect, it } from "vitest";
import { Random } from "../../../sim/random.js";
import { run } from "../../../sim/step.js";
import { DEVICES, ItsMachine, ITT, lo, PEND, PROP, RAM } from "./its-machine.fixture.js";

const NOTHING = 1023;

describe("physical ITS: the queue", () => {
  it("stops at a command whose tables are no memory, and goes on with Retry", () => {
    const machine = new ItsMachine("v3", { deviceTable: 0x3000000 });
    const [its] = machine.its;
    expect(run(its.read(0x90, 8)) & 1).toBe(1);
    expect(machine.creadr() & ~1).toBe(0x40);
    machine.command([0x05]);
    expect(machine.creadr() & ~1).toBe(0x40);
    run(its.write(0x0, 4, 0, 0));
    run(its.write(0x100, 8, lo(DEVICES), 0x80000000 | 0));
    run(its.write(0x0, 4, 1, 0));
    expect(machine.creadr() & 1).toBe(1);
    run(its.write(0x88, 8, 0x80 | 1, 0));
    expect(machine.creadr()).toBe(0x80);
  });

  it("stalls where the queue itself is no memory", () => {
    const machine = new ItsMachine();
    const [its] = machine.its;
    run(its.write(0x0, 4, 0, 0));
    run(its.write(0x80, 8, 0x1000000, 0x80000000 | 0));
    run(its.write(0x88, 8, 0x20, 0));
    run(its.write(0x0, 4, 1, 0));
    expect(machine.creadr()).toBe(1);
  });

  it("of another implementation, passes over what it cannot read: a queue, and a command's table (gic.md D0.5 itsStall)", () => {
    for (const stalls of [true, false]) {
      const machine = new ItsMachine("v3", { its: { stalls } });
      const [its] = machine.its;
      machine.command([0x08, 3, 4, 0, 0x1000000, 0x80000000 | 0]); // an ITT outside of memory
      const before = machine.creadr();
      machine.mapti(3, 0, 8192, 0);
      expect(machine.creadr()).toBe(stalls ? before | 1 : before + 0x20);
      run(its.write(0x0, 4, 0, 0));
      run(its.write(0x80, 8, 0x1000000, 0x80000000 | 0));
      run(its.write(0x88, 8, 0x60, 0));
      run(its.write(0x0, 4, 1, 0));
      expect(machine.creadr()).toBe(stalls ? 1 : 0x60);
    }
  });

  it("reads a command at the Offset of CREADR, whatever software writes into the bits beside it", () => {
    const machine = new ItsMachine();
    const [its] = machine.its;
    run(its.write(0x88, 8, 0x60, 0));
    run(its.write(0x90, 8, 0x4e, 0));
    run(its.write(0x88, 8, 0x80, 0));
    expect(machine.creadr()).toBe(0x80);
  });

  it("skips a command with a wrong parameter and tells who listens", () => {
    const machine = new ItsMachine();
    const heard: number[][] = [];
    machine.its[0].listener = { command: (_its, words, outcome) => heard.push([words[0] & 0xff, outcome]) };
    machine.mapti(2, 99, 8200, 0);
    machine.mapti(2, 3, 8200, 0);
    expect(heard).toEqual([[0x0a, 1], [0x0a, 0]]);
    expect(machine.creadr()).toBe(0xa0);
  });
});

it("a physical ITS skips a MAPD of more event bits than GITS_TYPER says", () => {
  const machine = new ItsMachine("v4.0");
  const heard: number[][] = [];
  machine.its[0].listener = { command: (_its, words, outcome) => heard.push([words[0] & 0xff, outcome]) };
  for (const sizeField of [15, 16]) machine.command([0x08, 5, sizeField, 0, 0, 0x80000000 | 0]);
  expect(heard).toEqual([[0x08, 0], [0x08, 1]]);
});

describe("physical ITS: tables", () => {
  it("finds a device through a first-level table, and drops a MAPD whose second-level page is not there", () => {
    const machine = new ItsMachine("v3", { deviceTable: DEVICES });
    machine.configure(8200, 0xa1);
    machine.mapti(2, 4, 8200, 1);
    machine.int(2, 4);
    expect(machine.iar(1)).toBe(NOTHING);
    machine.ram.setWord(DEVICES, lo(DEVICES + 0x10000));
    machine.ram.setWord(DEVICES + 4, 0x80000000 | 0);
    machine.mapd(2);
    machine.mapti(2, 4, 8200, 1);
    machine.int(2, 4);
    expect(machine.iar(1)).toBe(8200);
  });

  it("keeps mappings in memory alone: another ITT brings another set of them", () => {
    const machine = new ItsMachine();
    machine.configure(8200, 0xa1);
    machine.mapti(2, 4, 8200, 0);
    machine.command([0x08, 2, 4, 0, lo(ITT + 0x8000), 0x80000000 | 0]);
    machine.int(2, 4);
    expect(machine.iar(0)).toBe(NOTHING);
    machine.mapd(2);
    machine.int(2, 4);
    expect(machine.iar(0)).toBe(8200);
    machine.ram.fill(ITT, 32 * 12, 0);
    machine.int(2, 4);
    expect(machine.iar(0)).toBe(NOTHING);
  });

  it("with GITS_TYPER.PTA an RDbase is a redistributor's address", () => {
    const machine = new ItsMachine("v3", { its: { typerLow: 0x1efb1 | (1 << 19) } });
    machine.configure(8200, 0xa1);
    machine.command([0x09, 0, 0, 0, 7 | ((((0x080a0000 + 0x20000) / 0x10000) & 0xffff) << 16), 0x80000000 | 0]);
    machine.mapti(2, 4, 8200, 7);
    machine.int(2, 4);
    expect([machine.iar(0), machine.iar(1)]).toEqual([NOTHING, 8200]);
  });
});

describe("physical LPIs", () => {
  it("a message of another device id, and one while the ITS is off, raise nothing", () => {
    const machine = new ItsMachine();
    machine.configure(8200, 0xa1);
    machine.mapti(2, 4, 8200, 0);
    run(machine.its[0].message(3, 4));
    run(machine.its[0].write(0, 4, 0, 0));
    run(machine.its[0].message(2, 4));
    expect(machine.iar(0)).toBe(NOTHING);
    run(machine.its[0].write(0, 4, 1, 0));
    run(machine.its[0].message(2, 4));
    expect(machine.iar(0)).toBe(8200);
  });

  it("an LPI has no active state: it is pending again at once, and signalled as soon as the priority dropped", () => {
    const machine = new ItsMachine();
    machine.configure(8200, 0xa1);
    machine.mapti(2, 4, 8200, 0);
    machine.int(2, 4);
    expect(machine.iar(0)).toBe(8200);
    machine.int(2, 4);
    expect(machine.iar(0)).toBe(NOTHING);
    run(machine.gic.endOfInterrupt(0, 8200));
    expect(machine.iar(0)).toBe(8200);
  });

  it("of equal priorities an SPI comes first, then the lowest LPI", () => {
    const machine = new ItsMachine();
    machine.ram.setU8(PROP + 8, 0xa1);
    machine.ram.setU8(PROP + 9, 0xa1);
    machine.mapti(2, 4, 8201, 0);
    machine.mapti(2, 5, 8200, 0);
    run(machine.gic.setEnabled(0, 40, true));
    machine.int(2, 4);
    machine.int(2, 5);
    run(machine.gic.setSpi(40, true));
    const order = [0, 0, 0].map(() => {
      const intid = machine.iar(0);
      run(machine.gic.endOfInterrupt(0, intid));
      if (intid === 40) run(machine.gic.setSpi(40, false));
      return intid;
    });
    expect(order).toEqual([40, 8200, 8201]);
  });

  it("the pending table is software's while EnableLPIs is 0, and is read when it is set", () => {
    const machine = new ItsMachine();
    machine.ram.setU8(PROP + 8, 0xa1);
    run(machine.gic.writeGicr(0, 0, 4, 0));
    machine.mapti(2, 4, 8200, 0);
    machine.int(2, 4);
    expect(machine.ram.u8(PEND + 8200 / 8)).toBe(0);
    machine.ram.setU8(PEND + 8200 / 8, 1);
    run(machine.gic.writeGicr(0, 0, 4, 1));
    expect(machine.iar(0)).toBe(8200);
    expect(machine.ram.u8(PEND + 8200 / 8)).toBe(0);
  });

  it("tables outside of memory: nothing is pending, nothing is read or written", () => {
    const machine = new ItsMachine();
    run(machine.gic.writeGicr(0, 0, 4, 0));
    machine.gicr(0, 0x78, 0x1000000, 0);
    machine.gicr(0, 0x70, 0x2000000 | 0xf, 0);
    run(machine.gic.writeGicr(0, 0, 4, 1));
    machine.mapti(2, 4, 8200, 0);
    machine.int(2, 4);
    expect(machine.iar(0)).toBe(NOTHING);
    expect(machine.ram.has(RAM - 1, 1)).toBe(false);
  });
});

describe("any software", () => {
  it("100,000 commands of chance, tables of chance: nothing outside of memory, no exception, CREADR goes on or says that it is stalled", () => {
    for (const hw of ["v3", "v4.0", "v4.1"] as const) {
      const machine = new ItsMachine(hw);
      const random = new Random(7);
      const opcodes = [1, 3, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15, 0x21, 0x22, 0x23, 0x25, 0x29, 0x2a, 0x2b, 0x2d, 0x2e, 0x7f];
      for (let i = 0; i < 100_000; i++) {
        const words = Array.from({ length: 8 }, () => (random.below(3) === 0 ? random.next32() | 0 : random.below(40)));
        words[0] = opcodes[random.below(opcodes.length)] | (random.below(20) === 0 ? (random.next32() & 0xffffff00) | 0 : 0);
        if (random.below(2) === 0) words[5] |= 0x80000000 | 0;
        if (random.below(3) === 0) words[4] = lo(DEVICES + random.below(0x900000));
        machine.command(words);
        if ((machine.creadr() & 1) !== 0) machine.skipStalled();
        if (random.below(50) === 0) machine.ram.setWord(DEVICES + 4 * random.below(64), random.next32() | 0);
        if (hw !== "v3" && random.below(20) === 0) machine.schedule(random.below(2), random.below(4));
        if (hw !== "v3" && random.below(20) === 0) machine.deschedule(random.below(2), random.below(4));
        if (random.below(10) === 0) run(machine.gic.endOfInterrupt(0, machine.iar(0)));
      }
      expect(machine.creadr() & 1).toBe(0);
    }
  });
});
