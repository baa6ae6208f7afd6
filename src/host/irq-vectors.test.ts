import { describe, expect, it } from "vitest";
import { run, type Step } from "../sim/step.js";
import { Fixture, Handler } from "./irq.fixture.js";

function* nothing(): Step<void> {}

describe.each([2, 3] as const)("GICv%i, EOImode 1", (version) => {
  it("vector 1: one level interrupt, lowered by its handler", () => {
    const f = new Fixture(version);
    const h = new Handler(function* () {
      yield* f.gic.setSpi(40, false);
    });
    expect(f.request(f.level, h)).toBe(0);
    f.line(40, 1);
    expect(f.counts(f.level)).toBe("t1 k1 m0 u0");
    expect(f.trace.lines()).toEqual(["host_ack(0,40)", "host_eoi(0,40)", `irq_handler(${f.level},1)`, "host_dir(0,40)"]);
  });

  it("vector 2: a lazy disable in the handler is masked by the second shot", () => {
    const f = new Fixture(version);
    const h = new Handler(function* (irq) {
      yield* f.host.disableIrqNosync(irq);
    });
    f.request(f.level, h);
    f.line(40, 1);
    expect(f.counts(f.level)).toBe("t2 k1 m1 u0");
    expect(f.desc(f.level).depth).toBe(1);
    expect([f.gic.isPending(0, 40), f.gic.isActive(0, 40), f.gic.isEnabled(0, 40)]).toEqual([true, false, false]);
  });

  it("vector 8: edges that come while disabled run the handler once", () => {
    const f = new Fixture(version);
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
});
