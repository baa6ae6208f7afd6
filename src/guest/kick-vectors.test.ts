import { describe, expect, it } from "vitest";
import { setEnabled, writeDistEnable } from "../irqchip/gic/vgic-state.js";
import { kick } from "../kvm/kick.js";
import { run, type Step } from "../sim/step.js";
import { GuestMachine, type MachineOptions } from "../explore/stages/guest-machine.js";

const EDGE = [{ intid: 40, trigger: "edge" }] as const;
const machine = (idle: "spin" | "wfi", options: MachineOptions = {}): GuestMachine =>
  new GuestMachine({ ...options, guest: { spis: EDGE, idle } }).boot();

describe("kick and halt (host-irq.md 8.4)", () => {
  it("vector 61: three kicks before the vCPU exits send one IPI and cost one exit (K17)", () => {
    const m = machine("spin");
    for (let i = 0; i < 3; i++) run(kick(m.vcpus[0]));
    m.settle();
    expect(m.since).toEqual({ exits: 1, IRQ: 1, IPI0: 1, hostIrqs: 1 });
    expect(m.trace.lines("vcpu_mode")).toEqual([
      "vcpu_mode(0,EXITING_GUEST_MODE)",
      "vcpu_mode(0,OUTSIDE_GUEST_MODE)",
      "vcpu_mode(0,IN_GUEST_MODE)",
    ]);
  });

  it("K17: where every kicker that sees IN_GUEST_MODE sends an IPI, three are sent", () => {
    const m = machine("spin", { hazards: { kickWithoutSwap: true } });
    const before = m.vcpus[0].stat.kickIpis;
    for (let i = 0; i < 3; i++) run(kick(m.vcpus[0]));
    expect(m.vcpus[0].stat.kickIpis - before).toBe(3);
  });

  it("vector 62: an injection while the vCPU is in user space sends nothing and is seen at the first entry", () => {
    const m = machine("spin");
    const [thread] = m.threads;
    run(thread.signal(10));
    m.settle();
    run(thread.consume(10));
    expect(thread.results.at(-1)).toBe("-4:10");
    m.zero();
    m.pulse(40);
    m.settle();
    expect(m.since).toEqual({});
    m.sim.wake(thread, 0);
    m.settle();
    expect(m.since).toEqual({ acks: 1 });
  });

  it("vector 63: an injection between flush and the last check costs a second flush, no IPI, no exit (K15, K16)", () => {
    const m = machine("spin");
    const flush = m.vgic.flush.bind(m.vgic);
    let flushes = 0;
    m.vgic.flush = function* (index: number): Step<void> {
      yield* flush(index);
      if (flushes++ === 0) yield* m.vgic.inject(-1, 40, true, null);
    };
    run(kick(m.vcpus[0]));
    m.settle();
    expect(flushes).toBe(2);
    expect(m.since).toEqual({ exits: 1, IRQ: 1, IPI0: 1, hostIrqs: 1, acks: 1 });
  });

  it("vector 64: an injection while blocked in WFI wakes it: no rescheduling IPI, one WFx exit", () => {
    const m = machine("wfi");
    m.pulse(40);
    m.settle();
    expect(m.since).toEqual({ exits: 1, WFx: 1, haltWakeup: 1, IPI1: 1, hostIrqs: 1, acks: 1 });
  });

  it("vector 65: an injection inside the polling window needs no wake-up and no IPI", () => {
    const m = machine("wfi", { haltPollMaxNs: 500_000 });
    m.vcpus[0].halt.windowNs = 500_000;
    run(kick(m.vcpus[0]));
    const start = m.sim.now();
    m.pulse(40);
    run(m.sim.runUntil(start + 50_000));
    m.zero();
    m.sim.wake(m.later(() => m.vgic.inject(-1, 40, true, null)), 50_000);
    run(m.sim.runUntil(start + 150_000));
    expect(m.since).toMatchObject({ exits: 1, WFx: 1, goodPolls: 1, acks: 1 });
    expect(m.since.haltWakeup).toBeUndefined();
    expect(m.since.IPI0).toBeUndefined();
    expect(m.since.IPI1).toBeUndefined();
  });

  it("vector 68: an interrupt that the disabled distributor keeps back does not wake", () => {
    const m = machine("wfi");
    run(writeDistEnable(m.vgic.dist, false, true));
    m.pulse(40);
    m.settle();
    expect(m.since).toEqual({});
    run(writeDistEnable(m.vgic.dist, true, false));
    const irq = m.vgic.dist.irq(m.vgic.dist.cpus[0], 40);
    if (irq !== null) run(setEnabled(m.vgic.dist, irq, false));
    m.settle();
    expect(m.since.acks).toBe(1);
  });

  it("K18: a wake between the look and the sleep is not lost", () => {
    const m = machine("wfi");
    const pending = m.vgic.isPendingFor.bind(m.vgic);
    let looks = 0;
    m.vgic.isPendingFor = function* (index: number): Step<boolean> {
      const result = yield* pending(index);
      if (looks++ === 0) yield* m.vgic.inject(-1, 40, true, null);
      return result;
    };
    m.sim.wake(m.threads[0], 0);
    m.settle();
    expect(looks).toBeGreaterThan(1);
    expect(m.since.acks).toBe(1);
  });

  it("another thread of the vCPU's CPU gets it: one IPI, one exit; the way back goes through idle", () => {
    const m = machine("spin");
    const [, cpu] = m.host.cpus;
    const seen: string[] = [];
    const other = m.later(function* () {
      yield* cpu.switchTo(other);
      seen.push(`vCPU on CPU ${m.vcpus[0].physicalCpu}`);
      yield* cpu.switchTo(null);
    });
    other.cpu = 1;
    const switches = cpu.contextSwitches;
    run(cpu.wakeThread(other));
    m.settle();
    expect(seen).toEqual(["vCPU on CPU -1"]);
    expect(m.since).toEqual({ exits: 1, IRQ: 1, IPI0: 1, hostIrqs: 1 });
    expect(cpu.contextSwitches - switches).toBe(3);
    m.pulse(40);
    m.settle();
    expect(m.since.acks).toBe(1);
  });

  it("halt_guest has every vCPU out before it returns, keeps it out, and leaves a halted one asleep", () => {
    for (const idle of ["spin", "wfi"] as const) {
      const m = machine(idle);
      const [vcpu] = m.vcpus;
      run(m.vm.haltGuest());
      expect(vcpu.exitGate.isOpen()).toBe(true);
      m.settle();
      expect(vcpu.mode).toBe(0);
      expect(m.since).toEqual(idle === "spin" ? { exits: 1, IRQ: 1, IPI1: 1, hostIrqs: 1 } : {});
      m.pulse(40);
      m.settle();
      expect(m.since.acks).toBeUndefined();
      run(m.vm.resumeGuest());
      m.settle();
      expect(m.since.acks).toBe(1);
    }
  });

  it("I10, I12: exits are the sum of their classes; indices follow creation", () => {
    const m = machine("wfi", { vcpus: 2 });
    m.pulse(40);
    m.settle();
    for (const { stat } of m.vcpus) expect(stat.exitsByReason.reduce((sum, n) => sum + n, 0)).toBe(stat.exits);
    expect(m.vcpus.map((vcpu) => vcpu.index)).toEqual([0, 1]);
  });
});
