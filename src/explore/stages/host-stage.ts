import { TraceBuffer } from "../../sim/event.js";
import type { Hazards } from "../../sim/hazards.js";
import { Sim } from "../../sim/sim.js";
import { run, type Step } from "../../sim/step.js";
import type { PhysicalGic } from "../../arch/gic/contract.js";
import { GicV3 } from "../../host/gic/gicv3.js";
import { GicV2 } from "../../host/gic/gicv2.js";
import type { IrqCounts, IrqDesc } from "../../host/irq/desc.js";
import { type IrqAction, IrqReturn, IrqType } from "../../host/irq/types.js";
import { GicHost } from "../../host/gic/gic-host.js";

export const CPUS = 4;

function booted(version: 2 | 3, eoiMode: 0 | 1): GicV2 | GicV3 {
  const options = { cpus: CPUS, interrupts: 256, eoiMode };
  const gic = version === 2 ? new GicV2(options) : new GicV3(options);
  gic.boot();
  return gic;
}

/** The fixtures P2 and P3 of host-irq.md 8, four CPUs: SPI 40 is a level input, SPI 41 an edge input. */
export class HostStage {
  readonly trace = new TraceBuffer();
  readonly sim: Sim;
  readonly gic: PhysicalGic;
  readonly host: GicHost;
  readonly level: number;
  readonly edge: number;
  private base: Record<number, IrqCounts> = {};

  constructor(version: 2 | 3 = 3, eoiMode: 0 | 1 = 1, hazards?: Partial<Hazards>) {
    this.sim = new Sim({ cpus: CPUS, trace: this.trace, hazards });
    this.gic = booted(version, eoiMode);
    this.host = new GicHost(this.sim, this.gic);
    this.level = run(this.host.mapIrq(40, IrqType.LEVEL_HIGH));
    this.edge = run(this.host.mapIrq(41, IrqType.EDGE_RISING));
  }

  /** Requests a plain handler and zeroes the counts. */
  request(irq: number, action: IrqAction, flags = 0, devId: object = action): number {
    const result = run(this.host.requestIrq(irq, action, flags, "driver", devId));
    this.zero();
    return result;
  }

  zero(): void {
    for (const irq of [this.level, this.edge]) this.base[irq] = this.host.counts(irq);
    this.trace.clear();
  }

  line(intid: number, level: 0 | 1): void {
    run(this.gic.setSpi(intid, level === 1));
    this.settle();
  }

  pulse(intid: number): void {
    this.line(intid, 1);
    this.line(intid, 0);
  }

  settle(): void {
    run(this.sim.settle());
  }

  /** Nothing is recorded from now on. */
  untraced(): this {
    this.sim.traceTo(null);
    return this;
  }

  /** What holds when nothing is under way: no handler runs, DISABLED goes with the depth, MASKED is what the chip does. */
  atRest(): string | null {
    for (const irq of [this.level, this.edge]) {
      const desc = this.desc(irq);
      if (desc.inProgress || desc.threadsActive !== 0) return `irq ${irq} is still being handled`;
      if (desc.actions !== null && desc.isDisabled !== desc.depth > 0) return `irq ${irq}: depth ${desc.depth}, DISABLED ${desc.isDisabled}`;
      if (this.gic.isEnabled(0, desc.data.hwirq) === desc.isMasked) return `irq ${irq}: MASKED is not what the chip does`;
    }
    return null;
  }

  /** "t1 k1 m0 u0" since the last zero(). */
  counts(irq: number): string {
    const now = this.host.counts(irq);
    const base = this.base[irq];
    return `t${now.taken - base.taken} k${now.kstat - base.kstat} m${now.maskOps - base.maskOps} u${now.unmaskOps - base.unmaskOps}`;
  }

  desc(irq: number): IrqDesc {
    const desc = this.host.desc(irq);
    if (desc === null) throw new Error(`irq ${irq} does not exist`);
    return desc;
  }
}

/** A handler that does what it is told, and counts. */
export class Handler implements IrqAction {
  runs = 0;
  constructor(private readonly what: (irq: number) => Step<number> | Step<void>) {}
  *handler(irq: number): Step<number> {
    this.runs++;
    const result = yield* this.what(irq);
    return typeof result === "number" ? result : IrqReturn.HANDLED;
  }
}
