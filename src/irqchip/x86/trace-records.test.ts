import { describe, expect, it } from "vitest";
import { TraceBuffer } from "../../sim/event.js";
import { run } from "../../sim/step.js";
import { ChipHarness } from "./chips.fixture.js";
import { DeliveryMode } from "./contract.js";
import { LapicHarness } from "./lapic/lapic.fixture.js";
import { ApicReg } from "./lapic/registers.js";
import { FakePort, post } from "./posted.fixture.js";
import { RealApics } from "./real-apics.fixture.js";

const PIN = 14;
const RTC = 8;

/** Chips with virq's own local APICs, traced. */
const chips = (): ChipHarness => new ChipHarness({ traced: true, makeApics: (vm) => new RealApics(vm) });
const lines = (h: { trace: TraceBuffer | null }, ...names: Parameters<TraceBuffer["lines"]>): string[] => h.trace?.lines(...names) ?? [];

/** What a local APIC's harness notes after the set-up. */
function noted(h: LapicHarness, what: () => unknown): string[] {
  h.trace.clear();
  what();
  return h.trace.lines("apic_dropped", "kvm_apic_accept_irq");
}

describe("14.4: every coalesced or dropped interrupt names its cause", () => {
  it("IOAPIC: masked, remote IRR, edge already latched, RTC outstanding", () => {
    const h = chips();
    h.entry(PIN, 0x18077);
    h.pin(PIN, 1);
    h.entry(PIN, 0x8077);
    h.pin(PIN, 1);
    h.entry(5, 0x76);
    h.pin(5, 1);
    h.pin(5, 1);
    h.entry(RTC, 0x70);
    for (const level of [1, 0, 1]) h.pin(RTC, level, 0, true);
    expect(lines(h, "ioapic_dropped")).toEqual(["ioapic_dropped(14,masked)", "ioapic_dropped(14,remote IRR)", "ioapic_dropped(5,edge already latched)", "ioapic_dropped(8,RTC outstanding)"]);
  });

  it("IOAPIC: the storm delay, as KVM's own tracepoint", () => {
    const h = chips();
    h.entry(PIN, 0x8077);
    h.pin(PIN, 1);
    for (let i = 0; i < 10_000; i++) h.serve();
    expect(lines(h, "kvm_ioapic_delayed_eoi_inj")).toEqual(["kvm_ioapic_delayed_eoi_inj(0x0000000000008077,14)"]);
  });

  it("PIC: masked, edge already latched, line already high, level already requested", () => {
    const h = chips().initialisePics();
    h.out(0x4d0, 0x20);
    h.out(0x21, 0x08);
    h.line(3, 1);
    for (const level of [1, 0, 1, 1]) h.line(4, level);
    h.line(5, 1);
    h.line(5, 1);
    h.line(12, 1);
    expect(lines(h, "pic_dropped")).toEqual(["pic_dropped(0,3,masked)", "pic_dropped(0,4,edge already latched)", "pic_dropped(0,4,line already high)", "pic_dropped(0,5,level already requested)"]);
  });

  it("messages: no target, hash slot empty, target disabled, IRR already set, PIR already set", () => {
    const h = new LapicHarness({ cpus: 2 }).flat();
    expect(noted(h, () => h.deliver({ destination: 9, vector: 0x41 }))).toEqual(["apic_dropped(9,65,no target)"]);
    expect(noted(h, () => h.deliver({ destination: 0x0f, isLogical: true, mode: DeliveryMode.LOWEST_PRIORITY, vector: 0x42 }))).toEqual(["apic_dropped(15,66,hash slot empty)"]);
    h.write(1, ApicReg.SPIV, 0xff);
    expect(noted(h, () => h.deliver({ destination: 1, vector: 0x41 }))).toEqual(["kvm_apic_accept_irq(1,0,0,65,target disabled)"]);
    expect(noted(h, () => [0, 1].map(() => h.deliver({ vector: 0x41 })))).toEqual(["kvm_apic_accept_irq(0,0,0,65,requested)", "kvm_apic_accept_irq(0,0,0,65,IRR already set)"]);
    post(h, new FakePort());
    expect(noted(h, () => [0, 1].map(() => h.deliver({ vector: 0x51 })))).toEqual(["kvm_apic_accept_irq(0,0,0,81,posted)", "kvm_apic_accept_irq(0,0,0,81,PIR already set)"]);
  });

  it("events: what nobody accepts, and start-ups that come to nothing", () => {
    const h = new LapicHarness({ cpus: 2 }).enable();
    const to1 = { destination: 1 };
    expect(noted(h, () => h.deliver({ ...to1, mode: DeliveryMode.EXTINT, vector: 0x20 }))).toEqual(["kvm_apic_accept_irq(1,7,0,32,ExtINT is nobody's)"]);
    expect(noted(h, () => h.deliver({ ...to1, mode: DeliveryMode.INIT, isLevel: true, isAsserted: false }))).toEqual(["kvm_apic_accept_irq(1,5,1,0,INIT de-assert)"]);
    const sipi = { ...to1, mode: DeliveryMode.STARTUP, vector: 0x12 };
    const init = { ...to1, mode: DeliveryMode.INIT };
    expect(noted(h, () => [h.deliver(sipi), run(h.at(1).init.process(h.vcpu(1)))]).slice(1)).toEqual(["apic_dropped(1,0,the vCPU does not wait for a start-up)"]);
    expect(noted(h, () => [h.deliver(sipi), h.deliver(init)]).slice(2)).toEqual(["apic_dropped(1,0,INIT follows the start-up)"]);
    h.vcpu(1).isInSmm = true;
    expect(noted(h, () => [h.deliver(sipi), run(h.at(1).init.process(h.vcpu(1)))]).slice(1)).toEqual(["apic_dropped(1,0,INIT is held back)"]);
  });

  it("a local interrupt behind a masked entry", () => {
    const h = new LapicHarness().enable();
    h.write(0, ApicReg.LVTERR, 0x1_0033);
    expect(noted(h, () => run(h.at(0).deliverLocal(ApicReg.LVTERR)))).toEqual(["apic_dropped(0,51,LVT masked)"]);
  });
});

describe("14.4: one record for each hop", () => {
  it("a level pin: line, service, message, acceptance, remote IRR, take, EOI, listener", () => {
    const h = chips();
    h.vm.listened.add(PIN);
    h.entry(PIN, 0x8077);
    h.trace?.clear();
    h.pin(PIN, 1);
    h.take();
    h.pin(PIN, 0);
    h.eoi();
    expect(lines(h, "irq_line_state", "ioapic_service", "ioapic_remote_irr", "kvm_apic_accept_irq", "handled_vectors", "apic_take", "kvm_eoi")).toEqual([
      "kvm_apic_accept_irq(0,0,1,119,requested)",
      "ioapic_remote_irr(14,1)",
      "ioapic_service(14,line,1)",
      "irq_line_state(2,14,0,0,1,1)",
      "handled_vectors(0,0 77,)",
      "apic_take(0,119)",
      "irq_line_state(2,14,0,1,0,1)",
      "kvm_eoi(0,119,ioapic)",
      "ioapic_remote_irr(14,0)",
    ]);
    expect(h.vm.acks.acked).toEqual(["2:14"]);
  });

  it("remote IRR is told when it changes alone: by a delivery, an EOI, and an entry that turns to edge", () => {
    const h = chips();
    h.entry(PIN, 0x8077);
    h.pin(PIN, 1);
    h.entry(PIN, 0x10077);
    h.entry(PIN, 0x10078);
    expect(lines(h, "ioapic_remote_irr")).toEqual(["ioapic_remote_irr(14,1)", "ioapic_remote_irr(14,0)"]);
  });

  it("a message of a device: its address and data", () => {
    const h = new LapicHarness().enable();
    h.trace.clear();
    h.signalMsi(0xfee00000, 0x4041);
    expect(h.trace.lines()).toEqual(["kvm_msi_set_irq(4276092928,16449)", "kvm_apic_accept_irq(0,0,0,65,requested)"]);
  });
});
