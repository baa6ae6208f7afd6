import { describe, expect, it } from "vitest";
import { run, type Step } from "../../../sim/step.js";
import { kvm_ioapic_state } from "../../../uapi/x86.js";
import { ApicMessage } from "../contract.js";
import { ChipHarness } from "../chips.fixture.js";
import { FakeX86Vcpu } from "../x86-vm.fixture.js";
import { RealApics } from "../real-apics.fixture.js";

const PIN = 14;

/** Vector 41's pin: level, with a resampling irqfd. */
function resampled(h: ChipHarness): ChipHarness {
  h.resample(PIN);
  h.entry(PIN, 0x8077);
  return h;
}
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
