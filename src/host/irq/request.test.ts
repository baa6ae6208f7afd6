import { describe, expect, it } from "vitest";
import { reads } from "../../sim/access.js";
import { type Context, setCurrent } from "../../sim/context.js";
import { Deadlock } from "../../sim/sim.js";
import { run, STRAIGHT, type Step } from "../../sim/step.js";
import { EBUSY, EINVAL, ENOSYS, ENOTCONN } from "../../uapi/errno.js";
import { HostStage, Handler } from "../../explore/stages/host-stage.js";
import { Thread as UserThread } from "../../explore/stages/threads.js";
import { NO_IRQ_CHIP } from "./chip.js";
import { Flow } from "./desc.js";
import { IRQ_NOTCONNECTED } from "./request.js";
import { type IrqThreadAction, Irqf, IrqReturn } from "./types.js";
import { MsiChip } from "../msi.js";

// Vectors 13-20 of host-irq.md 8.1: request, threads, free.

function* nothing(): Step<void> {}
const h = (): Handler => new Handler(nothing);
const waker = (): Handler =>
  new Handler(function* () {
    return IrqReturn.WAKE_THREAD;
  });

class Thread implements IrqThreadAction {
  runs = 0;
  constructor(private readonly what: () => Step<void>) {}
  *thread(): Step<number> {
    this.runs++;
    yield* this.what();
    return IrqReturn.HANDLED;
  }
}

describe("request_irq", () => {
  it("vector 13: a sharer meets a line that is not shared", () => {
    const f = new HostStage();
    expect(f.request(f.level, h(), Irqf.SHARED)).toBe(0);
    expect(f.request(f.level, h())).toBe(-EBUSY);
    expect(f.host.irqs.lastWarning).toContain("Flags mismatch");
  });

  it("vector 14: sharers disagree about the trigger, or about ONESHOT", () => {
    const f = new HostStage();
    expect(f.request(f.level, h(), Irqf.SHARED | Irqf.TRIGGER_HIGH)).toBe(0);
    expect(f.request(f.level, h(), Irqf.SHARED | Irqf.TRIGGER_RISING)).toBe(-EBUSY);
    expect(f.request(f.level, h(), Irqf.SHARED | Irqf.ONESHOT)).toBe(-EBUSY);
  });

  it("is silent about a mismatch with PROBE_SHARED", () => {
    const f = new HostStage();
    f.request(f.level, h(), Irqf.SHARED);
    expect(f.request(f.level, h(), Irqf.PROBE_SHARED)).toBe(-EBUSY);
    expect(f.host.irqs.warnings).toBe(0);
  });

  it("vector 15: SHARED without a device, SHARED with NO_AUTOEN, and no handler at all", () => {
    const f = new HostStage();
    expect(run(f.host.requestIrq(f.level, h(), Irqf.SHARED, "test", null))).toBe(-EINVAL);
    expect(f.request(f.level, h(), Irqf.SHARED | Irqf.NO_AUTOEN)).toBe(-EINVAL);
    expect(run(f.host.requestThreadedIrq(f.level, null, null, 0, "test", f))).toBe(-EINVAL);
  });

  it("checks in the kernel's order: connection, flags, descriptor, handler, chip", () => {
    const f = new HostStage();
    expect(run(f.host.requestIrq(IRQ_NOTCONNECTED, h(), Irqf.SHARED, "test", null))).toBe(-ENOTCONN);
    expect(run(f.host.requestIrq(99, h(), 0, "test", f))).toBe(-EINVAL);
    const nowhere = f.host.irqs.allocate(NO_IRQ_CHIP, 0, Flow.FASTEOI);
    expect(run(f.host.requestThreadedIrq(nowhere.irq, null, null, 0, "test", f))).toBe(-EINVAL);
    expect(run(f.host.requestIrq(nowhere.irq, h(), 0, "test", f))).toBe(-ENOSYS);
  });

  it("vector 16: a thread alone needs ONESHOT, except on a message-signalled interrupt", () => {
    const f = new HostStage();
    const thread = new Thread(nothing);
    expect(run(f.host.requestThreadedIrq(f.level, null, thread, 0, "test", f))).toBe(-EINVAL);
    const device = { name: "nic", deviceId: 1, *writeMessage(): Step<void> {}, *setMasked(): Step<void> {} };
    const chip = new MsiChip(device, NO_IRQ_CHIP, 0x1000, (n) => n);
    const msi = f.host.irqs.allocate(chip, 0, Flow.FASTEOI);
    expect(run(f.host.requestThreadedIrq(msi.irq, null, thread, 0, "test", f))).toBe(0);
  });

  it("refuses a trigger that the chip does not have, and leaves the line as it was", () => {
    const f = new HostStage();
    expect(f.request(f.level, h(), Irqf.TRIGGER_LOW)).toBe(-EINVAL);
    expect(f.request(f.level, h())).toBe(0);
  });
});

describe("threaded handlers", () => {
  it("vector 17: ONESHOT masks before the handler, ends the interrupt, and unmasks after the thread", () => {
    const f = new HostStage();
    const thread = new Thread(function* () {
      yield* f.gic.setSpi(40, false);
    });
    expect(run(f.host.requestThreadedIrq(f.level, waker(), thread, Irqf.ONESHOT, "nic", f))).toBe(0);
    f.zero();
    f.line(40, 1);
    expect(f.counts(f.level)).toBe("t1 k1 m1 u1");
    const irq = f.level;
    expect(f.trace.lines("host_ack", "host_eoi", "host_dir", "irq_mask", "irq_unmask", "irq_handler", "sched_wakeup")).toEqual([
      "host_ack(0,40)",
      "host_eoi(0,40)",
      `irq_mask(${irq})`,
      `irq_handler(${irq},2)`,
      `sched_wakeup(irq/${irq}-nic,worker)`,
      "host_dir(0,40)",
      `irq_unmask(${irq})`,
    ]);
    expect(thread.runs).toBe(1);
  });

  it("vector 18: a shared ONESHOT line opens with the last of its threads", () => {
    const f = new HostStage();
    const maskedAfter: boolean[] = [];
    const first = new Thread(nothing);
    const second = new Thread(function* () {
      maskedAfter.push(f.trace.lines("irq_unmask").length === 0);
      yield* f.gic.setSpi(40, false);
    });
    for (const thread of [first, second])
      run(f.host.requestThreadedIrq(f.level, waker(), thread, Irqf.ONESHOT | Irqf.SHARED, "nic", thread));
    f.zero();
    f.line(40, 1);
    expect([first.runs, second.runs]).toEqual([1, 1]);
    expect(maskedAfter).toEqual([true]);
    expect(f.counts(f.level)).toBe("t1 k1 m1 u1");
  });

  it("warns when a handler wakes a thread that does not exist", () => {
    const f = new HostStage();
    f.request(f.edge, waker());
    f.pulse(41);
    expect(f.host.irqs.lastWarning).toContain("no thread function available");
  });

  it("is waited for by synchronize_irq", () => {
    const f = new HostStage();
    const thread = new Thread(function* () {
      yield* f.gic.setSpi(40, false);
    });
    run(f.host.requestThreadedIrq(f.level, waker(), thread, Irqf.ONESHOT, "nic", f));
    run(f.gic.setSpi(40, true));
    run(f.host.cpus[0].takeInterrupts());
    expect([thread.runs, f.desc(f.level).threadsActive]).toEqual([0, 1]);
    run(f.host.synchronizeIrq(f.level));
    expect([thread.runs, f.desc(f.level).threadsActive]).toEqual([1, 0]);
  });
});

/** Advances a step of one context by one access. */
function advance(context: Context, step: Step<unknown>): boolean {
  const before = setCurrent(context.task);
  const { done } = step.next();
  setCurrent(before);
  return done === true;
}

describe("free_irq", () => {
  it.skipIf(STRAIGHT)("vector 19: free on one CPU waits for the handler that runs on another; only interleaving can show it", () => {
    const f = new HostStage();
    const where = { isInside: false };
    const slow = new Handler(function* () {
      where.isInside = true;
      yield reads(f, "trace");
      where.isInside = false;
    });
    f.request(f.level, slow, 0, f);
    run(f.gic.setSpi(40, true));
    const cpu0 = f.host.cpus[0];
    const cpu1 = new UserThread("rmmod", "user", nothing, 1);
    f.sim.explored = true;
    const handling = cpu0.takeInterrupts();
    while (!where.isInside) expect(advance(cpu0, handling)).toBe(false);
    const freeing = f.host.freeIrq(f.level, f);
    for (let i = 0; i < 100; i++) expect(advance(cpu1, freeing)).toBe(false);
    expect([f.desc(f.level).isDisabled, f.desc(f.level).isMasked]).toEqual([true, true]);
    while (!advance(cpu0, handling)) expect(f.desc(f.level).actions).toBeNull();
    expect(slow.runs).toBe(1);
    let steps = 0;
    while (!advance(cpu1, freeing)) expect(++steps).toBeLessThan(100);
    f.sim.explored = false;
  });

  it("vector 19: free masks for real, and no handler runs any more", () => {
    const f = new HostStage();
    const handler = h();
    f.host.setUnlazy(f.level, true);
    f.request(f.level, handler, 0, f);
    expect(run(f.host.freeIrq(f.level, f))).toBe(handler);
    expect([f.desc(f.level).isDisabled, f.desc(f.level).isMasked, f.gic.isEnabled(0, 40)]).toEqual([true, true, false]);
    f.line(40, 1);
    expect([handler.runs, f.desc(f.level).settings]).toEqual([0, 0]);
  });

  it("vector 20: an unknown device is a warning, null, and no change", () => {
    const f = new HostStage();
    const handler = h();
    f.request(f.edge, handler);
    expect(run(f.host.freeIrq(f.edge, f))).toBeNull();
    expect(f.host.irqs.lastWarning).toContain("already-free");
    f.pulse(41);
    expect(handler.runs).toBe(1);
  });

  it("stops the thread after its pending round", () => {
    const f = new HostStage();
    const thread = new Thread(function* () {
      yield* f.gic.setSpi(40, false);
    });
    run(f.host.requestThreadedIrq(f.level, waker(), thread, Irqf.ONESHOT, "nic", f));
    run(f.gic.setSpi(40, true));
    run(f.host.cpus[0].takeInterrupts());
    run(f.host.freeIrq(f.level, f));
    expect([thread.runs, f.desc(f.level).threadsOneshot, f.desc(f.level).isMasked]).toEqual([1, 0, true]);
  });

  it("from its own handler is reported, not endured", () => {
    const f = new HostStage();
    f.request(f.edge, new Handler(function* () {
      yield* f.host.freeIrq(f.edge, f);
    }), 0, f);
    expect(() => f.pulse(41)).toThrow(Deadlock);
    expect(f.host.irqs.lastWarning).toContain("from IRQ context");
  });
});
