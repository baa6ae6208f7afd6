import { describe, expect, it } from "vitest";
import { run, type Step } from "../../sim/step.js";
import { EBUSY, EINVAL, ENOSYS, EPERM } from "../../uapi/errno.js";
import { HostStage, Handler } from "../../explore/stages/host-stage.js";
import { Thread } from "../../explore/stages/threads.js";
import { Irqs } from "./desc.js";
import { IrqReturn, IrqType } from "./types.js";

// Vectors 26-33 of host-irq.md 8.1: affinity, hot-plug, types, forwarding; and per-CPU interrupts.

function* nothing(): Step<void> {}
const h = (): Handler => new Handler(nothing);

describe.each([2, 3] as const)("affinity, GICv%i", (version) => {
  it("vector 26: the chip picks one CPU of the mask", () => {
    const f = new HostStage(version);
    f.request(f.edge, h());
    expect(run(f.host.setAffinity(f.edge, [2, 3]))).toBe(0);
    expect([f.desc(f.edge).affinity, f.desc(f.edge).effectiveCpu]).toEqual([[2, 3], 2]);
    f.pulse(41);
    expect(f.trace.lines("host_ack")).toEqual(["host_ack(2,41)"]);
    expect(Array.from(f.desc(f.edge).taken)).toEqual([0, 0, 1, 0]);
  });

  it("vector 27, K22: hot-unplug moves, then overwrites the mask; coming back changes nothing", () => {
    const f = new HostStage(version);
    f.request(f.edge, h());
    run(f.host.setAffinity(f.edge, [2, 3]));
    const desc = f.desc(f.edge);
    run(f.host.cpuDown(2));
    expect([desc.affinity, desc.effectiveCpu]).toEqual([[2, 3], 3]);
    run(f.host.cpuDown(3));
    expect([desc.affinity, desc.effectiveCpu]).toEqual([[0, 1], 0]);
    expect(f.host.irqs.lastWarning).toBe(`IRQ ${f.edge}: no longer affine to CPU3`);
    run(f.host.cpuUp(2));
    run(f.host.cpuUp(3));
    expect([desc.affinity, desc.effectiveCpu]).toEqual([[0, 1], 0]);
    f.pulse(41);
    expect(f.trace.lines("host_ack")).toEqual(["host_ack(0,41)"]);
  });

  it("a managed interrupt is shut down with its last CPU and returns with it", () => {
    const f = new HostStage(version);
    run(f.host.setManagedAffinity(f.edge, [2]));
    const handler = h();
    f.request(f.edge, handler);
    expect(run(f.host.setAffinity(f.edge, [1]))).toBe(-EPERM);
    const desc = f.desc(f.edge);
    run(f.host.cpuDown(2));
    expect([desc.state & Irqs.MANAGED_SHUTDOWN, desc.state & Irqs.STARTED, desc.isMasked]).toEqual([Irqs.MANAGED_SHUTDOWN, 0, true]);
    f.pulse(41);
    expect(handler.runs).toBe(0);
    run(f.host.cpuUp(2));
    f.settle();
    expect([desc.depth, desc.effectiveCpu, handler.runs]).toEqual([0, 2, 1]);
  });

  it("vector 28: no online CPU in the mask", () => {
    const f = new HostStage(version);
    f.request(f.edge, h());
    run(f.host.cpuDown(3));
    expect(run(f.host.setAffinity(f.edge, [3]))).toBe(-EINVAL);
    expect(run(f.host.setAffinity(f.edge, []))).toBe(-EINVAL);
  });

  it("a pending interrupt follows its new target, an active one stays", () => {
    const f = new HostStage(version);
    const handler = new Handler(function* () {
      yield* f.host.setAffinity(f.level, [1]);
      yield* f.host.disableIrqNosync(f.level);
    });
    f.request(f.level, handler);
    f.line(40, 1);
    expect(f.trace.lines("host_ack", "host_dir")).toEqual(["host_ack(0,40)", "host_dir(0,40)", "host_ack(1,40)", "host_dir(1,40)"]);
  });

  it("threads follow the effective CPU", () => {
    const f = new HostStage(version);
    const wake = new Handler(function* () {
      return IrqReturn.WAKE_THREAD;
    });
    const thread = { *thread(): Step<number> { return IrqReturn.HANDLED; } };
    run(f.host.requestThreadedIrq(f.edge, wake, thread, 0, "nic", f));
    run(f.host.setAffinity(f.edge, [3]));
    f.zero();
    f.pulse(41);
    expect(f.trace.lines("sched_switch")).toEqual([`sched_switch(3,irq/${f.edge}-nic)`, "sched_switch(3,idle)"]);
    expect([f.host.cpus[3].contextSwitches, f.host.cpus[3].wakeups]).toEqual([2, 1]);
  });
});

describe("trigger types", () => {
  it("vector 29: the GIC knows LEVEL_HIGH and EDGE_RISING for SPIs, EDGE_RISING for SGIs", () => {
    const f = new HostStage();
    const sgi = run(f.host.mapIrq(3, IrqType.EDGE_RISING));
    expect(run(f.host.setIrqType(f.level, IrqType.EDGE_FALLING))).toBe(-EINVAL);
    expect(run(f.host.setIrqType(f.level, IrqType.LEVEL_LOW))).toBe(-EINVAL);
    expect(run(f.host.setIrqType(sgi, IrqType.LEVEL_HIGH))).toBe(-EINVAL);
  });

  it("a PPI with the wrong type is a warning", () => {
    const f = new HostStage();
    const ppi = run(f.host.mapIrq(27, IrqType.LEVEL_LOW));
    expect([ppi > 0, f.host.irqs.lastWarning]).toEqual([true, "GIC: PPI11 is secure or misconfigured"]);
  });

  it("an SPI whose type does not fit is not mapped", () => {
    const f = new HostStage();
    expect(run(f.host.mapIrq(50, IrqType.LEVEL_LOW))).toBe(0);
    expect(run(f.host.mapIrq(40, IrqType.EDGE_RISING))).toBe(0);
    expect(run(f.host.mapIrq(40, IrqType.LEVEL_HIGH))).toBe(f.level);
  });
});

describe.each([2, 3] as const)("forwarding, GICv%i", (version) => {
  function forwarded(): HostStage {
    const f = new HostStage(version);
    f.request(f.level, h());
    expect(run(f.host.setIrqVcpuAffinity(f.level, f))).toBe(0);
    f.zero();
    f.line(40, 1);
    return f;
  }

  it("vector 30: only with EOImode 1, and not for SGIs", () => {
    const f = new HostStage(version);
    expect(run(f.host.setIrqVcpuAffinity(f.level, f))).toBe(0);
    expect(run(f.host.setIrqVcpuAffinity(run(f.host.mapIrq(3, IrqType.EDGE_RISING)), f))).toBe(-EINVAL);
    const noEl2 = new HostStage(version, 0);
    expect(run(noEl2.host.setIrqVcpuAffinity(noEl2.level, f))).toBe(-ENOSYS);
    expect(run(f.host.setIrqVcpuAffinity(99, f))).toBe(-EINVAL);
  });

  it("vector 31, K9: a forwarded interrupt is not deactivated and does not come again", () => {
    const f = forwarded();
    expect(f.trace.lines()).toEqual(["host_ack(0,40)", "host_eoi(0,40)", `irq_handler(${f.level},1)`]);
    expect([f.gic.isActive(0, 40), f.gic.isSignalled(0)]).toEqual([true, false]);
    expect(f.counts(f.level)).toBe("t1 k1 m0 u0");
  });

  it("K10: the host drops its priority, so that other interrupts come", () => {
    const f = forwarded();
    const other = h();
    f.request(f.edge, other);
    f.pulse(41);
    expect(other.runs).toBe(1);
  });

  it("vector 32: masking a forwarded interrupt deactivates it", () => {
    const f = forwarded();
    f.host.setUnlazy(f.level, true);
    run(f.host.disableIrqNosync(f.level));
    expect([f.gic.isEnabled(0, 40), f.gic.isActive(0, 40)]).toEqual([false, false]);
  });

  it("vector 33: deactivating it while the line is high makes it pending and taken again", () => {
    const f = forwarded();
    run(f.host.setIrqchipState(f.level, "active", false));
    f.settle();
    expect(f.counts(f.level)).toBe("t2 k2 m0 u0");
  });

  it("reads and writes the states that the chip has, and refuses LPIs", () => {
    const f = forwarded();
    expect(run(f.host.getIrqchipState(f.level, "active"))).toBe(1);
    expect(run(f.host.getIrqchipState(f.level, "pending"))).toBe(1);
    expect(run(f.host.getIrqchipState(f.level, "masked"))).toBe(0);
    expect(run(f.host.getIrqchipState(99, "masked"))).toBe(-EINVAL);
    const chip = f.desc(f.level).data.chip;
    const lpi = f.host.irqs.allocate(chip, 8192, 0);
    expect(run(f.host.getIrqchipState(lpi.irq, "active"))).toBe(-EINVAL);
  });
});

describe("per-CPU interrupts", () => {
  it("are enabled CPU by CPU, never lazily, and run the handler of the CPU that took them", () => {
    const f = new HostStage();
    const ppi = run(f.host.mapIrq(27, IrqType.LEVEL_HIGH));
    const lower = new Handler(function* () {
      yield* f.gic.setPpi(1, 27, false);
    });
    expect(run(f.host.requestIrq(ppi, lower, 0, "timer", f))).toBe(-EINVAL);
    expect(run(f.host.requestPercpuIrq(ppi, lower, "timer", f))).toBe(0);
    expect(run(f.host.requestPercpuIrq(ppi, lower, "timer", f))).toBe(-EBUSY);
    run(f.gic.setPpi(1, 27, true));
    f.settle();
    expect(lower.runs).toBe(0);
    f.sim.wake(new Thread("enable", "user", function* () {
      yield* f.host.setPercpuEnabled(ppi, true);
    }, 1), 0);
    f.settle();
    expect([lower.runs, Array.from(f.desc(ppi).taken), Array.from(f.desc(ppi).kstat)]).toEqual([1, [0, 1, 0, 0], [0, 1, 0, 0]]);
    expect(run(f.host.freePercpuIrq(ppi))).toBe(-EBUSY);
    f.sim.wake(new Thread("disable", "user", function* () {
      yield* f.host.setPercpuEnabled(ppi, false);
    }, 1), 0);
    f.settle();
    expect([f.gic.isEnabled(1, 27), run(f.host.freePercpuIrq(ppi))]).toEqual([false, 0]);
  });

  it("forwarded, stay active on their CPU only", () => {
    const f = new HostStage();
    const ppi = run(f.host.mapIrq(27, IrqType.LEVEL_HIGH));
    run(f.host.requestPercpuIrq(ppi, h(), "kvm guest vtimer", f));
    run(f.host.setIrqVcpuAffinity(ppi, f));
    run(f.host.setPercpuEnabled(ppi, true));
    run(f.gic.setPpi(0, 27, true));
    f.settle();
    expect([f.gic.isActive(0, 27), f.gic.isActive(1, 27), f.trace.lines("host_dir").length]).toEqual([true, false, 0]);
  });
});
