import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Icc } from "../../arch/gic/icc.js";
import { run } from "../../sim/step.js";
import { GicV3 } from "../gic/gicv3.js";
import { CPUS, HostStage, Handler } from "../../explore/stages/host-stage.js";
import { Irqs } from "./desc.js";
import { Irqf } from "./types.js";

// Invariants of host-irq.md 6 that concern descriptors, after every step of any sequence: I1-I6, I11, I14.

const OPERATIONS = ["rise", "fall", "pulse", "disable", "enable", "unlazy", "lazy", "move", "forward", "unforward", "free", "request", "down", "up"] as const;
type Operation = (typeof OPERATIONS)[number];
const operation = fc.record({ what: fc.constantFrom(...OPERATIONS), onLevel: fc.boolean(), cpu: fc.nat(CPUS - 1) });

/** A host with both lines requested, driven by operations that a careful owner would make. */
class Owner {
  readonly f: HostStage;
  runs = 0;
  runsAfterFree = 0;
  private readonly disables = new Map<number, number>();
  private readonly handlers = new Map<number, Handler>();
  private nested = 0;

  constructor(
    version: 2 | 3,
    private readonly eoiMode: 0 | 1,
  ) {
    this.f = new HostStage(version, eoiMode);
    this.f.sim.traceTo(null);
    for (const irq of [this.f.level, this.f.edge]) this.request(irq);
  }

  private request(irq: number): void {
    if (this.handlers.has(irq)) return;
    const { f } = this;
    const handler = new Handler(() => this.handle(irq));
    this.handlers.set(irq, handler);
    this.disables.set(irq, 0);
    expect(run(f.host.requestIrq(irq, handler, Irqf.SHARED, "test", handler))).toBe(0);
  }

  /** Level: disables, as an automasking handler. Both: I2, I3, I14 from the inside. */
  private *handle(irq: number) {
    const { f } = this;
    this.runs++;
    if (!this.handlers.has(irq)) this.runsAfterFree++;
    expect(++this.nested).toBe(1);
    if (f.gic instanceof GicV3)
      for (let cpu = 0; cpu < CPUS; cpu++) {
        const isHere = cpu === f.desc(irq).taken.findIndex((_, c) => f.host.cpus[c].interruptDepth > 0);
        expect(yield* f.gic.readSysreg(cpu, Icc.RPR)).toBe(isHere && this.eoiMode === 0 ? 0xa0 : 0xff);
      }
    if (irq === f.level && !f.desc(irq).isForwarded) {
      yield* f.host.disableIrqNosync(irq);
      this.disables.set(irq, (this.disables.get(irq) ?? 0) + 1);
    }
    this.nested--;
  }

  apply(what: Operation, onLevel: boolean, cpu: number): void {
    const { f } = this;
    const irq = onLevel ? f.level : f.edge;
    const intid = onLevel ? 40 : 41;
    const isRequested = this.handlers.has(irq);
    const depth = this.disables.get(irq) ?? 0;
    if (what === "rise" || what === "fall") run(f.gic.setSpi(intid, what === "rise"));
    else if (what === "pulse") f.pulse(intid);
    else if (what === "down" && f.host.irqs.online().length > 1) run(f.host.cpuDown(cpu));
    else if (what === "up") run(f.host.cpuUp(cpu));
    else if (what === "move") run(f.host.setAffinity(irq, [cpu]));
    else if (what === "request") this.request(irq);
    else if (isRequested) this.applyRequested(what, irq, depth);
    f.settle();
  }

  private applyRequested(what: Operation, irq: number, depth: number): void {
    const { f } = this;
    if (what === "disable") {
      this.disables.set(irq, depth + 1);
      // The synchronising one would wait for the guest that holds a forwarded interrupt active (1.7).
      run(f.desc(irq).isForwarded ? f.host.disableIrqNosync(irq) : f.host.disableIrq(irq));
    } else if (what === "enable" && depth > 0) {
      this.disables.set(irq, depth - 1);
      run(f.host.enableIrq(irq));
    } else if (what === "unlazy" || what === "lazy") f.host.setUnlazy(irq, what === "unlazy");
    else if (what === "forward" && this.eoiMode === 1 && irq === f.level && depth === 0) run(f.host.setIrqVcpuAffinity(irq, f));
    else if (what === "unforward" || what === "free") {
      run(f.host.setIrqVcpuAffinity(irq, null));
      run(f.host.setIrqchipState(irq, "active", false));
      if (what === "free") this.free(irq);
    }
  }

  private free(irq: number): void {
    const handler = this.handlers.get(irq);
    if (handler === undefined) return;
    this.handlers.delete(irq);
    expect(run(this.f.host.freeIrq(irq, handler))).toBe(handler);
  }

  check(): void {
    const { f } = this;
    expect(this.runsAfterFree).toBe(0);
    for (const irq of [f.level, f.edge]) {
      const desc = f.desc(irq);
      const intid = desc.data.hwirq;
      const isStarted = (desc.state & Irqs.STARTED) !== 0;
      const { taken, kstat, maskOps, unmaskOps } = desc.counts();
      expect(desc.depth).toBeGreaterThanOrEqual(0);
      if (isStarted) {
        expect(desc.isDisabled).toBe(desc.depth > 0);
        expect(f.gic.isEnabled(desc.effectiveCpu, intid)).toBe(!desc.isMasked);
        expect(desc.depth).toBe(this.disables.get(irq));
      }
      expect(desc.inProgress).toBe(false);
      expect([0, 1]).toContain(unmaskOps - maskOps);
      expect(taken).toBeGreaterThanOrEqual(kstat);
      if (f.gic.isActive(0, intid)) expect(desc.isForwarded).toBe(true);
      expect(isStarted).toBe(desc.actions !== null);
    }
    if (f.gic instanceof GicV3) for (let cpu = 0; cpu < CPUS; cpu++) expect(run(f.gic.readSysreg(cpu, Icc.RPR))).toBe(0xff);
  }
}

describe.each([
  [2, 1],
  [3, 1],
  [3, 0],
] as const)("invariants I1-I6, I11, I14, GICv%i, EOImode %i", (version, eoiMode) => {
  it("hold after every operation", () => {
    let runs = 0;
    fc.assert(
      fc.property(fc.array(operation, { minLength: 20, maxLength: 60 }), (operations) => {
        const owner = new Owner(version, eoiMode);
        for (const { what, onLevel, cpu } of operations) {
          owner.apply(what, onLevel, cpu);
          owner.check();
        }
        runs += owner.runs;
      }),
      { numRuns: 150, seed: 17 },
    );
    expect(runs).toBeGreaterThan(100);
  });
});
