import { describe, expect, it } from "vitest";
import { run } from "../../../sim/step.js";
import { kvm_ioapic_state } from "../../../uapi/x86.js";
import { ApicMessage } from "../contract.js";
import { ChipHarness, type ChipHarnessOptions } from "../chips.fixture.js";
import { type FakeX86Vm } from "../x86-vm.fixture.js";
import { RealApics } from "../real-apics.fixture.js";
import { IOAPIC_SUCCESSIVE_IRQ_MAX_COUNT, STORM_DELAY_NS } from "./storm.js";

const PIN = 14;

/** Vector 41's pin: level, with a resampling irqfd. */
function resampled(h: ChipHarness): ChipHarness {
  h.resample(PIN);
  h.entry(PIN, 0x8077);
  return h;
}
describe.each([
  ["fake local APICs", undefined],
  ["virq's own local APICs", (vm: FakeX86Vm) => new RealApics(vm)],
] as const)("x86-irqchip.md 19, the IOAPIC's pins, with %s", (_name, makeApics) => {
  const machine = (options: ChipHarnessOptions = {}): ChipHarness => new ChipHarness(makeApics === undefined ? options : { ...options, makeApics });

  it("vector 24: an edge is sent once until its line has fallen", () => {
    const h = machine();
    h.entry(PIN, 0x76);
    expect(h.pin(PIN, 1)).toBe(1);
    expect([h.irrOf(), h.rte(PIN), h.isRequested(PIN)]).toEqual([[0x76], 0x76, true]);
    expect([h.pin(PIN, 1), h.pin(PIN, 0), h.pin(PIN, 1), h.irrOf()]).toEqual([0, 1, 1, [0x76]]);
  });

  it("vector 25, X6: an edge on a masked pin stays latched and is lost", () => {
    const h = machine();
    h.entry(PIN, 0x10076);
    expect(h.pin(PIN, 1)).toBe(-1);
    h.entry(PIN, 0x76);
    expect([h.irrOf(), h.isRequested(PIN)]).toEqual([[], true]);
    expect([h.pin(PIN, 1), h.pin(PIN, 0), h.pin(PIN, 1), h.irrOf()]).toEqual([0, 1, 1, [0x76]]);
  });

  it("vector 26: a level delivery sets remote IRR and the TMR bit, and is not repeated", () => {
    const h = machine();
    h.entry(PIN, 0x8077);
    expect([h.pin(PIN, 1), h.rte(PIN), h.local.tmr(0)]).toEqual([1, 0xc077, [0x77]]);
    expect(h.pin(PIN, 1)).toBe(-1);
  });

  it("vector 27: a line still high at the EOI is sent again; the TMR bit outlives the EOI", () => {
    const h = machine();
    h.entry(PIN, 0x8077);
    h.pin(PIN, 1);
    expect([h.serve(), h.irrOf(), h.rte(PIN)]).toEqual([0x77, [0x77], 0xc077]);
    h.take();
    h.pin(PIN, 0);
    h.eoi();
    expect([h.rte(PIN), h.irrOf(), h.local.tmr(0)]).toEqual([0x8077, [], [0x77]]);
  });

  it("vector 28: a level line that rose while masked is sent at the unmask", () => {
    const h = machine();
    h.entry(PIN, 0x18082);
    expect(h.pin(PIN, 1)).toBe(-1);
    h.entry(PIN, 0x8082);
    expect([h.irrOf(), h.rte(PIN)]).toEqual([[0x82], 0xc082]);
  });

  it("vector 29: masked at its EOI, a level line is sent again at the unmask", () => {
    const h = machine();
    h.entry(PIN, 0x8083);
    h.pin(PIN, 1);
    h.take();
    h.entry(PIN, 0x18083);
    h.eoi();
    expect([h.rte(PIN), h.irrOf()]).toEqual([0x18083, []]);
    h.entry(PIN, 0x8083);
    expect([h.serve(), h.local.taken(0)]).toEqual([0x83, [0x83, 0x83]]);
  });

  it("vector 30: an entry turned to edge loses remote IRR: an EOI by force", () => {
    const h = machine();
    h.entry(PIN, 0x8077);
    h.pin(PIN, 1);
    expect(h.rte(PIN)).toBe(0xc077);
    h.entry(PIN, 0x10077);
    expect(h.rte(PIN)).toBe(0x10077);
    h.entry(PIN, 0x18077);
    expect(h.rte(PIN)).toBe(0x18077);
    h.take();
    h.entry(PIN, 0x8077);
    expect([h.rte(PIN), h.irrOf()]).toEqual([0xc077, [0x77]]);
  });

  it("vector 31: nobody there is 0 by the map; -1, with remote IRR until 2026, by the slow scan", () => {
    for (const [hasMap, compat, result, low] of [
      [true, "newest", 0, 0x8077],
      [false, "newest", -1, 0xc077],
      [false, "linux-2026", -1, 0x8077],
    ] as const) {
      const h = makeApics === undefined ? new ChipHarness({ compat }) : new ChipHarness({ compat, makeApics: (vm) => new RealApics(vm, { hasOptimizedMap: hasMap }) });
      if (makeApics === undefined) h.apics.hasMap = hasMap;
      h.entry(PIN, 0x8077, 5);
      expect([h.pin(PIN, 1), h.rte(PIN)]).toEqual([result, low]);
    }
  });

  it("vector 32: a second source holds the line", () => {
    const h = machine();
    h.entry(PIN, 0x8077);
    expect([h.pin(PIN, 1, 0), h.pin(PIN, 1, 1)]).toEqual([1, -1]);
    h.take();
    h.pin(PIN, 0, 0);
    h.eoi();
    expect(h.irrOf()).toEqual([0x77]);
  });

  it("vector 33, X10: the 10,000th EOI in a row that finds the line high is followed by a pause of 10 ms", () => {
    const h = machine();
    h.entry(PIN, 0x8077);
    h.pin(PIN, 1);
    for (let i = 1; i < IOAPIC_SUCCESSIVE_IRQ_MAX_COUNT; i++) {
      h.serve();
      if (h.irrOf()[0] !== 0x77) throw new Error(`nothing after EOI ${i}`);
    }
    h.serve();
    expect([h.irrOf(), h.rte(PIN)]).toEqual([[], 0x8077]);
    run(h.vm.sim.runUntil(STORM_DELAY_NS - 1));
    expect(h.irrOf()).toEqual([]);
    run(h.vm.sim.runUntil(STORM_DELAY_NS + 1));
    expect([h.irrOf(), h.rte(PIN), h.local.taken(0).length]).toEqual([[0x77], 0xc077, IOAPIC_SUCCESSIVE_IRQ_MAX_COUNT]);
  });

  it("vector 34: a logical destination reaches each of its CPUs", () => {
    const h = machine({ cpus: 4 });
    h.entry(PIN, 0x8886, 0x0d);
    expect(h.pin(PIN, 1)).toBe(3);
    expect([0, 1, 2, 3].map((cpu) => h.irrOf(cpu))).toEqual([[0x86], [], [0x86], [0x86]]);
    expect([h.read(0x11 + 2 * PIN), h.rte(PIN)]).toEqual([0x0d000000, 0xc886]);
  });

  it("vector 35, X28: one EOI acknowledges every pin with its vector", () => {
    const h = machine();
    for (const pin of [14, 15]) {
      h.entry(pin, 0x8077);
      h.pin(pin, 1);
    }
    h.take();
    h.pin(14, 0);
    h.eoi();
    expect([h.rte(14), h.rte(15), h.irrOf(), h.vm.acks.acked]).toEqual([0x8077, 0xc077, [0x77], ["2:14", "2:15"]]);
  });

  it("vector 36, X2: a vector rewritten before its EOI leaves the pin dead until an edge flip", () => {
    const h = machine();
    h.entry(PIN, 0x8077);
    h.pin(PIN, 1);
    h.entry(PIN, 0x8078);
    h.serve();
    expect(h.rte(PIN)).toBe(0xc078);
    h.entry(PIN, 0x10078);
    h.entry(PIN, 0x8078);
    expect([h.rte(PIN), h.irrOf()]).toEqual([0xc078, [0x78]]);
  });

  it("vector 37: an edge pin still requested that turns level is sent at once", () => {
    const h = machine();
    h.entry(PIN, 0x76);
    h.pin(PIN, 1);
    h.serve();
    h.entry(PIN, 0x8076);
    expect([h.rte(PIN), h.irrOf()]).toEqual([0xc076, [0x76]]);
  });

  it("vector 38, X9: a target that accepts nothing leaves the request, and its enabling does not retry", () => {
    const h = machine();
    h.local.enable(0, false);
    h.entry(PIN, 0x8077);
    expect([h.pin(PIN, 1), h.rte(PIN), h.isRequested(PIN)]).toEqual([0, 0x8077, true]);
    h.local.enable(0, true);
    expect(h.serve()).toBe(-1);
    expect(h.pin(PIN, 1)).toBe(1);
  });

  it("vector 39: NMI mode ignores the vector", () => {
    const h = machine();
    h.entry(PIN, 0x0400);
    expect([h.pin(PIN, 1), h.vm.vcpus[0].nmis, h.irrOf()]).toEqual([1, 1, []]);
  });

  it("vector 40, X5: an edge message with a level pin's vector makes the EOI one of an edge", () => {
    const h = machine();
    h.entry(PIN, 0x8077);
    h.pin(PIN, 1);
    const msi = new ApicMessage();
    msi.vector = 0x77;
    expect(run(h.local.local.deliver(msi, null))).toBe(1);
    h.take();
    h.pin(PIN, 0);
    h.eoi();
    expect([h.local.tmr(0), h.rte(PIN), h.vm.acks.acked]).toEqual([[], 0xc077, ["2:14"]]);
  });

  it("vector 41: a resampled pin is lowered at the EOI, and its owner told", () => {
    const h = resampled(machine());
    expect([h.pin(PIN, 1, 1), h.take()]).toEqual([1, 0x77]);
    h.eoi();
    expect([h.rte(PIN), h.irrOf(), h.isRequested(PIN), h.vm.resampled.get(PIN)]).toEqual([0x8077, [], false, 1]);
  });

  it("vector 42, X7: an unmask with a request behind a resampler tells the owner and delivers nothing; the source bit stays (X8)", () => {
    const h = resampled(machine());
    h.pin(PIN, 1, 1);
    h.take();
    h.entry(PIN, 0x18077);
    h.eoi();
    h.pin(PIN, 1, 1);
    h.entry(PIN, 0x8077);
    expect([h.vm.resampled.get(PIN), h.isRequested(PIN), h.irrOf(), h.rte(PIN)]).toEqual([2, false, [], 0x8077]);
    expect(h.ioapic.sources.word(PIN)).toBe(2);
    // X8: somebody else's fall of the line raises it.
    expect(h.pin(PIN, 0, 0)).toBe(1);
    expect(h.irrOf()).toEqual([0x77]);
  });

  it("vector 43: a line that falls, rises and falls in its handler interrupts once", () => {
    const h = machine();
    h.entry(PIN, 0x8077);
    h.pin(PIN, 1);
    h.take();
    for (const level of [0, 1, 0]) h.pin(PIN, level);
    h.eoi();
    expect([h.serve(), h.local.taken(0)]).toEqual([-1, [0x77]]);
  });

  it("vector 44: two rises, each served, are two interrupts", () => {
    const h = machine();
    h.entry(PIN, 0x8077);
    for (let i = 0; i < 2; i++) {
      h.pin(PIN, 1);
      h.take();
      h.pin(PIN, 0);
      h.eoi();
    }
    expect([h.serve(), h.local.taken(0)]).toEqual([-1, [0x77, 0x77]]);
  });

  it("vector 45: a tick asked for with status is coalesced while the one before is not ended", () => {
    const h = machine();
    const tick = (level: number): number => h.pin(8, level, 0, true);
    h.entry(8, 0x70);
    expect([tick(1), tick(0), tick(1)]).toEqual([1, 1, 0]);
    expect(h.isRequested(8)).toBe(false);
    h.serve();
    expect([tick(0), tick(1)]).toEqual([1, 1]);
    expect([h.pin(8, 0), h.pin(8, 1)]).toEqual([1, 1]);
  });

  it("vector 46, X20: an edge that was delivered is no request in the record", () => {
    const h = machine();
    h.entry(PIN, 0x76);
    h.pin(PIN, 1);
    const view = h.ioapicState();
    expect(kvm_ioapic_state.irr.get(view)).toBe(0);
    const other = machine();
    other.setIoapicState(view);
    expect([other.irrOf(), other.rte(PIN)]).toEqual([[], 0x76]);
  });

  it("vector 47, X3: a pin retargeted while its interrupt is pending still gets its EOI", () => {
    const h = machine();
    h.entry(13, 0x8064);
    h.entry(14, 0x8084);
    h.pin(13, 1);
    expect(h.take()).toBe(0x64);
    h.pin(14, 1);
    h.write(0x11 + 2 * 13, 1 << 24);
    h.write(0x11 + 2 * 14, 1 << 24);
    h.pin(13, 0);
    h.pin(14, 0);
    h.eoi();
    expect(h.serve()).toBe(0x84);
    expect([h.rte(13), h.rte(14), h.local.taken(0)]).toEqual([0x8064, 0x8084, [0x64, 0x84]]);
  });
});
