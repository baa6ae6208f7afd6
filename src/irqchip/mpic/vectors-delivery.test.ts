import { describe, expect, it } from "vitest";
import { MPIC_42, Output } from "./constants.js";
import { MpicHarness } from "./mpic.fixture.js";

const SPURIOUS = 0xffff;

describe("mpic.md 11: delivery", () => {
  it("6: a source whose IDR was never written is delivered to nobody (M1, M2)", () => {
    const h = new MpicHarness();
    h.write(0x10060, 0x00080040);
    h.edge(3);
    expect([h.ivpr(3), h.line()]).toEqual(["0x40080040", 0]);
    h.write(0x10070, 1);
    expect([h.line(), h.iack()]).toEqual([0, SPURIOUS]);
    h.write(0x10060, 0x00080040);
    expect([h.line(), h.iack()]).toEqual([1, 0x40]);
  });

  it("7: an edge: raise, acknowledge, end", () => {
    const h = new MpicHarness();
    h.set(3, 8, 0x40, 1);
    h.edge(3);
    expect([h.ivpr(3), h.line()]).toEqual(["0x40080040", 1]);
    expect([h.iack(), h.ivpr(3), h.line()]).toEqual([0x40, "0x00080040", 0]);
    expect([h.eoi(), h.iack()]).toEqual([[3], SPURIOUS]);
  });

  it("8, 9: a level comes again until it falls, and is gone when it falls before (M11)", () => {
    const h = new MpicHarness();
    h.set(20, 8, 0x50, 1);
    h.drive(20, 1);
    expect([h.iack(), h.ivpr(20)]).toEqual([0x50, "0x40080050"]);
    expect([h.eoi(), h.line(), h.iack()]).toEqual([[20], 1, 0x50]);
    h.drive(20, 0);
    expect([h.ivpr(20), h.eoi(), h.line()]).toEqual(["0x00080050", [20], 0]);
    h.drive(20, 1);
    h.drive(20, 0);
    expect([h.line(), h.iack()]).toEqual([0, SPURIOUS]);
  });

  it("10, 11: equal priorities wait, larger ones nest, an EOI ends the best in service (M8)", () => {
    const h = new MpicHarness();
    for (const [irq, priority] of [[3, 8], [4, 8], [5, 10]] as const) h.set(irq, priority, 0x40 + irq, 1);
    h.edge(3);
    expect(h.iack()).toBe(0x43);
    h.edge(4);
    expect(h.line()).toBe(0);
    h.edge(5);
    expect([h.line(), h.iack()]).toEqual([1, 0x45]);
    expect([h.eoi(), h.line(), h.eoi(), h.line(), h.iack()]).toEqual([[5], 0, [3], 1, 0x44]);
  });

  it("12: ties go to the lowest number", () => {
    const h = new MpicHarness();
    h.set(7, 8, 0x47, 1);
    h.set(3, 8, 0x43, 1);
    h.edge(7);
    h.edge(3);
    expect(h.iack()).toBe(0x43);
  });

  it("13: CTPR hides what it equals", () => {
    const h = new MpicHarness();
    h.set(3, 8, 0x43, 1);
    h.ctpr(8);
    h.edge(3);
    expect([h.line(), h.ivpr(3)]).toEqual([0, "0x40080043"]);
    h.ctpr(7);
    expect([h.line(), h.iack()]).toEqual([1, 0x43]);
  });

  it("14: an edge that is acknowledged under CTPR is lost, and leaves a stale line (M5, M6)", () => {
    const h = new MpicHarness();
    h.set(3, 8, 0x43, 1);
    h.ctpr(8);
    h.edge(3);
    expect([h.iack(), h.ivpr(3)]).toEqual([SPURIOUS, "0x00080043"]);
    h.ctpr(0);
    expect([h.line(), h.iack()]).toEqual([1, SPURIOUS]);
  });

  it("15: a stale cache at the CTPR write, an EOI that does not ask CTPR (M6, M7)", () => {
    const h = new MpicHarness();
    h.set(3, 8, 0x43, 1);
    h.set(4, 5, 0x44, 1);
    h.edge(3);
    h.edge(4);
    expect(h.iack()).toBe(0x43);
    h.ctpr(6);
    expect(h.line()).toBe(1);
    h.eoi();
    expect([h.line(), h.iack(), h.iack()]).toEqual([1, SPURIOUS, SPURIOUS]);
  });

  it("16, 17: a masked edge waits for its unmask", () => {
    const h = new MpicHarness();
    h.write(0x10070, 1);
    h.write(0x10060, 0x80080043);
    h.edge(3);
    expect([h.ivpr(3), h.mpic.pending[3], h.line()]).toEqual(["0x80080043", 1, 0]);
    h.write(0x10060, 0x00080043);
    expect([h.ivpr(3), h.line()]).toEqual(["0x40080043", 1]);
    h.write(0x10060, 0x80080043);
    expect([h.ivpr(3), h.line(), h.iack()]).toEqual(["0x80080043", 0, SPURIOUS]);
    h.write(0x10060, 0x00080043);
    expect(h.line()).toBe(1);
  });

  it("18, 19: an edge to two CPUs is for the first, a level for both (M13)", () => {
    const h = new MpicHarness();
    h.set(3, 8, 0x43, 3);
    h.edge(3);
    expect([h.line(0), h.line(1), h.iack(0), h.iack(1)]).toEqual([1, 1, 0x43, SPURIOUS]);
    const level = new MpicHarness();
    level.set(20, 8, 0x50, 3);
    level.drive(20, 1);
    expect([level.iack(0), level.iack(1)]).toEqual([0x50, 0x50]);
    level.drive(20, 0);
    expect([level.eoi(0), level.eoi(1)]).toEqual([[20], [20]]);
  });

  it("20, 21, 22: IPIs to one and to several, and a masked one (M12)", () => {
    const h = new MpicHarness();
    h.write(0x10b0, 0x000a0061);
    h.write(0x20050, 3);
    expect([h.line(0), h.line(1)]).toEqual([1, 1]);
    expect([h.iack(0), h.mpic.destination[257], h.ivpr(257)]).toEqual([0x61, 2, "0x400a0061"]);
    expect([h.iack(1), h.mpic.destination[257], h.ivpr(257)]).toEqual([0x61, 0, "0x000a0061"]);
    expect([h.eoi(0), h.eoi(1)]).toEqual([[257], [257]]);
    h.write(0x10a0, 0x80080060);
    h.write(0x20040, 2);
    expect(h.line(1)).toBe(0);
    h.write(0x10a0, 0x00080060);
    expect([h.line(1), h.iack(1)]).toEqual([1, 0x60]);
  });

  it("23, 24: critical outputs know no mask, no priority and no acknowledge; an edge there is a pulse", () => {
    const h = new MpicHarness();
    h.write(0x10280, 0x80080050);
    h.write(0x10290, 0x40000000);
    h.drive(20, 1);
    expect([h.ivpr(20), h.mpic.cpus[0].active[Output.CINT], h.line()]).toEqual(["0xc0080050", 1, 0]);
    h.drive(20, 0);
    expect(h.mpic.cpus[0].active[Output.CINT]).toBe(0);
    h.write(0x10070, 0x20000000);
    h.write(0x10060, 0x00080043);
    h.edge(3);
    expect([h.mpic.cpus[1].active[Output.CINT], h.ivpr(3)]).toEqual([0, "0x00080043"]);
  });

  it("25, 26: message registers: bits of two messages, one interrupt; an EOI before the read is another (M9, M10)", () => {
    const h = new MpicHarness();
    h.set(225, 9, 0x71, 1);
    h.write(0x1740, 0x25000000);
    h.write(0x1740, 0x20000000);
    expect([h.read(0x1720), h.iack(), h.read(0x1610), h.mpic.pending[225], h.eoi(), h.line()]).toEqual(["0x00000002", 0x71, "0x00000021", 0, [225], 0]);
    h.write(0x1740, 0x20000000);
    expect([h.iack(), h.eoi(), h.line()]).toEqual([0x71, [225], 1]);
  });

  it("27: a target that changes while raised leaves a bit behind (M3)", () => {
    const h = new MpicHarness();
    h.set(20, 8, 0x50, 1);
    h.drive(20, 1);
    expect(h.line(0)).toBe(1);
    h.write(0x10290, 2);
    h.drive(20, 0);
    expect([h.iack(0), h.mpic.cpus[0].raised.has(20), h.iack(0)]).toEqual([SPURIOUS, true, SPURIOUS]);
  });

  it("29, 30, 31: priority 0; an edge while in service; two edges before the acknowledge", () => {
    const h = new MpicHarness();
    h.set(3, 0, 0x43, 1);
    h.edge(3);
    expect([h.line(), h.ivpr(3)]).toEqual([0, "0x40000043"]);
    const again = new MpicHarness();
    again.set(3, 8, 0x43, 1);
    again.edge(3);
    again.iack();
    again.edge(3);
    expect([again.line(), again.ivpr(3)]).toEqual([0, "0x40080043"]);
    expect([again.eoi(), again.line(), again.iack(), again.eoi()]).toEqual([[3], 1, 0x43, [3]]);
    again.edge(3);
    again.edge(3);
    expect([again.iack(), again.iack()]).toEqual([0x43, SPURIOUS]);
  });

  it("32, 33: a reset leaves targets, inputs and lines (M14)", () => {
    const h = new MpicHarness();
    h.set(20, 8, 0x50, 1);
    h.drive(20, 1);
    h.write(0x1020, 0x80000000);
    expect([h.ivpr(20), h.mpic.pending[20], h.mpic.destination[20], h.read(0x20080), h.line()]).toEqual(["0x80800000", 1, 1, "0x0000000f", 1]);
    h.ctpr(0);
    h.write(0x10280, 0x00080050);
    expect([h.line(), h.iack()]).toEqual([1, 0x50]);
  });

  it("M4: a source that leaves its output while active makes the counter wrap", () => {
    const h = new MpicHarness({ model: MPIC_42 });
    h.set(20, 8, 0x50, 1);
    h.drive(20, 1);
    h.write(0x10298, 1);
    h.drive(20, 0);
    expect(h.mpic.cpus[0].active[Output.CINT]).toBe(0xffff_ffff);
  });

  it("M15: a listener lowers and a device raises inside the EOI, and nothing is lost", () => {
    const h = new MpicHarness();
    h.set(20, 8, 0x50, 1);
    h.drive(20, 1);
    h.iack();
    h.onAck = (pin) => h.device.drive(pin, false);
    expect([h.eoi(), h.line()]).toEqual([[20], 0]);
    h.drive(20, 1);
    expect(h.iack()).toBe(0x50);
  });

  it("M18, M19, M20: the last driver wins; targets are masked by the CPUs there are; a new priority orders anew", () => {
    const h = new MpicHarness({ cpus: 1 });
    h.set(20, 8, 0x50, 3);
    expect(h.read(0x10290)).toBe("0x00000001");
    h.set(3, 5, 0x43, 1);
    h.drive(20, 1);
    h.edge(3);
    h.write(0x10060, 0x000a0043);
    expect(h.iack()).toBe(0x43);
    h.drive(20, 1);
    h.drive(20, 0);
    expect(h.iack()).toBe(SPURIOUS);
  });
});
