import { describe, expect, it } from "vitest";
import { run } from "../../../sim/step.js";
import { kvm_ioapic_state } from "../../../uapi/x86.js";
import { ChipHarness } from "../chips.fixture.js";

const PIN = 14;

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
