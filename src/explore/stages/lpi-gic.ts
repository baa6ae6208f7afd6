import { type PhysicalGic, SPURIOUS_INTID, type VirtualInterface } from "../../arch/gic/contract.js";
import type { IrqPort } from "../../arch/irq-port.js";
import { writes } from "../../sim/access.js";
import type { Step } from "../../sim/step.js";

const PRIVATE = 32;

const FIRST_LPI = 8192;
const LPIS = 64;

/** Stands in for a GICv3 with LPIs: one priority, the state machine of host-irq.md 2.2 and nothing else. */
export class LpiGic implements PhysicalGic {
  readonly version = 3;
  readonly eoiMode = 1;
  readonly cpus = 4;
  readonly interrupts = 160;
  readonly enabled: boolean[] = [];
  readonly latch: boolean[] = [];
  readonly active: boolean[] = [];
  readonly line: boolean[] = [];
  readonly edge: boolean[] = [];
  readonly target: number[] = [];
  /** Acknowledged, not yet dropped. */
  readonly running: number[][] = [[], [], [], []];
  private readonly ports: (IrqPort | null)[] = [null, null, null, null];
  private readonly signals = [false, false, false, false];

  constructor() {
    for (let cpu = 0; cpu < this.cpus; cpu++)
      for (let sgi = 0; sgi < 16; sgi++) {
        this.enabled[this.at(cpu, sgi)] = true;
        this.edge[this.at(cpu, sgi)] = true;
      }
  }

  private at(cpu: number, intid: number): number {
    return intid < PRIVATE ? cpu * 1000 + intid : 10_000 + intid;
  }
  private pending(i: number): boolean {
    return this.latch[i] || (!this.edge[i] && this.line[i]) || false;
  }
  private highest(cpu: number): number {
    if (this.running[cpu].length > 0) return SPURIOUS_INTID;
    for (let intid = 0; intid < this.interrupts; intid++) if (this.isDue(cpu, intid)) return intid;
    for (let lpi = FIRST_LPI; lpi < FIRST_LPI + LPIS; lpi++) if (this.isDue(cpu, lpi)) return lpi;
    return SPURIOUS_INTID;
  }
  private isDue(cpu: number, intid: number): boolean {
    const i = this.at(cpu, intid);
    if (intid >= PRIVATE && (this.target[i] ?? 0) !== cpu) return false;
    return this.enabled[i] && this.pending(i) && !this.active[i];
  }
  /** The caller's point covers the state; the CPUs are told after all of it has changed. */
  private *drive(): Step<void> {
    let changed = 0;
    for (let cpu = 0; cpu < this.cpus; cpu++) {
      const isHigh = this.highest(cpu) !== SPURIOUS_INTID;
      if (isHigh !== this.signals[cpu]) changed |= 1 << cpu;
      this.signals[cpu] = isHigh;
    }
    for (let cpu = 0; cpu < this.cpus; cpu++) {
      const port = this.ports[cpu];
      if ((changed & (1 << cpu)) !== 0 && port !== null) yield* port.irq(this.signals[cpu]);
    }
  }
  private *input(i: number, isHigh: boolean): Step<void> {
    yield writes(this, "GIC");
    if (this.edge[i] && isHigh && !this.line[i]) this.latch[i] = true;
    this.line[i] = isHigh;
    yield* this.drive();
  }
  *setSpi(intid: number, isHigh: boolean): Step<void> {
    yield* this.input(this.at(0, intid), isHigh);
  }
  *setPpi(cpu: number, intid: number, isHigh: boolean): Step<void> {
    yield* this.input(this.at(cpu, intid), isHigh);
  }
  *sendSgi(_from: number, to: number, sgi: number): Step<void> {
    yield writes(this, "GIC");
    this.latch[this.at(to, sgi)] = true;
    yield* this.drive();
  }
  *acknowledge(cpu: number): Step<number> {
    yield writes(this, "GIC");
    const intid = this.highest(cpu);
    if (intid === SPURIOUS_INTID) return intid;
    const i = this.at(cpu, intid);
    this.latch[i] = false;
    if (intid < FIRST_LPI) this.active[i] = true;
    this.running[cpu].push(intid);
    yield* this.drive();
    return intid;
  }
  *endOfInterrupt(cpu: number, _iar: number): Step<void> {
    yield writes(this, "GIC");
    this.running[cpu].pop();
    yield* this.drive();
  }
  *deactivate(cpu: number, iar: number): Step<void> {
    yield writes(this, "GIC");
    this.active[this.at(cpu, iar)] = false;
    yield* this.drive();
  }
  *setEnabled(cpu: number, intid: number, isEnabled: boolean): Step<void> {
    yield writes(this, "GIC");
    this.enabled[this.at(cpu, intid)] = isEnabled;
    yield* this.drive();
  }
  isEnabled(cpu: number, intid: number): boolean {
    return this.enabled[this.at(cpu, intid)] ?? false;
  }
  *setPending(cpu: number, intid: number, isPending: boolean): Step<void> {
    yield writes(this, "GIC");
    this.latch[this.at(cpu, intid)] = isPending;
    yield* this.drive();
  }
  isPending(cpu: number, intid: number): boolean {
    return this.pending(this.at(cpu, intid));
  }
  *setActive(cpu: number, intid: number, isActive: boolean): Step<void> {
    yield writes(this, "GIC");
    this.active[this.at(cpu, intid)] = isActive;
    yield* this.drive();
  }
  isActive(cpu: number, intid: number): boolean {
    return this.active[this.at(cpu, intid)] ?? false;
  }
  lineLevel(cpu: number, intid: number): boolean {
    return this.line[this.at(cpu, intid)] ?? false;
  }
  *setTrigger(cpu: number, intid: number, trigger: "level" | "edge"): Step<void> {
    yield writes(this, "GIC");
    this.edge[this.at(cpu, intid)] = trigger === "edge";
    yield* this.drive();
  }
  *setTarget(intid: number, cpu: number): Step<void> {
    yield writes(this, "GIC");
    this.target[this.at(0, intid)] = cpu;
    yield* this.drive();
  }
  *setPriority(): Step<void> {}
  connect(cpu: number, port: IrqPort): void {
    this.ports[cpu] = port;
  }
  isSignalled(cpu: number): boolean {
    return this.signals[cpu];
  }
  virtualInterface(): VirtualInterface {
    throw new Error("this GIC has no virtual interface");
  }
}
