import { describe, expect, it } from "vitest";
import { run } from "../../sim/step.js";
import { KVM_IRQFD_FLAG_DEASSIGN, KVM_IRQFD_FLAG_RESAMPLE } from "../../uapi/kvm.js";
import { Papr } from "./papr.fixture.js";

const realMode = (): Papr => Papr.base({ realMode: true });
const half = (p: Papr, cpu = 0) => {
  const { realMode: of } = p.m.cpus[cpu].vcpu;
  if (of === null) throw new Error("no real mode");
  return of;
};
const exits = (p: Papr, cpu = 0): number => p.m.cpus[cpu].vcpu.stat.hypercallExits;

describe("the real-mode half (xics.md 14)", () => {
  it("serves what it can without an exit", () => {
    const p = realMode();
    p.src(0x1001, 5);
    p.line(0x1001);
    const before = exits(p);
    const { completions } = half(p);
    expect([p.xirr(), p.eoi(0xff001001), p.cppr(5), p.icp()]).toEqual(["0xff001001", 0, 0, "05,ff,ff,000000,0,0"]);
    // Each call of the fixture ends in one hypercall that leads back to user space.
    expect([half(p).completions - completions, exits(p) - before]).toEqual([3, 3]);
  });

  it("the EOI of a source without a block succeeds here, and fails in virtual mode", () => {
    expect([realMode().eoi(0xff123456), Papr.base().eoi(0xff123456)]).toEqual([0, -4]);
  });

  it("H_XIRR_X and H_IPOLL have no real-mode half: the guest exits", () => {
    const p = realMode();
    const { completions } = half(p);
    const before = exits(p);
    expect([p.xirrX().xirr, p.ipoll(1).status]).toEqual(["0xff000000", 0]);
    expect([half(p).completions - completions, exits(p) - before]).toEqual([0, 4]);
  });

  it("a target that is on no core is kicked outside, once, and the hypercall is not made again", () => {
    const p = realMode();
    const before = exits(p);
    expect(p.ipi(1, 4)).toBe(0);
    expect([half(p).kicks, exits(p) - before, p.icp(1)]).toEqual([1, 2, "ff,04,04,000002,0,1"]);
    expect(p.lines("xics_icp")).toHaveLength(1);
  });

  it("an IPI to itself needs nobody", () => {
    const p = realMode();
    p.ipi(0, 4);
    expect([half(p).kicks, p.ee(), p.icp()]).toEqual([0, true, "ff,04,04,000002,0,1"]);
  });

  it("listeners are told outside, and only where there are any", () => {
    const p = realMode();
    p.src(0x1010, 5, { lsi: true });
    p.eoi(0xff001010);
    expect([half(p).notifications, p.acks()]).toEqual([0, []]);
    const [trigger, resample] = [p.m.eventfd(), p.m.eventfd()];
    run(p.m.irqfd(trigger, 0x1010, KVM_IRQFD_FLAG_RESAMPLE, resample));
    run(p.m.signal(trigger));
    expect([p.xirr(), p.eoi(0xff001010), half(p).notifications, run(p.m.count(resample))]).toEqual(["0xff001010", 0, 1, 1]);
    // Presented again before the line was lowered, as in virtual mode.
    expect([p.icp(), p.pq(0x1010)]).toEqual(["ff,ff,05,001010,0,1", "--"]);
    run(p.m.irqfd(trigger, 0x1010, KVM_IRQFD_FLAG_DEASSIGN));
    run(p.m.sim.settle());
    expect([p.xirr(), p.eoi(0xff001010), half(p).notifications]).toEqual(["0xff001010", 0, 1]); // nobody is left to be told
  });

  it("lowering ends with one transaction: virtual mode goes on into the raise", () => {
    const transactions = (p: Papr): number => {
      p.cppr(5);
      p.trace.clear();
      p.cppr(7);
      return p.lines("xics_icp").length;
    };
    expect([transactions(realMode()), transactions(Papr.base())]).toEqual([1, 2]);
  });
});
