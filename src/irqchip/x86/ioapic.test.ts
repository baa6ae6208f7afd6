import { describe, expect, it } from "vitest";
import { run, type Step } from "../../sim/step.js";
import { kvm_ioapic_state } from "../../uapi/x86.js";
import { ApicMessage } from "./contract.js";
import { ChipHarness, type ChipHarnessOptions, FakeX86Vcpu, type FakeX86Vm } from "./chips.fixture.js";
import { RealApics } from "./real-apics.fixture.js";
import { IOAPIC_SUCCESSIVE_IRQ_MAX_COUNT, STORM_DELAY_NS } from "./ioapic-storm.js";

const PIN = 14;

/** Vector 41's pin: level, with a resampling irqfd. */
function resampled(h: ChipHarness): ChipHarness {
  h.resample(PIN);
  h.entry(PIN, 0x8077);
  return h;
}

describe("x86-irqchip.md 19, the IOAPIC's registers", () => {
  it("vector 20: the version register is read-only", () => {
    const h = new ChipHarness();
    expect(h.read(1)).toBe(0x00170011);
    h.write(1, ~0x00170011);
    expect(h.read(1)).toBe(0x00170011);
  });

  it("vector 21: the id has four bits and shows in the arbitration register", () => {
    const h = new ChipHarness();
    h.write(0, 0xffffffff);
    expect([h.read(0), h.read(2)]).toEqual([0x0f000000, 0x0f000000]);
    h.write(2, 0);
    expect(h.read(2)).toBe(0x0f000000);
  });

  it("vector 22: an index without a register reads as ones", () => {
    const h = new ChipHarness();
    expect([h.read(0x03), h.read(0x40), h.read(0x3f)]).toEqual([0xffffffff, 0xffffffff, 0]);
  });

  it("vector 23: delivery status and remote IRR are not writable, reserved bits stick", () => {
    const h = new ChipHarness();
    h.write(0x10 + 2 * PIN, 0xffffffff);
    expect(h.rte(PIN)).toBe(0xffffafff);
    h.write(0x11 + 2 * PIN, 0xa5b6c7d8);
    expect(h.read(0x11 + 2 * PIN)).toBe(0xa5b6c7d8);
  });

  it("narrow accesses take and give the low bytes; outside of the two registers there is nothing (5.1)", () => {
    const h = new ChipHarness();
    expect([h.read(1, 1), h.read(1, 2), h.read(1, 8)]).toEqual([0x11, 0x0011, 0x00170011]);
    const vcpu = h.vm.vcpus[0];
    run(h.ioapic.mmioWrite(vcpu, 0x00, 4, 0x12301, 0));
    expect(run(h.ioapic.mmioRead(vcpu, 0x00, 4))).toBe(0x01);
    for (const offset of [0x04, 0x11, 0x20, 0x40, 0xfc]) {
      run(h.ioapic.mmioWrite(vcpu, offset, 4, 0x55, 0));
      expect(run(h.ioapic.mmioRead(vcpu, offset, 4))).toBe(0);
    }
    expect(run(h.ioapic.mmioRead(vcpu, 0x00, 4))).toBe(0x01);
    h.read(0x10);
    run(h.ioapic.mmioWrite(vcpu, 0x10, 1, 0xabcd, 0));
    expect(h.rte(0)).toBe(0xcd);
  });

  it("the window is registered at its fixed base; a record with another one makes the device deaf (5.1)", () => {
    const h = new ChipHarness();
    expect(run(h.ioapic.register())).toBe(0);
    expect(run(h.ioapic.register())).toBe(-17);
    expect(h.vm.mmio.ranges.map(({ base, size }) => [base, size])).toEqual([[0xfec00000, 0x100]]);
    const vcpu = h.vm.vcpus[0];
    expect(run(h.ioapic.claims(vcpu, 0x10))).toBe(true);
    const view = h.ioapicState();
    kvm_ioapic_state.base_address.setNumber(view, 0xfec00020);
    h.setIoapicState(view);
    expect([run(h.ioapic.claims(vcpu, 0x10)), run(h.ioapic.claims(vcpu, 0x20))]).toEqual([false, true]);
    expect(kvm_ioapic_state.base_address.getNumber(h.ioapicState())).toBe(0xfec00020);
    run(h.ioapic.unregister());
    expect(h.vm.mmio.ranges).toEqual([]);
  });

  it("version 0x20 has an EOI register and a boot configuration register; 0x11 has neither (5.1)", () => {
    for (const version of [0x11, 0x20] as const) {
      const h = new ChipHarness({ version });
      expect([h.read(1), h.read(3)]).toEqual(version === 0x20 ? [0x00170020, 1] : [0x00170011, 0xffffffff]);
      h.entry(PIN, 0x8077);
      h.pin(PIN, 1);
      h.pin(PIN, 0);
      run(h.ioapic.mmioWrite(h.vm.vcpus[0], 0x40, 4, 0x77, 0));
      expect(h.rte(PIN)).toBe(version === 0x20 ? 0x8077 : 0xc077);
      expect(h.vm.acks.acked).toEqual(version === 0x20 ? ["2:14"] : []);
    }
  });
});

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

describe("the IOAPIC beyond its vectors", () => {
  it("a level entry in NMI mode sets remote IRR, and no EOI ever clears it (12.6)", () => {
    const h = new ChipHarness();
    h.entry(PIN, 0x8400);
    expect([h.pin(PIN, 1), h.vm.vcpus[0].nmis, h.rte(PIN)]).toEqual([1, 1, 0xc400]);
    h.pin(PIN, 0);
    h.serve();
    expect([h.pin(PIN, 1), h.vm.vcpus[0].nmis]).toEqual([-1, 1]);
  });

  it("an ExtINT entry is accepted by nobody (5.2)", () => {
    const h = new ChipHarness();
    h.entry(PIN, 0x8700);
    expect([h.pin(PIN, 1), h.rte(PIN)]).toEqual([0, 0x8700]);
  });

  it("without any vCPU nobody matches (5.5)", () => {
    const h = new ChipHarness({ cpus: 0, makeApics: (vm) => new RealApics(vm) });
    run(h.ioapic.mmioWrite(new FakeX86Vcpu(h.vm.sim, 0, 0), 0x00, 4, 0x10 + 2 * PIN, 0));
    run(h.ioapic.mmioWrite(new FakeX86Vcpu(h.vm.sim, 0, 0), 0x10, 4, 0x8077, 0));
    expect([h.pin(PIN, 1), h.ioapic.entryLow[PIN]]).toEqual([-1, 0xc077]);
  });

  it("a write tells the listeners of a changed mask bit, and of nothing else (5.3)", () => {
    const h = new ChipHarness();
    h.entry(PIN, 0x10076);
    expect(h.vm.masks).toEqual([]);
    h.entry(PIN, 0x76);
    h.entry(PIN, 0x8076, 3);
    h.entry(PIN, 0x18076);
    expect(h.vm.masks).toEqual(["2:14:0", "2:14:1"]);
  });

  it("a write has those vCPUs look that the entry points to or pointed to; all, where its mode is not fixed (5.3)", () => {
    const asked = (h: ChipHarness): number[] => h.vm.vcpus.filter((vcpu) => vcpu.scanRequested).map((vcpu) => vcpu.index);
    const h = new ChipHarness({ cpus: 4 });
    h.entry(PIN, 0x8077, 1);
    for (const vcpu of h.vm.vcpus) vcpu.scanRequested = false;
    h.write(0x11 + 2 * PIN, 2 << 24);
    expect(asked(h)).toEqual([1, 2]);
    for (const vcpu of h.vm.vcpus) vcpu.scanRequested = false;
    h.write(0x10 + 2 * PIN, 0x8077);
    expect(asked(h)).toEqual([2]);
    h.write(0x10 + 2 * PIN, 0x8177);
    expect(asked(h)).toEqual([0, 1, 2, 3]);
  });

  it("the old destination is looked up in the new mode: a vCPU that only the old mode reached keeps its vector (Linux 6.18)", () => {
    const h = new ChipHarness({ cpus: 1 });
    h.vm.listened.add(PIN);
    h.entry(PIN, 0x8041);
    run(h.apics.enter(0));
    h.write(0x10 + 2 * PIN, 0x8841);
    expect(h.vm.vcpus[0].scanRequested).toBe(false);
    const msi = new ApicMessage();
    msi.vector = 0x41;
    run(h.apics.deliver(msi, null));
    h.serve();
    expect(h.vm.acks.acked).toEqual(["2:14"]);
  });

  it("handled are the vectors of level pins, of pins somebody listens to, and of the RTC's pin (8.3)", () => {
    const h = new ChipHarness();
    h.vm.listened.add(5);
    h.entry(4, 0x44);
    h.entry(5, 0x55);
    h.entry(6, 0x8066);
    h.entry(7, 0x8077, 1);
    h.entry(8, 0x88);
    run(h.apics.enter(0));
    expect([...h.apics.all[0].handled].sort((a, b) => a - b)).toEqual([0x55, 0x66, 0x88]);
  });

  it("a tick's vector is handled where it was received, wherever the entry points now (8.3)", () => {
    const h = new ChipHarness();
    h.entry(8, 0x70);
    h.pin(8, 1, 0, true);
    h.entry(8, 0x71, 1);
    run(h.apics.enter(0));
    expect([...h.apics.all[0].handled]).toEqual([0x70]);
    h.serve();
    h.pin(8, 0, 0, true);
    expect(h.pin(8, 1, 0, true)).toBe(1);
  });

  it("a tick to several CPUs waits for all of them (5.7)", () => {
    const h = new ChipHarness();
    h.entry(8, 0x0870, 3);
    expect(h.pin(8, 1, 0, true)).toBe(2);
    h.pin(8, 0, 0, true);
    h.serve(0);
    expect(h.pin(8, 1, 0, true)).toBe(0);
    h.serve(1);
    expect(h.pin(8, 1, 0, true)).toBe(2);
  });

  it("with APIC virtualisation one vCPU that has ended the tick unseen is forgotten at each attempt (5.7)", () => {
    const h = new ChipHarness();
    h.ioapic.isApicvActivated = true;
    h.entry(8, 0x70);
    h.pin(8, 1, 0, true);
    h.pin(8, 0, 0, true);
    expect(h.pin(8, 1, 0, true)).toBe(0);
    h.apics.all[0].irr.clear();
    h.pin(8, 0, 0, true);
    expect(h.pin(8, 1, 0, true)).toBe(1);
  });

  it("the RTC set is counted anew from what the local APICs hold (5.7)", () => {
    const h = new ChipHarness();
    h.entry(8, 0x70);
    h.apics.all[0].isr.add(0x70);
    run(h.ioapic.recountRtc(0));
    expect(h.pin(8, 1, 0, true)).toBe(0);
    h.apics.all[0].isr.clear();
    run(h.ioapic.recountRtc(0));
    expect(h.pin(8, 1, 0, true)).toBe(1);
    const view = h.ioapicState();
    h.setIoapicState(view);
    expect(h.ioapic.rtc.pendingEoi).toBe(1);
  });

  it("a record drives each pin it says requested, with remote IRR as given, and drops what was there (5.8)", () => {
    const h = new ChipHarness();
    h.entry(PIN, 0x8077);
    h.entry(5, 0x55);
    h.pin(PIN, 1);
    const view = h.ioapicState();
    expect(kvm_ioapic_state.irr.get(view)).toBe(1 << PIN);
    expect(kvm_ioapic_state.redirtbl[PIN].lo(view)).toBe(0xc077);
    const other = new ChipHarness();
    other.entry(5, 0x55);
    other.pin(5, 1);
    other.apics.all[0].irr.clear();
    kvm_ioapic_state.irr.set(view, (1 << PIN) | (1 << 5));
    other.setIoapicState(view);
    // The level pin waits for its EOI; the edge pin is sent.
    expect([other.irrOf(), other.rte(PIN), other.ioapic.irr]).toEqual([[0x55], 0xc077, (1 << PIN) | (1 << 5)]);
    other.apics.all[0].isr.add(0x77);
    other.apics.all[0].tmr.add(0x77);
    other.apics.all[0].irr.clear();
    other.eoi();
    expect(other.irrOf()).toEqual([0x77]);
  });

  it("rules of 2026: a write that leaves an entry level forgets that its edge was sent", () => {
    for (const [compat, saved] of [["newest", 0], ["linux-2026", 1 << PIN]] as const) {
      const h = new ChipHarness({ compat });
      h.entry(PIN, 0x76);
      h.pin(PIN, 1);
      h.entry(PIN, 0x18076);
      expect(kvm_ioapic_state.irr.get(h.ioapicState())).toBe(saved);
    }
  });

  it("before 6.4 an unmask delivered without asking the resampler", () => {
    const h = resampled(new ChipHarness({ compat: "linux-6.1" }));
    h.entry(PIN, 0x18077);
    h.pin(PIN, 1, 1);
    h.entry(PIN, 0x8077);
    expect([h.vm.resampled.get(PIN), h.irrOf()]).toEqual([0, [0x77]]);
  });

  it("each dropped interrupt names its cause, each service its reason (14.4)", () => {
    const h = new ChipHarness({ traced: true });
    h.entry(PIN, 0x18077);
    h.pin(PIN, 1);
    h.entry(PIN, 0x8077);
    h.pin(PIN, 1);
    h.serve();
    expect(h.trace?.lines("ioapic_dropped", "ioapic_service", "ioapic_remote_irr")).toEqual([
      "ioapic_dropped(14,masked)",
      "ioapic_remote_irr(14,1)",
      "ioapic_service(14,unmask,1)",
      "ioapic_dropped(14,remote IRR)",
      "ioapic_remote_irr(14,0)",
      "ioapic_remote_irr(14,1)",
      "ioapic_service(14,eoi,1)",
    ]);
    expect(h.trace?.lines("kvm_ioapic_set_irq")).toEqual(["kvm_ioapic_set_irq(0x0000000000018077,14,0)", "kvm_ioapic_set_irq(0x000000000000c077,14,0)"]);
  });

  it("a pin is raised from its own acknowledge without being sent twice (X1)", () => {
    const h = new ChipHarness();
    h.entry(PIN, 0x8077);
    h.vm.acks.onAck = function* (): Step<void> {
      yield* h.ioapic.setIrq(PIN, 0, 0);
      yield* h.ioapic.setIrq(PIN, 0, 1);
    };
    h.pin(PIN, 1);
    h.serve();
    expect([h.irrOf(), h.rte(PIN)]).toEqual([[0x77], 0xc077]);
  });
});
