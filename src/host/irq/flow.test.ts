import { describe, expect, it } from "vitest";
import { run, type Step } from "../../sim/step.js";
import { EBUSY } from "../../uapi/errno.js";
import { HostStage, Handler } from "../../explore/stages/host-stage.js";
import type { IrqChip } from "./chip.js";
import { Flow, type IrqDesc, IrqSetting, Irqs } from "./desc.js";
import { handleIrq } from "./flow.js";
import { checkResend } from "./state.js";
import { IrqType } from "./types.js";

// The flows that no GIC uses, and resends (host-irq.md 1.3, 1.4), on a chip that writes down what it is told.

class Notebook implements IrqChip {
  readonly name = "notebook";
  readonly isOneshotSafe = false;
  readonly eoiAfterThread = false;
  readonly allowsSoftwareResend = true;
  log: string[] = [];
  *mask(): Step<void> {
    this.log.push("mask");
  }
  *unmask(): Step<void> {
    this.log.push("unmask");
  }
  *ack(): Step<void> {
    this.log.push("ack");
  }
  *eoi(): Step<void> {
    this.log.push("eoi");
  }
}

function line(flow: Flow, type: number, what: (line: Line) => Step<void>): Line {
  const f = new HostStage();
  const chip = new Notebook();
  const desc = f.host.irqs.allocate(chip, 7, flow);
  run(f.host.setIrqType(desc.irq, type));
  const made: Line = { f, chip, desc, handler: new Handler(() => what(made)) };
  run(f.host.requestIrq(desc.irq, made.handler, 0, "test", f));
  chip.log.length = 0;
  return made;
}

interface Line {
  f: HostStage;
  chip: Notebook;
  desc: IrqDesc;
  handler: Handler;
}

function* note({ chip }: Line): Step<void> {
  chip.log.push("handler");
}

describe("level flow", () => {
  it("masks and acknowledges around the handler", () => {
    const l = line(Flow.LEVEL, IrqType.LEVEL_HIGH, note);
    run(handleIrq(l.desc));
    expect(l.chip.log).toEqual(["mask", "ack", "handler", "unmask"]);
  });

  it("leaves a disabled line masked", () => {
    const l = line(Flow.LEVEL, IrqType.LEVEL_HIGH, note);
    run(l.f.host.disableIrq(l.desc.irq));
    run(handleIrq(l.desc));
    expect([l.chip.log, l.desc.counts().kstat]).toEqual([["mask", "ack"], 0]);
    run(l.f.host.enableIrq(l.desc.irq));
    l.f.settle();
    expect([l.chip.log.at(-1), l.handler.runs]).toEqual(["unmask", 0]);
  });
});

describe("edge flow", () => {
  it("acknowledges first, so that the next edge can come", () => {
    const l = line(Flow.EDGE, IrqType.EDGE_RISING, note);
    run(handleIrq(l.desc));
    expect(l.chip.log).toEqual(["ack", "handler"]);
  });

  it("handles an edge that comes during the handler in another round, masked in between", () => {
    const l = line(Flow.EDGE, IrqType.EDGE_RISING, function* (self) {
      self.chip.log.push("handler");
      if (self.handler.runs === 1) yield* handleIrq(self.desc);
    });
    run(handleIrq(l.desc));
    expect(l.chip.log).toEqual(["ack", "handler", "mask", "ack", "unmask", "handler"]);
    expect(l.desc.isPending).toBe(false);
  });

  it("a chip that cannot retrigger gets its edge again by the tasklet, and not after a free", () => {
    const l = line(Flow.EDGE, IrqType.EDGE_RISING, note);
    const { host } = l.f;
    const missAndEnable = (): void => {
      run(host.disableIrqNosync(l.desc.irq));
      run(handleIrq(l.desc));
      run(host.enableIrq(l.desc.irq));
    };
    missAndEnable();
    expect(l.handler.runs).toBe(0);
    l.f.settle();
    expect([l.handler.runs, l.desc.state & Irqs.REPLAY]).toEqual([1, 0]);
    missAndEnable();
    run(host.freeIrq(l.desc.irq, l.f));
    l.chip.log.length = 0;
    l.f.settle();
    expect([l.handler.runs, l.chip.log]).toEqual([1, []]);
  });
});

describe("fasteoi flow", () => {
  it.each([true, false])("K21: an arrival while the handler runs elsewhere is sent again only with RESEND_WHEN_IN_PROGRESS (%s)", (isKept) => {
    const l = line(Flow.FASTEOI, IrqType.EDGE_RISING, function* (self) {
      if (self.handler.runs === 1) yield* handleIrq(self.desc);
    });
    if (isKept) l.desc.settings |= IrqSetting.RESEND_WHEN_IN_PROGRESS;
    run(handleIrq(l.desc));
    l.f.settle();
    expect([l.handler.runs, l.chip.log.length]).toEqual(isKept ? [2, 3] : [1, 2]);
  });
});

it("K4: a resend that has not arrived keeps a second one away", () => {
  const l = line(Flow.EDGE, IrqType.EDGE_RISING, note);
  run(l.desc.lock.lock());
  l.desc.state |= Irqs.PENDING | Irqs.REPLAY;
  expect(run(checkResend(l.desc))).toBe(-EBUSY);
  expect(l.desc.isPending).toBe(true);
  run(l.desc.lock.unlock());
  l.f.settle();
  expect(l.handler.runs).toBe(0);
});
