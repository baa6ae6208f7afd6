import { describe, expect, it } from "vitest";
import { run } from "../../../sim/step.js";
import { DeliveryMode } from "../contract.js";
import { LapicHarness } from "./lapic.fixture.js";
import { ApicReg } from "./registers.js";
import { divisorOf } from "./timer.js";

/** The timer (x86-irqchip.md 7.7) and the whole record (7.10). */
const VECTOR = 0x41;
const PERIODIC = 1 << 17;
const DEADLINE = 1 << 18;
const BY_ONE = 0xb;

class TimerHarness extends LapicHarness {
  /** Runs to `ns` of virtual time; the vectors that the run loop then found. */
  until(ns: number): number[] {
    run(this.sim.runUntil(ns));
    return this.loop();
  }
  loop(): number[] {
    run(this.at(0).timer.inject());
    const found = this.bits(0, ApicReg.IRR);
    while (this.take() >= 0) this.eoi();
    return found;
  }
  start(lvtt: number, count: number, divide = BY_ONE): this {
    this.write(0, ApicReg.LVTT, lvtt);
    this.write(0, ApicReg.TDCR, divide);
    this.write(0, ApicReg.TMICT, count);
    return this;
  }
  record(): Int32Array {
    const record = new Int32Array(256);
    run(this.at(0).get(record));
    return record;
  }
  put(record: Int32Array): number {
    return run(this.at(0).put(record));
  }
}
const timer = (options = {}): TimerHarness => new TimerHarness({ tscDeadline: true, ...options }).enable() as TimerHarness;

describe("one-shot and periodic", () => {
  it("divides by 2, 4, 8, 16, 32, 64, 128, 1", () => {
    expect([0, 1, 2, 3, 8, 9, 10, 11].map(divisorOf)).toEqual([2, 4, 8, 16, 32, 64, 128, 1]);
  });

  it("one-shot: counts down once", () => {
    const h = timer().start(VECTOR, 1000);
    expect([h.until(999), h.read(0, ApicReg.TMCCT), h.vcpu(0).unblocks]).toEqual([[], 1, 0]);
    expect([h.until(1001), h.read(0, ApicReg.TMCCT), h.vcpu(0).unblocks]).toEqual([[VECTOR], 0, 1]);
    expect(h.until(10_000)).toEqual([]);
  });

  it("the count is in bus cycles divided", () => {
    const h = timer({ busCycleNs: 10 }).start(VECTOR, 100, 3);
    h.until(8000);
    expect(h.read(0, ApicReg.TMCCT)).toBe(50);
    expect([h.until(15_999), h.until(16_001)]).toEqual([[], [VECTOR]]);
  });

  it("periodic: not faster than every 200 microseconds, and without drift", () => {
    const h = timer().start(VECTOR | PERIODIC, 1000);
    expect([h.until(199_999), h.until(200_001), h.until(399_999), h.until(400_001), h.until(1_000_001)]).toEqual([[], [VECTOR], [], [VECTOR], [VECTOR]]);
    expect(h.vcpu(0).unblocks).toBe(3);
  });

  it("expiries that the vCPU did not see are one", () => {
    const h = timer().start(VECTOR | PERIODIC, 200_000);
    run(h.sim.runUntil(1_900_001));
    expect([h.loop(), h.loop()]).toEqual([[VECTOR], []]);
  });

  it("a switch between one-shot and periodic keeps the count (kvm-unit-tests apic.c)", () => {
    const h = timer().start(VECTOR, 1_000_000);
    h.until(400_000);
    h.write(0, ApicReg.LVTT, VECTOR | PERIODIC);
    expect(h.read(0, ApicReg.TMCCT)).toBe(600_000);
    expect([h.until(1_000_001), h.read(0, ApicReg.TMCCT)]).toEqual([[VECTOR], 999_999]);
    h.write(0, ApicReg.LVTT, VECTOR);
    expect([h.until(2_000_001), h.until(4_000_001)]).toEqual([[VECTOR], []]);
  });

  it("a switch to or from TSC-deadline stops the timer and zeroes the initial count", () => {
    const h = timer().start(VECTOR, 1000);
    h.write(0, ApicReg.LVTT, VECTOR | DEADLINE);
    expect([h.read(0, ApicReg.TMICT), h.read(0, ApicReg.TMCCT), h.until(5000)]).toEqual([0, 0, []]);
    h.write(0, ApicReg.TMICT, 500);
    expect([h.read(0, ApicReg.TMICT), h.until(10_000)]).toEqual([0, []]);
    h.wrmsr(0, 0x6e0, 20_000);
    h.write(0, ApicReg.LVTT, VECTOR);
    expect([h.until(30_000), h.rdmsr(0, 0x6e0)]).toEqual([[], "0"]);
  });

  it("another divisor scales what remains", () => {
    const h = timer().start(VECTOR, 1000);
    h.until(400);
    h.write(0, ApicReg.TDCR, 0);
    expect(h.read(0, ApicReg.TMCCT)).toBe(600);
    expect([h.until(1599), h.until(1601)]).toEqual([[], [VECTOR]]);
  });

  it("an initial count of 0 stops it", () => {
    const h = timer().start(VECTOR, 1000);
    h.write(0, ApicReg.TMICT, 0);
    expect([h.until(5000), h.read(0, ApicReg.TMCCT)]).toEqual([[], 0]);
  });

  it("a masked expiry waits for its entry to be unmasked (6.18; 7.7 says lost), a software disable drops it", () => {
    const h = timer().start(VECTOR | 0x10000, 1000);
    expect(h.until(2000)).toEqual([]);
    h.write(0, ApicReg.LVTT, VECTOR);
    expect([h.loop(), h.loop()]).toEqual([[VECTOR], []]);
    h.start(VECTOR, 1000);
    run(h.sim.runUntil(9000));
    h.write(0, ApicReg.SPIV, 0xff);
    h.write(0, ApicReg.SPIV, 0x1ff);
    h.write(0, ApicReg.LVTT, VECTOR);
    expect(h.loop()).toEqual([]);
  });
});

describe("TSC-deadline", () => {
  it("fires when the TSC reaches it, reads 0 after", () => {
    const h = timer({ tscHz: 2_000_000_000 }).start(VECTOR | DEADLINE, 0);
    expect(h.wrmsr(0, 0x6e0, 4000)).toBe("ok");
    expect([h.rdmsr(0, 0x6e0), h.until(1999), h.until(2001), h.rdmsr(0, 0x6e0)]).toEqual(["fa0", [], [VECTOR], "0"]);
  });

  it("a deadline that has passed fires at once, 0 disarms, 64 bits count", () => {
    const h = timer().start(VECTOR | DEADLINE, 0);
    h.until(5000);
    h.wrmsr(0, 0x6e0, 100);
    expect(h.loop()).toEqual([VECTOR]);
    h.wrmsr(0, 0x6e0, 6000);
    h.wrmsr(0, 0x6e0, 0);
    expect(h.until(7000)).toEqual([]);
    h.wrmsr(0, 0x6e0, 0, 2);
    expect([h.rdmsr(0, 0x6e0), h.until(8_589_934_591), h.until(8_589_934_593)]).toEqual(["2_00000000", [], [VECTOR]]);
  });

  it("the MSR does nothing in another mode", () => {
    const h = timer().start(VECTOR, 0);
    expect([h.wrmsr(0, 0x6e0, 100), h.rdmsr(0, 0x6e0), h.until(1000)]).toEqual(["ok", "0", []]);
  });
});

describe("KVM_GET_LAPIC and KVM_SET_LAPIC", () => {
  it("a record moves to another vCPU's local APIC, and reads back the same", () => {
    const h = timer().start(VECTOR | 0x10000, 100_000);
    h.write(0, ApicReg.TPR, 0x35);
    h.write(0, ApicReg.LDR, 0x04000000);
    h.deliver({ vector: 0x61, isLevel: true });
    h.deliver({ vector: 0x62 });
    h.take();
    h.until(40_000);
    const record = h.record();
    const other = timer();
    expect(other.put(record)).toBe(0);
    expect([other.record(), other.bits(0, ApicReg.ISR), other.bits(0, ApicReg.IRR), other.bits(0, ApicReg.TMR)]).toEqual([record, [0x62], [0x61], [0x61]]);
    expect([other.eoi(), other.take()]).toEqual([0x62, 0x61]);
    expect(other.read(0, ApicReg.TMCCT)).toBe(60_000);
  });

  it("the timer goes on from the current count", () => {
    const h = timer().start(VECTOR, 100_000);
    h.until(40_000);
    const other = timer();
    other.put(h.record());
    expect([other.until(59_999), other.until(60_001)]).toEqual([[], [VECTOR]]);
  });

  it("a current count of 0: one-shot expires at once, periodic has a whole period; one too great is cut", () => {
    const restored = (lvtt: number, count: number): TimerHarness => {
      const h = timer().start(lvtt, 1_000_000);
      const record = h.record();
      record[ApicReg.TMCCT >> 2] = count;
      h.put(record);
      return h;
    };
    expect(restored(VECTOR, 0).loop()).toEqual([VECTOR]);
    const periodic = restored(VECTOR | PERIODIC, 0);
    expect([periodic.loop(), periodic.until(999_999), periodic.until(1_000_001)]).toEqual([[], [], [VECTOR]]);
    expect(restored(VECTOR, 5_000_000).read(0, ApicReg.TMCCT)).toBe(1_000_000);
  });

  it("a record taken at the instant of the start has the whole count", () => {
    const h = timer().start(VECTOR, 1000);
    expect(h.record()[ApicReg.TMCCT >> 2]).toBe(1000);
  });

  it("the version is the kernel's, whatever the record says; a look and a recount follow", () => {
    const h = timer();
    const record = h.record();
    record[ApicReg.LVR >> 2] = 0x123;
    const { events } = h.vcpu(0);
    h.put(record);
    expect([h.read(0, ApicReg.LVR), h.vcpu(0).events - events, h.ioapic.recounts]).toEqual([0x50014, 1, [0]]);
  });

  it("in x2APIC mode the id is the vCPU's, and with 32-bit ids another one is EINVAL", () => {
    const h = new TimerHarness({ ids: [0x25], x2apic: true }).x2apic() as TimerHarness;
    h.wrmsr(0, 0x830, 0x41, 0x77);
    const record = h.record();
    expect(record[ApicReg.ICR2 >> 2]).toBe(0x77);
    record[ApicReg.ID >> 2] = 0x11000000;
    record[ApicReg.LDR >> 2] = 0;
    expect([h.put(record), h.rdmsr(0, 0x802), h.rdmsr(0, 0x80d), h.rdmsr(0, 0x830)]).toEqual([0, "25", "20020", "77_00000041"]);
    h.set.enableX2apicApi(1);
    record[ApicReg.SPIV >> 2] = 0x1ff;
    expect([h.put(record), h.rdmsr(0, 0x80f)]).toEqual([-22, "1ff"]);
    record[ApicReg.ID >> 2] = 0x25;
    expect(h.put(record)).toBe(0);
  });

  it("X19: what an IOAPIC's restore injected before is overwritten", () => {
    const h = timer();
    const record = h.record();
    h.deliver({ vector: VECTOR, mode: DeliveryMode.FIXED });
    h.put(record);
    expect([h.take(), h.vcpu(0).events > 0]).toEqual([-1, true]);
  });
});
