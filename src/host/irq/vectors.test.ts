import { describe, expect, it } from "vitest";
import { run, type Step } from "../../sim/step.js";
import { HostStage, Handler } from "../../explore/stages/host-stage.js";
import { NO_IRQ_CHIP } from "./chip.js";
import { Flow } from "./desc.js";
import { Irqf } from "./types.js";

// Vectors 1-12 of host-irq.md 8.1, and its counts 1.12 as far as the descriptor layer alone makes them.

function* nothing(): Step<void> {}

const disabler = (f: HostStage): Handler =>
  new Handler(function* (irq) {
    yield* f.host.disableIrqNosync(irq);
  });

const lowerer = (f: HostStage): Handler =>
  new Handler(function* () {
    yield* f.gic.setSpi(40, false);
  });

describe.each([
  [2, 1],
  [3, 1],
  [2, 0],
  [3, 0],
] as const)("GICv%i, EOImode %i", (version, eoiMode) => {
  it("vector 1: one level interrupt, lowered by its handler", () => {
    const f = new HostStage(version, eoiMode);
    expect(f.request(f.level, lowerer(f))).toBe(0);
    f.line(40, 1);
    expect(f.counts(f.level)).toBe("t1 k1 m0 u0");
    const ends = eoiMode === 1 ? ["host_eoi(0,40)", `irq_handler(${f.level},1)`, "host_dir(0,40)"] : [`irq_handler(${f.level},1)`, "host_eoi(0,40)"];
    expect(f.trace.lines()).toEqual(["host_ack(0,40)", ...ends]);
  });

  it("vector 2: a lazy disable in the handler is masked by the second shot", () => {
    const f = new HostStage(version, eoiMode);
    f.request(f.level, disabler(f));
    f.line(40, 1);
    expect(f.counts(f.level)).toBe("t2 k1 m1 u0");
    expect(f.desc(f.level).depth).toBe(1);
    expect([f.gic.isPending(0, 40), f.gic.isActive(0, 40), f.gic.isEnabled(0, 40)]).toEqual([true, false, false]);
  });

  it("vector 3: enabling after the line fell unmasks and resends nothing", () => {
    const f = new HostStage(version, eoiMode);
    const h = disabler(f);
    f.request(f.level, h);
    f.line(40, 1);
    f.zero();
    f.line(40, 0);
    run(f.host.enableIrq(f.level));
    f.settle();
    expect(f.counts(f.level)).toBe("t0 k0 m0 u1");
    expect(h.runs).toBe(1);
    expect(f.desc(f.level).isPending).toBe(false);
  });

  it("vector 4: enabling with the line high takes the interrupt again at once", () => {
    const f = new HostStage(version, eoiMode);
    f.request(f.level, disabler(f));
    f.line(40, 1);
    run(f.host.enableIrq(f.level));
    f.settle();
    expect(f.counts(f.level)).toBe("t4 k2 m2 u1");
  });

  it("vector 5: disabling and enabling an idle line touches no chip", () => {
    const f = new HostStage(version, eoiMode);
    f.request(f.level, new Handler(nothing));
    run(f.host.disableIrq(f.level));
    run(f.host.enableIrq(f.level));
    expect(f.counts(f.level)).toBe("t0 k0 m0 u0");
  });

  it("vector 6: disabling nests", () => {
    const f = new HostStage(version, eoiMode);
    const h = lowerer(f);
    f.request(f.level, h);
    run(f.host.disableIrq(f.level));
    run(f.host.disableIrq(f.level));
    run(f.host.enableIrq(f.level));
    f.line(40, 1);
    expect(f.counts(f.level)).toBe("t1 k0 m1 u0");
    expect(f.desc(f.level).depth).toBe(1);
    run(f.host.enableIrq(f.level));
    f.settle();
    expect(f.counts(f.level)).toBe("t2 k1 m1 u1");
    expect(h.runs).toBe(1);
  });

  it("vector 7: an unbalanced enable is a warning and nothing else", () => {
    const f = new HostStage(version, eoiMode);
    f.request(f.level, new Handler(nothing));
    run(f.host.enableIrq(f.level));
    expect(f.host.irqs.lastWarning).toBe(`Unbalanced enable for IRQ ${f.level}`);
    expect(f.desc(f.level).depth).toBe(0);
    expect(f.counts(f.level)).toBe("t0 k0 m0 u0");
  });

  it("vector 8: edges that come while disabled run the handler once", () => {
    const f = new HostStage(version, eoiMode);
    const h = new Handler(nothing);
    f.request(f.edge, h);
    run(f.host.disableIrq(f.edge));
    for (let i = 0; i < 3; i++) f.pulse(41);
    expect(f.counts(f.edge)).toBe("t1 k0 m1 u0");
    run(f.host.enableIrq(f.edge));
    f.settle();
    expect(f.counts(f.edge)).toBe("t2 k1 m1 u1");
    expect(h.runs).toBe(1);
  });

  it("vector 9: without an edge in between, enabling resends nothing", () => {
    const f = new HostStage(version, eoiMode);
    f.request(f.edge, new Handler(nothing));
    run(f.host.disableIrq(f.edge));
    run(f.host.enableIrq(f.edge));
    f.settle();
    expect(f.counts(f.edge)).toBe("t0 k0 m0 u0");
    expect(f.trace.lines("irq_resend")).toEqual([]);
  });

  it("vector 10: DISABLE_UNLAZY masks in the handler, so that there is no second shot", () => {
    const f = new HostStage(version, eoiMode);
    f.host.setUnlazy(f.level, true);
    f.request(f.level, disabler(f));
    f.line(40, 1);
    expect(f.counts(f.level)).toBe("t1 k1 m1 u0");
  });

  it("vector 11: DISABLE_UNLAZY masks an idle line too", () => {
    const f = new HostStage(version, eoiMode);
    f.host.setUnlazy(f.level, true);
    f.request(f.level, new Handler(nothing));
    run(f.host.disableIrq(f.level));
    run(f.host.enableIrq(f.level));
    expect(f.counts(f.level)).toBe("t0 k0 m1 u1");
  });

  it("vector 12: a line requested with NO_AUTOEN stays quiet until it is enabled", () => {
    const f = new HostStage(version, eoiMode);
    const h = lowerer(f);
    f.request(f.level, h, Irqf.NO_AUTOEN);
    f.line(40, 1);
    expect([h.runs, f.desc(f.level).depth]).toEqual([0, 1]);
    run(f.host.enableIrq(f.level));
    f.settle();
    expect(f.counts(f.level)).toBe("t1 k1 m0 u1");
  });
});

describe("numbers of host interrupts", () => {
  it("begin at 1, are used again lowest first, and 0 is never one, whatever is freed", () => {
    const { irqs } = new HostStage(3, 1).host;
    const made = [0, 1, 2].map((hwirq) => irqs.allocate(NO_IRQ_CHIP, hwirq, Flow.FASTEOI).irq);
    irqs.free(0);
    irqs.free(9999);
    irqs.free(made[1]);
    irqs.free(made[0]);
    expect([made[0], irqs.get(0)]).toEqual([Math.max(1, made[0]), null]);
    expect([0, 1, 2].map((hwirq) => irqs.allocate(NO_IRQ_CHIP, hwirq, Flow.FASTEOI).irq)).toEqual([made[0], made[1], made[2] + 1]);
  });
});
