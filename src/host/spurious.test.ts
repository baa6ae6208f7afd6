import { describe, expect, it } from "vitest";
import { run, STRAIGHT, type Step } from "../sim/step.js";
import { HostStage, Handler } from "../explore/stages/host-stage.js";
import { Irqs } from "./irq/desc.js";
import { Irqf, IrqReturn, type IrqThreadAction } from "./irq/types.js";
import { noteInterrupt } from "./spurious.js";

// Vectors 21-25 of host-irq.md 8.1 and hazards K19, K20.

const MS = 1e6;

/** Answers what the test says and lowers the line. */
function answering(f: HostStage, answer: () => number): Handler {
  return new Handler(function* () {
    yield* f.gic.setSpi(40, false);
    return answer();
  });
}

function interrupts(f: HostStage, times: number, spacingNs: number): void {
  for (let i = 0; i < times; i++) {
    f.sim.spend(spacingNs);
    run(f.gic.setSpi(40, true));
    run(f.sim.settle());
  }
}

function untraced(): HostStage {
  const f = new HostStage();
  f.sim.traceTo(null);
  return f;
}

describe("note_interrupt", () => {
  it("vector 21: 99,901 unhandled of 100,000 disable the line", () => {
    const f = untraced();
    let answer = IrqReturn.NONE;
    const h = answering(f, () => answer);
    f.request(f.level, h);
    interrupts(f, 99_901, MS);
    answer = IrqReturn.HANDLED;
    interrupts(f, 98, MS);
    const desc = f.desc(f.level);
    expect(desc.isDisabled).toBe(false);
    interrupts(f, 1, MS);
    expect(f.host.irqs.lastWarning).toBe(`irq ${f.level}: nobody cared`);
    expect([desc.isDisabled, desc.depth, (desc.state & Irqs.SPURIOUS_DISABLED) !== 0, desc.isMasked]).toEqual([true, 1, true, false]);
    expect([desc.irqCount, desc.irqsUnhandled]).toEqual([0, 0]);
    f.zero();
    f.line(40, 1);
    expect(f.counts(f.level)).toBe("t1 k0 m1 u0");
    expect(h.runs).toBe(100_000);
  });

  it("vector 22: 99,900 unhandled are tolerated, and the counters restart", () => {
    const f = untraced();
    let answer = IrqReturn.NONE;
    f.request(f.level, answering(f, () => answer));
    interrupts(f, 99_900, MS);
    answer = IrqReturn.HANDLED;
    interrupts(f, 100, MS);
    const desc = f.desc(f.level);
    expect([desc.isDisabled, desc.irqCount, desc.irqsUnhandled]).toEqual([false, 0, 0]);
  });

  it("vector 23, K20: unhandled interrupts 200 ms apart never add up", () => {
    const f = untraced();
    f.request(f.level, answering(f, () => IrqReturn.NONE));
    const desc = f.desc(f.level);
    interrupts(f, 1000, 200 * MS);
    for (let i = 0; i < 199_000; i++) {
      f.sim.spend(200 * MS);
      run(noteInterrupt(desc, IrqReturn.NONE));
      if (desc.irqsUnhandled > 1) break;
    }
    expect([desc.irqsUnhandled <= 1, desc.isDisabled]).toEqual([true, false]);
  });

  it("K20: the gap is measured from the last unhandled one, and 100 ms still count", () => {
    const f = untraced();
    f.request(f.level, answering(f, () => IrqReturn.NONE));
    interrupts(f, 3, 100 * MS);
    expect(f.desc(f.level).irqsUnhandled).toBe(3);
    interrupts(f, 1, 100 * MS + 1);
    expect(f.desc(f.level).irqsUnhandled).toBe(1);
  });

  it("vector 24: handled interrupts do not count while none is unhandled", () => {
    const f = untraced();
    let answer = IrqReturn.HANDLED;
    f.request(f.level, answering(f, () => answer));
    const desc = f.desc(f.level);
    const whole = STRAIGHT ? 1_000_050 : 50;
    interrupts(f, whole, 1000);
    for (let i = whole; i < 1_000_050; i++) run(noteInterrupt(desc, IrqReturn.HANDLED));
    answer = IrqReturn.NONE;
    interrupts(f, 1, 1000);
    expect([desc.irqCount, desc.irqsUnhandled]).toEqual([1, 1]);
  });

  it("vector 25: a second sharer gives a disabled line one more chance", () => {
    const f = untraced();
    const h = answering(f, () => IrqReturn.NONE);
    f.request(f.level, h, Irqf.SHARED);
    const desc = f.desc(f.level);
    desc.irqCount = 99_999;
    desc.irqsUnhandled = 99_900;
    interrupts(f, 1, MS);
    expect(desc.depth).toBe(1);
    expect(f.request(f.level, answering(f, () => IrqReturn.HANDLED), Irqf.SHARED)).toBe(0);
    expect([desc.depth, desc.isDisabled, desc.state & Irqs.SPURIOUS_DISABLED, desc.irqCount, desc.irqsUnhandled]).toEqual([0, false, 0, 0, 0]);
    interrupts(f, 1, MS);
    expect(h.runs).toBe(2);
  });

  it("K19: a stuck sharer disables the line for both; polling serves them every 100 ms and never enables it", () => {
    const f = untraced();
    let answer = IrqReturn.NONE;
    const mine = new Handler(function* () {
      return answer;
    });
    const other = answering(f, () => IrqReturn.NONE);
    f.request(f.level, mine, Irqf.SHARED);
    f.request(f.level, other, Irqf.SHARED);
    const desc = f.desc(f.level);
    desc.irqCount = 99_999;
    desc.irqsUnhandled = 99_900;
    run(f.gic.setSpi(40, true));
    const start = f.sim.now();
    run(f.sim.runUntil(start + 50 * MS));
    expect([mine.runs, desc.isDisabled]).toEqual([1, true]);
    answer = IrqReturn.HANDLED;
    run(f.sim.runUntil(start + 350 * MS));
    expect([mine.runs, other.runs, desc.isDisabled, desc.irqCount]).toEqual([4, 4, true, 0]);
    run(f.host.freeIrq(f.level, other));
    run(f.sim.settle());
    expect(f.sim.isQuiet()).toBe(true);
  });

  it("does not poll an exclusive line", () => {
    const f = untraced();
    const h = answering(f, () => IrqReturn.NONE);
    f.request(f.level, h);
    f.desc(f.level).irqCount = 99_999;
    f.desc(f.level).irqsUnhandled = 99_900;
    interrupts(f, 1, MS);
    expect([h.runs, f.sim.isQuiet()]).toEqual([1, true]);
  });

  it("reports a bogus return value and counts nothing", () => {
    const f = untraced();
    f.request(f.level, answering(f, () => 7));
    interrupts(f, 1, MS);
    expect([f.host.irqs.lastWarning, f.desc(f.level).irqsUnhandled]).toEqual([`irq event ${f.level}: bogus return value 7`, 0]);
  });

  it("judges a thread's work one interrupt late", () => {
    const f = untraced();
    const desc = f.desc(f.level);
    const verdicts: number[] = [];
    const thread = new Idler();
    const wake = answering(f, () => IrqReturn.WAKE_THREAD);
    run(f.host.requestThreadedIrq(f.level, wake, thread, Irqf.ONESHOT, "nic", f));
    for (const works of [true, false, false]) {
      thread.answer = works ? IrqReturn.HANDLED : IrqReturn.NONE;
      interrupts(f, 1, MS);
      verdicts.push(desc.irqsUnhandled);
    }
    interrupts(f, 1, MS);
    expect([...verdicts, desc.irqsUnhandled]).toEqual([0, 0, 1, 2]);
  });
});

class Idler implements IrqThreadAction {
  answer: number = IrqReturn.NONE;
  *thread(): Step<number> {
    return this.answer;
  }
}
