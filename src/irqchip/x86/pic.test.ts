import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { run, type Step } from "../../sim/step.js";
import { kvm_pic_state } from "../../uapi/x86.js";
import { ChipHarness, type ChipHarnessOptions } from "./chips.fixture.js";
import type { Hazards } from "../../sim/hazards.js";
import { CASCADE, Pic } from "./pic-chip.js";

const start = (options: ChipHarnessOptions = {}): ChipHarness => new ChipHarness(options).initialisePics();

describe("x86-irqchip.md 19, the PIC pair", () => {
  it("vector 1: an edge is latched, acknowledged, ended, and its end told", () => {
    const h = start();
    expect(h.line(4, 1)).toBe(1);
    expect([h.master, h.output]).toEqual(["10,00,00", true]);
    expect(h.ack()).toBe(0x0c);
    expect(h.master).toBe("00,00,10");
    h.out(0x20, 0x20);
    expect(h.master).toBe("00,00,00");
    expect(h.vm.acks.acked).toEqual(["0:4"]);
  });

  it("vector 2: an edge line held high makes no second edge", () => {
    const h = start();
    expect([h.line(4, 1), h.line(4, 1), h.master]).toEqual([1, 1, "10,00,00"]);
    h.ack();
    h.out(0x20, 0x20);
    expect([h.line(4, 1), h.master, h.output]).toEqual([1, "00,00,00", false]);
    expect([h.line(4, 0), h.line(4, 1), h.master]).toEqual([1, 1, "10,00,00"]);
  });

  it("vector 3: a level line asks for as long as it is high", () => {
    const h = start();
    h.out(0x4d0, 0x20);
    expect([h.line(5, 1), h.line(5, 1)]).toEqual([1, 0]);
    expect(h.ack()).toBe(0x0d);
    expect([h.master, h.output]).toEqual(["20,00,20", false]);
    h.out(0x20, 0x20);
    expect(h.output).toBe(true);
    expect([h.line(5, 0), h.master, h.output]).toEqual([1, "00,00,00", false]);
  });

  it("vector 4: a masked line is latched, with -1, and asks once it is unmasked", () => {
    const h = start();
    h.out(0x21, 0x10);
    expect([h.line(4, 1), h.master, h.output]).toEqual([-1, "10,10,00", false]);
    h.out(0x21, 0x00);
    expect(h.output).toBe(true);
    expect(h.vm.masks.slice(-2)).toEqual(["0:4:1", "0:4:0"]);
  });

  it("vector 5: a slave line passes both chips and needs both EOIs", () => {
    const h = start();
    h.line(12, 1);
    expect([h.master, h.slave]).toEqual(["04,00,00", "10,00,00"]);
    expect(h.ack()).toBe(0x74);
    expect([h.master, h.slave]).toEqual(["00,00,04", "00,00,10"]);
    h.out(0xa0, 0x20);
    h.out(0x20, 0x20);
    expect(h.vm.acks.acked).toEqual(["1:12", "0:2"]);
    expect([h.master, h.slave, h.output]).toEqual(["00,00,00", "00,00,00", false]);
  });

  it("vector 6, X16: a slave request that is gone at the acknowledge gives the slave's spurious vector, and the master an in-service bit", () => {
    const h = start();
    h.out(0x4d1, 0x10);
    h.line(12, 1);
    h.line(12, 0);
    expect([h.master, h.output]).toEqual(["04,00,00", true]);
    expect(h.ack()).toBe(0x77);
    expect([h.master, h.slave]).toEqual(["00,00,04", "00,00,00"]);
  });

  it("vector 7, X17: a master request that is gone gives the master's spurious vector and no in-service bit", () => {
    const h = start();
    h.out(0x4d0, 0x20);
    h.line(5, 1);
    h.line(5, 0);
    expect(h.ack()).toBe(0x0f);
    expect(h.master).toBe("00,00,00");
  });

  it("vector 8: a poll serves the line at once; bit 7 says that there was one, from 6.5 on", () => {
    for (const [compat, read] of [["newest", 0x84], ["linux-6.1", 0x04]] as const) {
      const h = start({ compat });
      h.line(4, 1);
      h.out(0x20, 0x0c);
      expect(h.in(0x20)).toBe(read);
      expect([h.master, h.vm.acks.acked]).toEqual(["00,00,00", ["0:4"]]);
      h.out(0x20, 0x0c);
      expect(h.in(0x20)).toBe(0x07);
    }
  });

  it("vector 9: automatic EOI ends at the acknowledge", () => {
    const h = start();
    h.out(0x20, 0x11);
    h.out(0x21, 0x08, 0x04, 0x03, 0x00);
    h.line(4, 1);
    expect([h.ack(), h.master, h.vm.acks.acked]).toEqual([0x0c, "00,00,00", ["0:4"]]);
  });

  it("vector 10: only a line of better rank interrupts the one in service", () => {
    const h = start();
    h.line(3, 1);
    h.ack();
    h.line(4, 1);
    expect(h.output).toBe(false);
    h.line(1, 1);
    expect(h.output).toBe(true);
  });

  it("vector 11: rotation on the EOI makes the line last", () => {
    const h = start();
    h.line(4, 1);
    h.ack();
    h.out(0x20, 0xa0);
    h.line(3, 1);
    h.line(5, 1);
    expect(h.pic.master.regs[Pic.PRIORITY_ADD]).toBe(5);
    expect(h.ack()).toBe(0x0d);
  });

  it("vector 12: special mask mode is stored without effect", () => {
    const h = start();
    h.line(1, 1);
    h.ack();
    h.out(0x21, 0x02);
    h.out(0x20, 0x68);
    h.line(4, 1);
    expect([h.pic.master.regs[Pic.SPECIAL_MASK], h.output]).toEqual([1, false]);
  });

  it("vector 13: ICW1 drops edge requests and ends them, and leaves lines in service", () => {
    const h = start();
    h.line(4, 1);
    h.ack();
    h.line(5, 1);
    h.out(0x20, 0x11);
    expect([h.master, h.pic.master.regs[Pic.INIT_STATE], h.vm.acks.acked]).toEqual(["00,00,10", 1, ["0:5"]]);
  });

  it("vector 14: the wire is the OR of its sources", () => {
    const h = start();
    h.out(0x4d0, 0x20);
    h.line(5, 1, 0);
    h.line(5, 1, 1);
    expect([h.line(5, 0, 0), h.master]).toEqual([0, "20,00,00"]);
    expect([h.line(5, 0, 1), h.master]).toEqual([1, "00,00,00"]);
  });

  it("vector 15: a specific EOI ends its line, a non-specific one the best in service", () => {
    const h = start();
    h.line(3, 1);
    h.ack();
    h.line(1, 1);
    h.ack();
    expect(h.master).toBe("00,00,0a");
    h.out(0x20, 0x63);
    expect([h.master, h.vm.acks.acked]).toEqual(["00,00,02", ["0:3"]]);
    h.out(0x20, 0x20);
    expect([h.master, h.vm.acks.acked]).toEqual(["00,00,00", ["0:3", "0:1"]]);
  });

  it("vector 16: a poll of the slave clears the master's cascade line too", () => {
    for (const [compat, read] of [["newest", 0x84], ["linux-6.1", 0x04]] as const) {
      const h = start({ compat });
      h.line(12, 1);
      h.out(0xa0, 0x0c);
      expect(h.in(0xa0)).toBe(read);
      expect([h.master, h.slave, h.output, h.vm.acks.acked]).toEqual(["00,00,00", "00,00,00", false, ["1:12"]]);
    }
  });

  it("vector 17: ICW2 keeps bits 7:3", () => {
    const h = start();
    h.out(0x20, 0x11);
    h.out(0x21, 0x0f);
    expect(h.pic.master.regs[Pic.IRQ_BASE]).toBe(0x08);
  });

  it("vector 18: an edge during service is latched once and asked for after the EOI", () => {
    const h = start();
    h.line(4, 1);
    h.line(4, 0);
    h.ack();
    expect([h.line(4, 1), h.master]).toEqual([1, "10,00,10"]);
    expect([h.line(4, 0), h.line(4, 1)]).toEqual([1, 0]);
    h.out(0x20, 0x20);
    expect(h.output).toBe(true);
  });

  it("vector 19: lines that must be edge stay so in ELCR", () => {
    const h = start();
    h.out(0x4d0, 0xff);
    h.out(0x4d1, 0xff);
    expect([h.in(0x4d0), h.in(0x4d1)]).toEqual([0xf8, 0xde]);
  });
});

describe("the PIC pair beyond its vectors", () => {
  it("only byte accesses do anything (4.1)", () => {
    const h = start();
    run(h.pic.ports.pioWrite(h.vm.vcpus[0], 0x20, 2, 0x1111));
    expect(h.pic.master.regs[Pic.INIT_STATE]).toBe(0);
    h.out(0x21, 0xff);
    expect(run(h.pic.ports.pioRead(h.vm.vcpus[0], 0x21, 2))).toBe(0);
  });

  it("a refused port leaves none of the others registered", () => {
    const h = new ChipHarness();
    h.vm.pio.refusedBase = 0x4d0;
    expect(run(h.pic.register())).toBe(-17);
    expect(h.vm.pio.ranges).toEqual([]);
    h.vm.pio.refusedBase = -1;
    expect(run(h.pic.register())).toBe(0);
    expect(h.vm.pio.ranges.map((range) => range.base)).toEqual([0x20, 0xa0, 0x4d0]);
    run(h.pic.unregister());
    expect(h.vm.pio.ranges).toEqual([]);
  });

  it("a rise of the output asks the first vCPU that takes PIC interrupts; before 6.15 any update from 0 does", () => {
    for (const [compat, idle] of [["newest", 0], ["linux-6.1", 1]] as const) {
      const h = start({ compat });
      h.apics.all[0].acceptsPic = false;
      h.apics.all[1].acceptsPic = true;
      const before = h.vm.vcpus[1].events;
      const others = h.vm.vcpus[0].events;
      h.line(4, 0);
      expect(h.vm.vcpus[1].events - before).toBe(idle);
      h.line(4, 1);
      expect(h.vm.vcpus[1].events - before).toBe(idle + 1);
      h.line(3, 1);
      expect(h.vm.vcpus[1].events - before).toBe(idle + 1);
      expect(h.vm.vcpus[0].events).toBe(others);
    }
  });

  it("ICW1 tells nobody of dropped requests where no vCPU takes PIC interrupts (4.6)", () => {
    const h = start();
    h.line(5, 1);
    h.apics.all[0].acceptsPic = false;
    h.out(0x20, 0x11);
    expect([h.master, h.vm.acks.acked]).toEqual(["00,00,00", []]);
  });

  it("an edge line still high when the chip is initialised anew counts as a new edge at its next high call (12.3)", () => {
    const h = start();
    h.line(4, 1);
    h.ack();
    h.out(0x20, 0x20);
    h.out(0x20, 0x11);
    h.out(0x21, 0x08, 0x04, 0x01, 0x00);
    expect([h.line(4, 1), h.master, h.output]).toEqual([1, "10,00,00", true]);
  });

  it("special fully nested mode lets a better slave line through while line 2 is in service", () => {
    const h = start();
    h.out(0x20, 0x11);
    h.out(0x21, 0x08, 0x04, 0x11, 0x00);
    h.line(12, 1);
    expect(h.ack()).toBe(0x74);
    h.line(9, 1);
    expect(h.output).toBe(true);
    expect(h.ack()).toBe(0x71);
  });

  it("the record is the sixteen bytes, ELCR_MASK included, and setting it decides on the output anew (4.9)", () => {
    const h = start();
    h.line(4, 1);
    const view = h.picState(0);
    expect([kvm_pic_state.irr.get(view), kvm_pic_state.irq_base.get(view), kvm_pic_state.elcr_mask.get(view)]).toEqual([0x10, 0x08, 0xf8]);
    const other = start();
    kvm_pic_state.elcr_mask.set(view, 0xff);
    other.setPicState(0, view);
    expect([other.master, other.output]).toEqual(["10,00,00", true]);
    other.out(0x4d0, 0xff);
    expect(other.in(0x4d0)).toBe(0xff);
    expect(other.ack()).toBe(0x0c);
  });

  it("any record may be set: the chip stays within its lines (4.9)", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), fc.uint8Array({ minLength: 16, maxLength: 16 }), (master, slave) => {
        const h = new ChipHarness();
        h.setPicState(0, new DataView(master.buffer));
        h.setPicState(1, new DataView(slave.buffer));
        const vector = h.ack();
        expect(vector >= 0 && vector <= 0xff).toBe(true);
        expect(h.output).toBe(h.pic.master.wanted() >= 0);
        for (const port of [0x20, 0x21, 0xa0, 0xa1]) expect(h.in(port) <= 0xff).toBe(true);
      }),
    );
  });
});

/** A device whose level line 5 is raised again by whoever is told of its end. */
function raisedByItsListener(hazards: Partial<Hazards>): ChipHarness {
  const h = start({ hazards });
  h.out(0x4d0, 0x20);
  h.line(5, 1);
  expect(h.ack()).toBe(0x0d);
  h.line(5, 0);
  h.vm.acks.onAck = function* (): Step<void> {
    yield* h.pic.setIrq(5, 0, 1);
  };
  h.out(0x20, 0x20);
  return h;
}

describe("hazards of the PIC pair", () => {
  it("X18: a line that the acknowledge listener raises again is asked for", () => {
    expect(raisedByItsListener({}).output).toBe(true);
  });

  it("X18 with its rule off: the request is there and nobody is told", () => {
    const h = raisedByItsListener({ picOutputBeforeAck: true });
    expect([h.master, h.output]).toEqual(["20,00,00", false]);
  });
});

/** Everything but initialisation words, which decide on nothing (4.6, 4.7). */
const operation = fc.oneof(
  fc.record({ op: fc.constant("pulse" as const), pin: fc.nat(15) }),
  fc.record({ op: fc.constant("line" as const), pin: fc.integer({ min: 0, max: 15 }), level: fc.integer({ min: 0, max: 1 }), source: fc.integer({ min: 0, max: 2 }) }),
  fc.record({ op: fc.constant("ack" as const) }),
  fc.record({ op: fc.constant("ocw2" as const), port: fc.constantFrom(0x20, 0xa0), value: fc.tuple(fc.nat(7), fc.nat(7)).map(([command, line]) => (command << 5) | line) }),
  fc.record({ op: fc.constant("imr" as const), port: fc.constantFrom(0x21, 0xa1), value: fc.nat(0xff) }),
  fc.record({ op: fc.constant("elcr" as const), port: fc.constantFrom(0x4d0, 0x4d1), value: fc.nat(0xff) }),
  fc.record({ op: fc.constant("poll" as const), port: fc.constantFrom(0x20, 0xa0) }),
);
type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never;

function perform(h: ChipHarness, step: Operation): void {
  switch (step.op) {
    case "line":
      h.line(step.pin, step.level, step.source);
      return;
    case "pulse":
      h.line(step.pin, 1);
      h.line(step.pin, 0);
      return;
    case "ack":
      h.ack();
      return;
    case "poll":
      h.out(step.port, 0x0c);
      h.in(step.port);
      return;
    default:
      h.out(step.port, step.value);
  }
}

describe("invariants of the PIC pair", () => {
  it("M8: the output is 1 exactly while the master wants a line", () => {
    let raised = 0;
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 60, size: "max" }), fc.boolean(), (steps, hasAutoEoi) => {
        const h = start();
        if (hasAutoEoi) {
          h.out(0x20, 0x11);
          h.out(0x21, 0x08, 0x04, 0x03, 0x00);
        }
        for (const step of steps) {
          // A poll that serves the master's cascade line decides on nothing (4.8).
          if (step.op === "poll" && step.port === 0x20 && h.pic.master.wanted() === CASCADE) continue;
          perform(h, step);
          expect(h.output).toBe(h.pic.master.wanted() >= 0);
          if (h.output) raised++;
        }
      }),
      { numRuns: 300 },
    );
    expect(raised).toBeGreaterThan(100);
  });

  it("a line in service is told of once when it ends, and no other", () => {
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 60, size: "max" }), (steps) => {
        const h = start();
        for (const step of steps) {
          const before = h.vm.acks.acked.length;
          const inService = [h.pic.master.regs[Pic.ISR], h.pic.slave.regs[Pic.ISR]];
          perform(h, step);
          const told = h.vm.acks.acked.slice(before);
          if (step.op !== "ocw2" || step.value >> 5 === 3 || step.value >> 5 === 7) continue;
          const ended = [h.pic.master.regs[Pic.ISR], h.pic.slave.regs[Pic.ISR]].map((isr, i) => inService[i] & ~isr);
          expect(told).toEqual(ended.flatMap((bits, chip) => [...Array(8).keys()].filter((n) => (bits & (1 << n)) !== 0).map((n) => `${chip}:${chip * 8 + n}`)));
        }
      }),
    );
  });
});
