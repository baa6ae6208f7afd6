import { describe, expect, it } from "vitest";
import { TraceBuffer } from "../../sim/event.js";
import { PersonError } from "../../sim/person-error.js";
import { run } from "../../sim/step.js";
import { EINVAL, ENXIO } from "../../uapi/errno.js";
import { kvm_pic_state } from "../../uapi/x86.js";
import type { X86Cpu } from "./cpu.js";
import { X86Irqchip, type X86IrqchipOptions } from "./irqchip.js";

const LAPIC = 0xfee00000;
const IOAPIC = 0xfec00000;
const EOI = LAPIC + 0xb0;
/** No line of the PIC. */
const PIN = 20;
const MS = 1_000_000;

const made = (mode: "full" | "split" = "full", options: X86IrqchipOptions = {}): X86Irqchip => run(X86Irqchip.create(mode, options));

/** A CPU whose local APIC is enabled, xAPIC, flat: logical id 1 << index. */
function addCpu(irqchip: X86Irqchip): X86Cpu {
  const cpu = run(irqchip.addCpu());
  run(cpu.store(LAPIC + 0xd0, 1 << (24 + cpu.id)));
  run(cpu.store(LAPIC + 0xf0, 0x1ff));
  return cpu;
}

function setEntry(cpu: X86Cpu, pin: number, low: number): void {
  run(cpu.store(IOAPIC, 0x10 + 2 * pin));
  run(cpu.store(IOAPIC + 0x10, low));
}

/** Vectors that the CPUs take, each with its EOI, until there are none. */
const served = (...cpus: X86Cpu[]): number[][] =>
  cpus.map((cpu) => {
    const taken: number[] = [];
    for (let vector = run(cpu.acknowledge()); vector >= 0; vector = run(cpu.acknowledge())) {
      taken.push(vector);
      run(cpu.store(EOI, 0));
    }
    return taken;
  });

describe("14.3: the controllers of a PC in one object", () => {
  it("what cannot be is refused by the answer of KVM, or by one sentence: another chip, another line, another mode, the 1,025th CPU", () => {
    const irqchip = made();
    addCpu(irqchip);
    for (const id of [3, 5, -1, 0.5]) expect([run(irqchip.getChip(id as 0)), run(irqchip.setChip(id as 0, new Uint8Array(kvm_pic_state.size)))]).toEqual([null, -EINVAL]);
    expect([run(irqchip.line(-1, 1)), run(irqchip.line(1.5, 1)), run(irqchip.line(5000, 1))]).toEqual([-1, -1, -1]);
    expect(() => made("none" as "full")).toThrow(PersonError);
    while (irqchip.cpus.length < 1024) run(irqchip.addCpu());
    expect(() => run(irqchip.addCpu())).toThrow("an X86Irqchip has at most 1024 CPUs");
  });

  it("a level pin: delivered, in service, ended, and sent again while it is high", () => {
    const irqchip = made();
    const cpu = addCpu(irqchip);
    setEntry(cpu, PIN, 0x8031);
    expect([run(irqchip.line(PIN, 1)), run(irqchip.line(PIN, 1))]).toEqual([1, -1]);
    expect([run(cpu.isPending()), run(cpu.acknowledge()), run(cpu.isPending())]).toEqual([true, 0x31, false]);
    run(cpu.store(EOI, 0));
    expect(run(cpu.acknowledge())).toBe(0x31);
    run(irqchip.line(PIN, 0));
    run(cpu.store(EOI, 0));
    expect(run(cpu.acknowledge())).toBe(-1);
  });

  it("the PIC's interrupt is taken first, by IN and OUT as by a guest (7.4)", () => {
    const irqchip = made();
    const cpu = addCpu(irqchip);
    for (const [port, value] of [[0x20, 0x11], [0x21, 0x08], [0x21, 0x04], [0x21, 0x01], [0x21, 0xef]]) expect(run(cpu.out(port, value))).toBe(true);
    setEntry(cpu, 5, 0x8041);
    expect([run(irqchip.line(4, 1)), run(irqchip.line(5, 1))]).toEqual([1, 1]);
    expect([run(cpu.acknowledge()), run(cpu.acknowledge()), run(cpu.in(0x21))]).toEqual([0x0c, 0x41, 0xef]);
    expect([run(cpu.in(0x60)), run(cpu.out(0x80, 1)), run(cpu.load(0xfed00000)), run(cpu.store(0xfed00000, 1))]).toEqual([null, false, null, false]);
  });

  it("messages, and a table of routes of the embedder's", () => {
    const irqchip = made();
    const cpu = addCpu(irqchip);
    expect([run(irqchip.signalMsi(0, LAPIC, 0x51)), run(irqchip.setRouting([{ gsi: 40, addressLo: LAPIC, data: 0x61 }, { gsi: 4, chip: 2, pin: 4 }]))]).toEqual([1, 0]);
    expect([run(irqchip.line(40, 1)), run(irqchip.line(PIN, 1)), served(cpu)]).toEqual([1, -1, [[0x61, 0x51]]]);
    expect(run(irqchip.setRouting([{ gsi: 4, chip: 0, pin: 8 }]))).toBe(-EINVAL);
    for (const [gsi, pin] of [[4096, 1], [-1, 1], [0.5, 1], [2 ** 32, 1], [4, -1], [4, 0.5]]) expect(run(irqchip.setRouting([{ gsi, chip: 0, pin }]))).toBe(-EINVAL);
    expect(run(irqchip.line(40, 1))).toBe(1);
  });

  it("split: the end of a level route is told, and an ExtINT is the embedder's", () => {
    const irqchip = made("split");
    const ended: number[] = [];
    const cpu = run(irqchip.addCpu({ ended: (vector) => ended.push(vector) }));
    run(cpu.store(LAPIC + 0xf0, 0x1ff));
    run(irqchip.setRouting([{ gsi: 10, addressLo: LAPIC, data: 0x8041 }, { gsi: 30, addressLo: LAPIC, data: 0x8042 }]));
    for (const gsi of [10, 30]) run(irqchip.line(gsi, 1));
    expect([served(cpu), run(cpu.isPending()), ended]).toEqual([[[0x42, 0x41]], false, [0x41]]);
    expect([run(cpu.interrupt(0x20)), run(cpu.interrupt(0x21)), run(cpu.acknowledge())]).toEqual([true, false, 0x20]);
    expect([irqchip.pic, irqchip.ioapic, run(irqchip.getChip(2)), run(irqchip.setChip(0, new Uint8Array(16)))]).toEqual([null, null, null, -ENXIO]);
  });

  it("a CPU that has run nothing yet is started by INIT and start-up", () => {
    const irqchip = made();
    const boot = addCpu(irqchip);
    const other = run(irqchip.addCpu());
    run(boot.store(LAPIC + 0x310, 1 << 24));
    for (const command of [0x4500, 0x4612]) run(boot.store(LAPIC + 0x300, command));
    expect([other.isRunning, run(other.isPending()), other.isRunning]).toEqual([false, false, true]);
  });

  it("CPUs are told of what comes: attention, NMI, INIT and start-up", () => {
    const irqchip = made();
    const told: string[] = [];
    const boot = addCpu(irqchip);
    const other = run(irqchip.addCpu({ attention: () => told.push("!"), reset: () => told.push("reset"), start: (at) => told.push(`start ${at.toString(16)}`) }));
    run(other.store(LAPIC + 0xf0, 0x1ff));
    told.length = 0;
    expect(other.isRunning).toBe(false);
    const ipi = (command: number): boolean => run(boot.store(LAPIC + 0x310, 1 << 24)) && run(boot.store(LAPIC + 0x300, command));
    ipi(0x400);
    expect([told, run(other.takeNmi()), run(other.takeNmi())]).toEqual([["!", "!"], true, false]);
    told.length = 0;
    ipi(0x4500);
    ipi(0x4612);
    expect(run(other.isPending())).toBe(false);
    expect([told.filter((what) => what !== "!"), other.isRunning]).toEqual([["reset", "start 12000"], true]);
  });

  it("time passes by advance alone: a timer expires at its nanosecond, the pause of a storm ends after 10 ms", () => {
    const irqchip = made();
    const cpu = addCpu(irqchip);
    run(cpu.store(LAPIC + 0x320, 0x33));
    run(cpu.store(LAPIC + 0x3e0, 0xb));
    run(cpu.store(LAPIC + 0x380, 5000));
    run(irqchip.advance(4999));
    expect([run(cpu.load(LAPIC + 0x390)), run(cpu.acknowledge()), irqchip.nowNs]).toEqual([1, -1, 4999]);
    run(irqchip.advance(1));
    expect(run(cpu.acknowledge())).toBe(0x33);
    run(cpu.store(EOI, 0));
    setEntry(cpu, PIN, 0x8031);
    run(irqchip.line(PIN, 1));
    expect(served(cpu)[0].length).toBe(10_000);
    run(irqchip.advance(10 * MS - 1));
    expect(run(cpu.acknowledge())).toBe(-1);
    run(irqchip.advance(1));
    expect(run(cpu.acknowledge())).toBe(0x31);
  });

  it("records go out and in; another length is refused", () => {
    const irqchip = made();
    const cpu = addCpu(irqchip);
    setEntry(cpu, PIN, 0x8031);
    const other = made();
    const there = addCpu(other);
    const ioapic = run(irqchip.getChip(2));
    const pic = run(irqchip.getChip(0));
    if (ioapic === null || pic === null) throw new Error("no chips");
    expect([ioapic.length, pic.length, kvm_pic_state.elcr_mask.get(new DataView(pic.buffer))]).toEqual([216, 16, 0xf8]);
    expect([run(other.setChip(2, ioapic)), run(other.setChip(0, pic)), run(other.setChip(2, pic))]).toEqual([0, 0, -EINVAL]);
    expect([run(other.line(PIN, 1)), run(there.acknowledge())]).toEqual([1, 0x31]);
  });
});

describe("14.3: inspect", () => {
  it("shows what the chips hold, as plain data", () => {
    const irqchip = made();
    const cpu = addCpu(irqchip);
    setEntry(cpu, PIN, 0x8031);
    run(irqchip.line(PIN, 1, 1));
    const seen = run(irqchip.inspect());
    expect(JSON.parse(JSON.stringify(seen))).toEqual(seen);
    expect(seen).toMatchObject({ mode: "full", pic: { output: false }, cpus: [{ id: 0, requested: [0x31], level: [0x31], inService: [], registers: { SPIV: 0x1ff, LVR: 0x50014 } }] });
    expect([seen.ioapic?.entries[PIN], seen.ioapic?.irr, seen.ioapic?.sources[PIN], seen.routes.length]).toEqual(["0x000000000000c031", 1 << PIN, 2, 40]);
  });

  it("changes nothing: what follows is the same with and without a look before each step", () => {
    const story = (looks: boolean): string => {
      const trace = new TraceBuffer();
      const irqchip = made("full", { trace });
      const cpu = addCpu(irqchip);
      const steps: (() => unknown)[] = [
        () => setEntry(cpu, PIN, 0x8031),
        () => run(irqchip.line(PIN, 1)),
        () => run(irqchip.signalMsi(0, LAPIC, 0x51)),
        () => run(cpu.store(LAPIC + 0x80, 0x40)),
        () => run(cpu.acknowledge()),
        () => run(cpu.store(LAPIC + 0x320, 0x20033)),
        () => run(cpu.store(LAPIC + 0x380, 300_000)),
        () => run(irqchip.advance(MS)),
        () => run(cpu.store(EOI, 0)),
        () => run(irqchip.line(PIN, 0)),
        () => run(cpu.store(LAPIC + 0x80, 0)),
        () => served(cpu),
        () => run(cpu.out(0x20, 0x0c)),
        () => run(cpu.in(0x20)),
      ];
      const results = steps.map((step) => {
        if (looks) run(irqchip.inspect());
        return step();
      });
      return JSON.stringify([results, trace.lines(), run(irqchip.inspect())]);
    };
    expect(story(true)).toBe(story(false));
  });
});

describe("14.3: options", () => {
  const two = (options: X86IrqchipOptions): [X86Irqchip, X86Cpu, X86Cpu] => {
    const irqchip = made("full", options);
    return [irqchip, addCpu(irqchip), addCpu(irqchip)];
  };

  it("vectorHashing: which of two CPUs a lowest-priority message reaches", () => {
    const taken = (vectorHashing: boolean): number[][] => {
      const [irqchip, ...cpus] = two({ vectorHashing });
      for (const vector of [0x40, 0x42, 0x44]) run(irqchip.signalMsi(0, LAPIC | 0x3004 | 0x8, 0x100 | vector));
      return served(...cpus);
    };
    expect([taken(true), taken(false)]).toEqual([[[0x44, 0x42, 0x40], []], [[0x44, 0x40], [0x42]]]);
  });

  it("optimizedMap: nobody is 0 by the map, -1 by the scan", () => {
    expect([true, false].map((optimizedMap) => run(two({ optimizedMap })[0].signalMsi(0, LAPIC | 0x5000, 0x41)))).toEqual([0, -1]);
  });

  it("cmci, tscDeadline, x2apic, userVersion, ioapicVersion: registers that are there or not", () => {
    const first = (options: X86IrqchipOptions): X86Cpu => addCpu(made("full", options));
    const timer = (cpu: X86Cpu): unknown => [run(cpu.store(LAPIC + 0x320, -1)), (run(cpu.load(LAPIC + 0x320)) ?? 0) >>> 0];
    const version = (cpu: X86Cpu): unknown => [run(cpu.store(IOAPIC, 1)), run(cpu.load(IOAPIC + 0x10))];
    expect([false, true].map((cmci) => run(first({ cmci }).load(LAPIC + 0x30)))).toEqual([0x50014, 0x60014]);
    expect([false, true].map((tscDeadline) => timer(first({ tscDeadline })))).toEqual([[true, 0x310ff], [true, 0x710ff]]);
    expect([false, true].map((x2apic) => run(first({ x2apic }).lapic.base.write(0xfee00d00 | 0, 0, false)))).toEqual([false, true]);
    expect(([0x11, 0x20] as const).map((ioapicVersion) => version(first({ ioapicVersion })))).toEqual([[true, 0x170011], [true, 0x170020]]);
    const poll = (cpu: X86Cpu): unknown => [[0x20, 0x11], [0x21, 8], [0x21, 4], [0x21, 1], [0x20, 0x0c]].map(([port, value]) => run(cpu.out(port, value)));
    expect((["linux-6.4", "linux-6.5"] as const).map((userVersion) => {
      const irqchip = made("full", { userVersion });
      const cpu = addCpu(irqchip);
      poll(cpu);
      run(irqchip.line(4, 1));
      run(cpu.out(0x20, 0x0c));
      return run(cpu.in(0x20));
    })).toEqual([0x04, 0x84]);
  });

  it("quirks.lint0 and quirks.disabledApicWindow", () => {
    const lint0 = (on: boolean): unknown => run(run(made("full", { quirks: { lint0: on } }).addCpu()).load(LAPIC + 0x350));
    expect([lint0(true), lint0(false)]).toEqual([0x700, 0x10000]);
    const disabled = (on: boolean): unknown => {
      const cpu = addCpu(made("full", { quirks: { disabledApicWindow: on } }));
      run(cpu.lapic.base.write(0xfee00100 | 0, 0, false));
      return run(cpu.load(LAPIC + 0x20));
    };
    expect([disabled(true), disabled(false)]).toEqual([-1, null]);
  });

  it("quirks.tprLowNibble: what a store leaves is read back without its low nibble", () => {
    const tpr = (on: boolean): unknown => {
      const cpu = addCpu(made("full", { quirks: { tprLowNibble: on } }));
      run(cpu.store(LAPIC + 0x80, 0x5b));
      return run(cpu.load(LAPIC + 0x80));
    };
    expect([tpr(false), tpr(true)]).toEqual([0x5b, 0x50]);
  });

  it("quirks.x2apicBroadcast and use32BitIds: where 0xff is a broadcast, and where it is a CPU", () => {
    const reached = (options: X86IrqchipOptions): number => {
      const [irqchip, ...cpus] = two(options);
      for (const { lapic } of cpus) run(lapic.base.write(0xfee00c00 | 0, 0, true));
      return run(irqchip.signalMsi(0, LAPIC | 0xff000, 0x41));
    };
    expect([reached({}), reached({ quirks: { x2apicBroadcast: false } })]).toEqual([2, 0]);
    expect([true, false].map((use32BitIds) => run(two({ use32BitIds })[0].signalMsi(1, LAPIC, 0x41)))).toEqual([-EINVAL, 1]);
  });

  it("what an old kernel does not have cannot be asked for", () => {
    expect(() => made("split", { userVersion: "linux-4.3" })).toThrow("split mode cannot be had with userVersion linux-4.3");
    expect(() => made("full", { userVersion: "linux-4.7", use32BitIds: true })).toThrow("userVersion linux-4.7");
  });
});
