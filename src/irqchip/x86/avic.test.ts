import { describe, expect, it } from "vitest";
import { run } from "../../sim/step.js";
import { Avic, AvicIpi, type AvicVcpu } from "./avic.js";
import { AvicLogicalTable } from "./avic-tables.js";
import { type HarnessOptions, LapicHarness } from "./lapic/lapic.fixture.js";
import { ApicReg } from "./lapic/registers.js";
import { FakePort, FakePostedVcpu } from "./posted.fixture.js";

/** AVIC: x86-irqchip.md 11. */
class AvicHarness extends LapicHarness {
  readonly port = new FakePort(true);
  readonly avic = new Avic(this.set, this.port, 7);
  readonly avics: AvicVcpu[] = [];
  readonly guests: FakePostedVcpu[] = [];

  constructor(options: HarnessOptions = { cpus: 4 }) {
    super(options);
    this.flat();
    for (const { index, id } of this.vm.vcpus) {
      const guest = new FakePostedVcpu(id);
      this.guests.push(guest);
      this.avics.push(run(this.avic.attach(this.at(index), guest, 0x123456 + index)));
    }
  }
  /** Enters the guest on the physical CPU 10 + index. */
  enter(...indices: number[]): this {
    for (const index of indices) {
      run(this.avics[index].load(10 + index));
      Object.assign(this.guests[index], { physicalCpu: 10 + index, inGuest: true });
    }
    return this;
  }
  leave(index: number): void {
    this.guests[index].inGuest = false;
    run(this.avics[index].put());
  }
  icr(low: number, destination = 0, from = 0): AvicIpi {
    return run(this.avic.writeIcr(this.at(from), low, (destination << 24) | 0));
  }
  wakes(): number[] {
    return this.guests.map((guest) => guest.wakes);
  }
}

describe("tables", () => {
  it("a physical entry has the backing page, where it runs, and whether", () => {
    const h = new AvicHarness().enter(1);
    const { physical } = h.avic;
    expect([run(physical.isValid(1)), run(physical.runsOn(1)), run(physical.backingPage(1))]).toEqual([true, 11, 0x123457]);
    const [low, high] = [physical.words[2] >>> 0, physical.words[3] >>> 0];
    expect([low.toString(16), high.toString(16)]).toEqual(["2345700b", "c0000001"]);
    h.leave(1);
    expect([run(physical.runsOn(1)), physical.words[3] >>> 0, run(physical.isValid(9))]).toEqual([-1, 0x80000001, false]);
  });

  it("a logical entry stands at its bit, in clusters at cluster * 4 + bit", () => {
    const indices = [0x08000000, 0x0c000000, 0].map((ldr) => AvicLogicalTable.indexOf(ldr, -1));
    expect(indices).toEqual([3, -1, -1]);
    expect([0x28000000, 0xf1000000, 0x20000000].map((ldr) => AvicLogicalTable.indexOf(ldr, 0x0fffffff))).toEqual([11, -1, -1]);
  });

  it("a guest that changes its logical id moves its entry", () => {
    const h = new AvicHarness();
    h.write(2, ApicReg.LDR, 0x80000000);
    expect([run(h.avic.logical.find(2)), run(h.avic.logical.find(7))]).toEqual([-1, 2]);
  });
});

describe("delivery", () => {
  it("by software: the request first, then a doorbell or a wake", () => {
    const h = new AvicHarness().enter(1);
    h.deliver({ vector: 0x41, destination: 1 });
    h.deliver({ vector: 0x42, destination: 2 });
    expect([h.port.sent, h.wakes(), h.take(1), h.take(2)]).toEqual([["doorbell>11"], [0, 0, 1, 0], 0x41, 0x42]);
  });

  it("the EOI of a level vector traps, of an edge vector not", () => {
    const h = new AvicHarness();
    h.deliver({ vector: 0x41, isLevel: true });
    h.deliver({ vector: 0x42 });
    expect([run(h.avics[0].trapsEoi(0x41)), run(h.avics[0].trapsEoi(0x42))]).toEqual([true, false]);
  });

  it("a GA log entry wakes the vCPU that its tag names", () => {
    const h = new AvicHarness();
    expect(h.avic.gaTag(2)).toBe(0x702);
    run(h.avic.gaLog(0x702));
    run(h.avic.gaLog(0x802));
    expect(h.wakes()).toEqual([0, 0, 1, 0]);
  });
});

describe("IPIs", () => {
  it("to a running target: a doorbell, no exit", () => {
    const h = new AvicHarness().enter(0, 1);
    expect([h.icr(0x4041, 1), h.port.sent, h.requested(0x41)]).toEqual([AvicIpi.DELIVERED, ["doorbell>11"], [1]]);
  });

  it("to one that does not run: the request is there, KVM wakes it", () => {
    const h = new AvicHarness().enter(0, 1);
    expect([h.icr(0x4841, 0x0e), h.requested(0x41), h.wakes(), h.port.sent]).toEqual([
      AvicIpi.NOT_RUNNING,
      [1, 2, 3],
      [0, 0, 1, 1],
      ["doorbell>11", "doorbell>11"],
    ]);
    expect(h.trace.lines("kvm_avic_incomplete_ipi")).toEqual([`kvm_avic_incomplete_ipi(0,${0x4841},1)`]);
  });

  it("what hardware does not send, KVM does", () => {
    const h = new AvicHarness().enter(0, 1);
    expect([h.icr(0x4400, 1), h.icr(0xc041, 1), h.vcpu(1).nmis, h.requested(0x41)]).toEqual([AvicIpi.INVALID_TYPE, AvicIpi.INVALID_TYPE, 1, [1]]);
  });

  it("to nobody: an exit and nothing else", () => {
    const h = new AvicHarness().enter(0, 1);
    expect([h.icr(0x4041, 9), h.icr(0x4841, 0x12), h.requested(0x41), h.wakes()]).toEqual([AvicIpi.INVALID_TARGET, AvicIpi.INVALID_TARGET, [], [0, 0, 0, 0]]);
  });

  it("shorthands and broadcast", () => {
    const h = new AvicHarness().enter(0, 1, 2, 3);
    const sent = (low: number, destination = 0): [AvicIpi, number[]] => [h.icr(low, destination, 1), h.drain(low & 0xff)];
    expect([sent(0x44041), sent(0x84042), sent(0xc4043), sent(0x4044, 0xff)]).toEqual([
      [AvicIpi.DELIVERED, [1]],
      [AvicIpi.DELIVERED, [0, 1, 2, 3]],
      [AvicIpi.DELIVERED, [0, 2, 3]],
      [AvicIpi.DELIVERED, [0, 1, 2, 3]],
    ]);
  });
});

describe("inhibit reasons", () => {
  it("aliased logical ids inhibit AVIC alone, aliased physical ids both", () => {
    const h = new AvicHarness();
    const inhibited = (): boolean[] => [run(h.set.inhibits.isInhibited("intel")), run(h.set.inhibits.isInhibited("amd"))];
    h.write(1, ApicReg.LDR, 0x01000000);
    expect(inhibited()).toEqual([false, true]);
    h.write(1, ApicReg.LDR, 0x02000000);
    h.write(1, ApicReg.ID, 0);
    expect(inhibited()).toEqual([true, true]);
    h.write(1, ApicReg.ID, 0x01000000);
    expect(inhibited()).toEqual([false, false]);
  });
});
