import { describe, expect, it } from "vitest";
import { EdgeDevice, LevelDevice } from "../../device/line-device.js";
import { Deadlock } from "../../sim/sim.js";
import { run, type Step } from "../../sim/step.js";
import { GicEdgeInput, GicLevelInput } from "../gic-input.js";
import { HostStage, Handler } from "../../explore/stages/host-stage.js";
import { type IrqAction, Irqf, IrqReturn } from "./types.js";

// What automask costs (host-irq.md 1.12) with handlers that behave as VFIO's do, and the hazards around it.
//
// Vectors of host-irq.md 8 in this folder: 1-12 irq-vectors, 13-20 irq-request, 21-25 spurious, 26-33 irq-affinity,
// 43 and 59-60 mbigen, 57-58 v2m, 61 (the host's half) cpu; 44-56 are the physical GIC's own.
// Waiting for what they need: 34-38, 41-42 (VFIO platform and a vCPU), 39-40 (VFIO PCI), 43's guest half (an ITS).

/** VFIO's automasked handler and its unmask. `masked` is VFIO's own flag: not depth, not MASKED (K6). */
class Automask implements IrqAction {
  masked = false;
  signals = 0;
  constructor(
    private readonly f: HostStage,
    private readonly irq: number,
  ) {}
  *handler(): Step<number> {
    if (this.masked) return IrqReturn.NONE;
    yield* this.f.host.disableIrqNosync(this.irq);
    this.masked = true;
    this.signals++;
    return IrqReturn.HANDLED;
  }
  mask(): void {
    if (this.masked) return;
    run(this.f.host.disableIrqNosync(this.irq));
    this.masked = true;
  }
  unmask(): void {
    if (!this.masked) return;
    this.masked = false;
    run(this.f.host.enableIrq(this.irq));
    this.f.settle();
  }
}

function levelLine(version: 2 | 3, eoiMode: 0 | 1 = 1): { f: HostStage; device: LevelDevice; vfio: Automask } {
  const f = new HostStage(version, eoiMode);
  const device = new LevelDevice(f.sim, "nic", new GicLevelInput(f.gic, 40));
  return { f, device, vfio: new Automask(f, f.level) };
}

function raise(f: HostStage, device: LevelDevice | EdgeDevice): void {
  run(device.raise());
  f.settle();
}

describe.each([
  [2, 1],
  [3, 1],
  [3, 0],
] as const)("one guest interrupt, GICv%i, EOImode %i", (version, eoiMode) => {
  it("case L, K1: lazily disabled, two interrupts are taken and one is counted", () => {
    const { f, device, vfio } = levelLine(version, eoiMode);
    f.request(f.level, vfio);
    raise(f, device);
    run(device.service());
    vfio.unmask();
    expect(f.counts(f.level)).toBe("t2 k1 m1 u1");
    expect([vfio.signals, device.counts]).toEqual([1, { raised: 1, delivered: 1, coalesced: 0, lost: 0, spurious: 0 }]);
  });

  it("with DISABLE_UNLAZY one is taken, still masked and unmasked", () => {
    const { f, device, vfio } = levelLine(version, eoiMode);
    f.host.setUnlazy(f.level, true);
    f.request(f.level, vfio);
    raise(f, device);
    run(device.service());
    vfio.unmask();
    expect(f.counts(f.level)).toBe("t1 k1 m1 u1");
  });

  it("a handler that silences the device itself (DisINTx) costs one and no mask", () => {
    const { f, device } = levelLine(version, eoiMode);
    f.request(f.level, new Handler(function* () {
      yield* device.service();
    }));
    raise(f, device);
    expect(f.counts(f.level)).toBe("t1 k1 m0 u0");
  });

  it("an edge costs one and no mask", () => {
    const f = new HostStage(version, eoiMode);
    const device = new EdgeDevice(f.sim, "timer", new GicEdgeInput(f.gic, 41));
    f.request(f.edge, new Handler(function* () {
      yield* device.service();
    }));
    raise(f, device);
    expect(f.counts(f.edge)).toBe("t1 k1 m0 u0");
  });

  it("500 level interrupts cost 1000/500/500/500", () => {
    const { f, device, vfio } = levelLine(version, eoiMode);
    f.request(f.level, vfio);
    for (let i = 0; i < 500; i++) {
      raise(f, device);
      run(device.service());
      vfio.unmask();
    }
    expect(f.counts(f.level)).toBe("t1000 k500 m500 u500");
  });

  it("a guest that ends the interrupt without serving the device gets it again", () => {
    const { f, device, vfio } = levelLine(version, eoiMode);
    f.request(f.level, vfio);
    raise(f, device);
    vfio.unmask();
    expect([f.counts(f.level), vfio.signals]).toEqual(["t4 k2 m2 u1", 2]);
  });

  it("a MASK on the idle line writes nothing; the interrupt that comes is taken, masked, and signalled at UNMASK", () => {
    const { f, device, vfio } = levelLine(version, eoiMode);
    f.request(f.level, vfio);
    vfio.mask();
    expect(f.counts(f.level)).toBe("t0 k0 m0 u0");
    raise(f, device);
    expect([f.counts(f.level), vfio.signals]).toEqual(["t1 k0 m1 u0", 0]);
    vfio.unmask();
    expect([f.counts(f.level), vfio.signals]).toEqual(["t3 k1 m2 u1", 1]);
  });
});

describe("forwarded level", () => {
  it.each([2, 3] as const)("GICv%i: one is taken, nothing masked; the guest's end lets the next come", (version) => {
    const { f, device } = levelLine(version);
    f.request(f.level, new Handler(function* () {}));
    run(f.host.setIrqVcpuAffinity(f.level, f));
    raise(f, device);
    run(device.service());
    run(f.gic.setActive(0, 40, false));
    f.settle();
    expect(f.counts(f.level)).toBe("t1 k1 m0 u0");
    raise(f, device);
    expect(f.counts(f.level)).toBe("t2 k2 m0 u0");
  });
});

describe("hazards", () => {
  it("K2: PENDING of a level line is dropped at enable, so that nothing is sent again", () => {
    const { f, device, vfio } = levelLine(3);
    f.request(f.level, vfio);
    raise(f, device);
    expect(f.desc(f.level).isPending).toBe(true);
    run(device.service());
    vfio.unmask();
    expect([f.desc(f.level).isPending, f.trace.lines("irq_resend"), vfio.signals]).toEqual([false, [], 1]);
  });

  it("K3: an edge that came while masked is sent again, once", () => {
    const f = new HostStage();
    const device = new EdgeDevice(f.sim, "timer", new GicEdgeInput(f.gic, 41));
    const vfio = new Automask(f, f.edge);
    f.request(f.edge, vfio);
    vfio.mask();
    for (let i = 0; i < 3; i++) raise(f, device);
    vfio.unmask();
    expect([vfio.signals, f.trace.lines("irq_resend")]).toEqual([1, [`irq_resend(${f.edge},retrigger)`]]);
  });

  it("K4: while a resend is on its way there is no second", () => {
    const f = new HostStage();
    const h = new Handler(function* () {});
    f.request(f.edge, h);
    run(f.host.disableIrq(f.edge));
    f.pulse(41);
    for (let i = 0; i < 2; i++) {
      run(f.host.enableIrq(f.edge));
      run(f.host.disableIrqNosync(f.edge));
    }
    run(f.host.enableIrq(f.edge));
    f.settle();
    expect([h.runs, f.trace.lines("irq_resend").length]).toEqual([1, 1]);
  });

  it("K5: enabled before the second shot, that shot is an ordinary interrupt", () => {
    const { f, device } = levelLine(3);
    const vfio = new Automask(f, f.level);
    const racing: IrqAction = {
      *handler(): Step<number> {
        const result = yield* vfio.handler();
        // The guest on another CPU is as fast as this, and has not served the device.
        if (vfio.signals === 1) {
          vfio.masked = false;
          yield* f.host.enableIrq(f.level);
        }
        return result;
      },
    };
    f.request(f.level, racing);
    raise(f, device);
    expect([f.counts(f.level), vfio.signals, f.desc(f.level).irqsUnhandled]).toEqual(["t3 k2 m1 u0", 2, 0]);
  });

  it("a guest so fast that it serves and unmasks before the second shot costs no mask at all", () => {
    const { f, device } = levelLine(3);
    f.request(f.level, new Handler(function* (irq) {
      yield* f.host.disableIrqNosync(irq);
      yield* device.service();
      yield* f.host.enableIrq(irq);
    }));
    raise(f, device);
    expect(f.counts(f.level)).toBe("t1 k1 m0 u0");
  });

  it("K6: VFIO's flag, depth and MASKED are three states; enabling works from DISABLED without MASKED", () => {
    const { f, device, vfio } = levelLine(3);
    f.request(f.level, vfio);
    vfio.mask();
    expect([vfio.masked, f.desc(f.level).depth, f.desc(f.level).isMasked]).toEqual([true, 1, false]);
    vfio.unmask();
    expect(f.desc(f.level).isDisabled).toBe(false);
    raise(f, device);
    expect(vfio.signals).toBe(1);
  });

  it("K7: the synchronising disable in a handler, or under a spinlock, is reported", () => {
    const f = new HostStage();
    f.request(f.edge, new Handler(function* (irq) {
      yield* f.host.disableIrq(irq);
    }));
    expect(() => f.pulse(41)).toThrow(Deadlock);
    run(f.desc(f.level).lock.lock());
    expect(() => run(f.host.disableIrq(f.edge))).toThrow(Deadlock);
    run(f.desc(f.level).lock.unlock());
  });

  it("K8: the mark cleared while the guest holds it active: free waits for ever; masked first, the next owner gets interrupts", () => {
    const start = (): { f: HostStage; h: Handler } => {
      const f = new HostStage();
      const h = new Handler(function* () {});
      f.request(f.level, h, 0, h);
      run(f.host.setIrqVcpuAffinity(f.level, f));
      f.line(40, 1);
      f.line(40, 0);
      return { f, h };
    };
    const wrong = start();
    run(wrong.f.host.setIrqVcpuAffinity(wrong.f.level, null));
    expect(() => run(wrong.f.host.freeIrq(wrong.f.level, wrong.h))).toThrow(Deadlock);

    const { f, h } = start();
    f.host.setUnlazy(f.level, true);
    run(f.host.disableIrqNosync(f.level));
    run(f.host.setIrqVcpuAffinity(f.level, null));
    expect(run(f.host.freeIrq(f.level, h))).toBe(h);
    const next = new Handler(function* () {
      yield* f.gic.setSpi(40, false);
    });
    f.request(f.level, next, Irqf.TRIGGER_HIGH);
    f.line(40, 1);
    expect(next.runs).toBe(1);
  });
});
