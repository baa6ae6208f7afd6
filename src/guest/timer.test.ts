import { describe, expect, it } from "vitest";
import { run } from "../sim/step.js";
import { DEVICE, GuestMachine } from "../explore/stages/guest-machine.js";
import type { Assembler } from "./op.js";

const MASK_TIMER = -1;

/** A timer interrupt whose handler goes to user space before it ends. */
function visitUserSpace(code: Assembler): void {
  code.timer(MASK_TIMER).store(DEVICE, 1);
}

describe("timers (host-irq.md 2.5, 2.6)", () => {
  it("vector 69: the virtual timer of a spinning guest costs one exit and one host interrupt; PPI 27 ends with the guest's EOI", () => {
    const m = new GuestMachine({ guest: { ppis: [27], main: (code) => code.timer(10_000), onInterrupt: (code) => code.timer(MASK_TIMER) } });
    m.sim.wake(m.threads[0], 0);
    run(m.sim.runUntil(5000));
    m.zero();
    m.settle();
    expect(m.since).toEqual({ exits: 1, IRQ: 1, hostIrqs: 1, acks: 1 });
    expect(m.trace.lines("host_ack", "host_eoi", "host_dir")).toEqual(["host_ack(1,27)", "host_eoi(1,27)"]);
    expect(m.gic.isActive(1, 27)).toBe(false);
  });

  it("K11: the ACTIVE bit of a timer's PPI follows the vCPU that is loaded, to 1 and to 0", () => {
    const main = (code: Assembler, vcpu: number): void => void (vcpu === 0 ? code.timer(10_000) : code.delay(1000, 20));
    const m = new GuestMachine({ vcpus: 2, guest: { ppis: [27], main, onInterrupt: visitUserSpace } });
    const [first, second] = m.threads;
    first.onWrite = function* (address) {
      first.goesOn = address !== DEVICE;
    };
    m.sim.wake(first, 0);
    m.settle();
    expect(m.gic.isActive(1, 27)).toBe(true);
    first.cpu = 2;
    first.goesOn = true;
    first.onWrite = null;
    m.sim.wake(first, 0);
    m.settle();
    expect(m.gic.isActive(2, 27)).toBe(false);
    expect(m.gic.isActive(1, 27)).toBe(true);
    second.cpu = 1;
    m.sim.wake(second, 0);
    m.settle();
    expect(m.gic.isActive(1, 27)).toBe(false);
  });

  it("a halted vCPU is woken by a host timer: no PPI, one wake-up", () => {
    const main = (code: Assembler): void => void code.timer(10_000);
    const m = new GuestMachine({ guest: { ppis: [27], idle: "wfi", main, onInterrupt: (code) => code.timer(MASK_TIMER) } });
    m.sim.wake(m.threads[0], 0);
    run(m.sim.runUntil(5000));
    m.zero();
    m.settle();
    expect(m.since).toEqual({ exits: 1, WFx: 1, haltWakeup: 1, acks: 1 });
  });
});
