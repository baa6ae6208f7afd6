import { describe, expect, it } from "vitest";
import { LapicMachine, PIN, VECTOR } from "./core.fixture.js";

const MASKED = 0x18031;
const UNMASKED = 0x8031;

/** XL with resampling irqfds on GSI 11, by pairs of names. */
function resampled(...pairs: readonly (readonly [e: string, r: string])[]): LapicMachine {
  const m = new LapicMachine();
  m.eventfds(...new Set(pairs.flat()));
  for (const [e, r] of pairs) m.irqfd(e, PIN, r);
  m.trace.clear();
  return m;
}

describe("kvm-irq-core.md 11.3, resampling irqfds on an IOAPIC pin", () => {
  it("vector 34: raised once, lowered and told at the EOI, not sent again", () => {
    const m = resampled(["e1", "r1"]);
    m.signal("e1");
    expect([m.take(), m.remoteIrr()]).toEqual([VECTOR, 1]);
    m.eoi();
    expect(m.lines("kvm_set_irq", "kvm_ack_irq")).toEqual(["kvm_set_irq(11,1,1)", "kvm_ack_irq(2,11)", "kvm_set_irq(11,0,1)"]);
    expect([m.count("r1"), m.remoteIrr(), m.isRequested(), m.pending()]).toEqual([1, 0, false, []]);
  });

  it("vector 35: one deassert for two irqfds, the younger told first", () => {
    const m = resampled(["e1", "r1"], ["e2", "r2"]);
    m.signal("e1");
    m.take();
    m.trace.clear();
    m.eoi();
    expect(m.lines("kvm_set_irq")).toEqual(["kvm_set_irq(11,0,1)"]);
    const [first, second, ...more] = m.trace.events.filter((event) => event.name === "eventfd_signal").map((event) => Number(event.args[0]));
    expect([m.count("r1"), m.count("r2"), more]).toEqual([1, 1, []]);
    // r2 was made after r1, and ids ascend.
    expect(first).toBeGreaterThan(second);
  });

  it("vector 36: another source keeps the line up: sent again by the same EOI", () => {
    const m = resampled(["e1", "r1"]);
    m.line(PIN, 1);
    m.signal("e1");
    m.take();
    m.trace.clear();
    m.eoi();
    expect(m.lines("kvm_set_irq")).toEqual(["kvm_set_irq(11,0,1)"]);
    expect([m.isRequested(), m.remoteIrr(), m.pending(), m.count("r1")]).toEqual([true, 1, [VECTOR], 1]);
  });

  it("vector 37: the last to leave lowers the line, and is freed after a wait", () => {
    const m = resampled(["e1", "r1"]);
    m.signal("e1");
    expect(m.isRequested()).toBe(true);
    m.trace.clear();
    expect(m.deassign("e1", PIN)).toBe(0);
    expect(m.lines("srcu_wait", "kvm_set_irq", "resampler_free").slice(-3)).toEqual(["srcu_wait(irq_srcu)", "kvm_set_irq(11,0,1)", "resampler_free(11)"]);
    expect([m.isRequested(), m.count("r1")]).toEqual([false, 0]);
  });

  it("vector 38: one that leaves others behind leaves the line up", () => {
    const m = resampled(["e1", "r1"], ["e2", "r2"]);
    m.signal("e1");
    m.deassign("e1", PIN);
    expect(m.isRequested()).toBe(true);
    m.take();
    m.eoi();
    expect([m.count("r1"), m.count("r2")]).toEqual([0, 1]);
  });

  it("vector 39: whoever raised the line, its EOI tells the owner", () => {
    const m = resampled(["e1", "r1"]);
    m.line(PIN, 1);
    m.line(PIN, 0);
    expect(m.take()).toBe(VECTOR);
    m.eoi();
    expect(m.count("r1")).toBe(1);
  });

  it("vector 40: an unmask with a request behind it tells the owner, and delivers nothing", () => {
    const m = resampled(["e1", "r1"]);
    m.writeEntry(PIN, MASKED);
    m.signal("e1");
    expect([m.isRequested(), m.pending()]).toEqual([true, []]);
    m.trace.clear();
    m.writeEntry(PIN, UNMASKED);
    expect([m.count("r1"), m.isRequested(), m.pending(), m.lines("kvm_set_irq")]).toEqual([1, false, [], []]);
  });

  it("vector 41: without a resampler the unmask delivers", () => {
    const m = new LapicMachine();
    m.writeEntry(PIN, MASKED);
    m.line(PIN, 1);
    expect(m.pending()).toEqual([]);
    m.writeEntry(PIN, UNMASKED);
    expect(m.pending()).toEqual([VECTOR]);
  });

  it("vector 42: a shared resamplefd counts each of its irqfds", () => {
    const m = resampled(["e1", "r1"], ["e2", "r1"]);
    m.signal("e1");
    m.take();
    m.eoi();
    expect(m.count("r1")).toBe(2);
  });

  it("vector 43: the irqfd works on when its resamplefd is closed", () => {
    const m = resampled(["e1", "r1"]);
    m.do({ op: "closeFd", args: { fd: "r1" } });
    for (let i = 0; i < 2; i++) {
      m.signal("e1");
      expect(m.take()).toBe(VECTOR);
      m.eoi();
      expect([m.leave(), m.isRequested()]).toEqual([-1, false]);
    }
  });

  it("vector 46: a route that moves leaves the old pin raised for ever, and its owner untold", () => {
    const m = resampled(["e1", "r1"]);
    m.signal("e1");
    m.take();
    m.do({ op: "setGsiRouting", args: { entries: [{ gsi: PIN, type: "irqchip", irqchip: "ioapic", pin: 12 }] } });
    m.trace.clear();
    for (let i = 0; i < 3; i++) {
      m.eoi();
      expect([m.pending(), m.isRequested(), m.remoteIrr()]).toEqual([[VECTOR], true, 1]);
      expect(m.leave()).toBe(VECTOR);
    }
    expect([m.lines("kvm_ack_irq")[0], m.lines("kvm_set_irq"), m.count("r1")]).toEqual(["kvm_ack_irq(2,11)", [], 0]);
  });

  it("vector 47: an EOI acknowledges every pin with its vector, the lowest first", () => {
    const m = resampled(["e1", "r1"]);
    m.setPin(13);
    m.eventfds("e2", "r2");
    m.irqfd("e2", 13, "r2");
    m.signal("e1");
    m.signal("e2");
    m.take();
    m.trace.clear();
    m.eoi();
    expect(m.lines("kvm_ack_irq")).toEqual(["kvm_ack_irq(2,11)", "kvm_ack_irq(2,13)"]);
    expect([m.count("r1"), m.count("r2"), m.remoteIrr(11), m.remoteIrr(13)]).toEqual([1, 1, 0, 0]);
  });
});
