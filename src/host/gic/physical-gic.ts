import { type PhysicalGic, type VirtualInterface } from "../../arch/gic/contract.js";
import type { IrqPort } from "../../arch/irq-port.js";
import { block, writes } from "../../sim/access.js";
import type { Step } from "../../sim/step.js";
import type { CpuInterface } from "./cpu-interface.js";
import { IrqBit, IrqState } from "./irq-state.js";

/** PPI of the virtual CPU interface's maintenance interrupt (host-irq.md 2.4). */
export const MAINTENANCE_INTID = 25;

/**
 * What GICv2 and GICv3 share: inputs, the effects of the distributor's registers, and the IRQ signals. One register
 * access or one input change is one atomic step; the signals that it changed are then driven CPU by CPU.
 */
export abstract class GicBase implements PhysicalGic {
  abstract readonly version: 2 | 3;
  readonly state: IrqState;
  /** The same, for a waiter's condition: it cannot announce its reads. */
  private readonly observed: IrqState;
  /** By CPU. */
  readonly interfaces: CpuInterface[] = [];
  private readonly ports: (IrqPort | null)[];
  /** The IRQ wires themselves. */
  private readonly signals: Uint8Array;

  constructor(
    readonly cpus: number,
    readonly interrupts: number,
    readonly eoiMode: 0 | 1,
  ) {
    this.state = new IrqState(cpus, interrupts);
    this.observed = this.state;
    this.ports = new Array<IrqPort | null>(cpus).fill(null);
    this.signals = new Uint8Array(cpus);
  }

  abstract sendSgi(from: number, to: number, sgi: number): Step<void>;
  abstract acknowledge(cpu: number): Step<number>;
  abstract endOfInterrupt(cpu: number, iar: number): Step<void>;
  abstract deactivate(cpu: number, iar: number): Step<void>;
  abstract setTarget(intid: number, cpu: number): Step<void>;
  abstract virtualInterface(cpu: number): VirtualInterface;
  /** Clears the active state behind a HW list register, on this CPU's view (host-irq.md 2.5). */
  abstract deactivateHw(cpu: number, intid: number): Step<void>;

  *setSpi(intid: number, isHigh: boolean): Step<void> {
    yield writes(this, "GIC");
    this.state.setLine(0, intid, isHigh);
    if (this.state.isDirty) yield* this.drive();
  }

  *setPpi(cpu: number, intid: number, isHigh: boolean): Step<void> {
    yield writes(this, "GIC");
    this.state.setLine(cpu, intid, isHigh);
    if (this.state.isDirty) yield* this.drive();
  }

  *setEnabled(cpu: number, intid: number, isEnabled: boolean): Step<void> {
    yield writes(this, "GIC");
    if (isEnabled) this.state.set(cpu, intid, IrqBit.ENABLED);
    else this.state.clear(cpu, intid, IrqBit.ENABLED);
    if (this.state.isDirty) yield* this.drive();
  }

  isEnabled(cpu: number, intid: number): boolean {
    return this.state.has(cpu, intid, IrqBit.ENABLED);
  }

  *setPending(cpu: number, intid: number, isPending: boolean): Step<void> {
    yield writes(this, "GIC");
    if (isPending) this.state.set(cpu, intid, IrqBit.LATCH);
    else this.state.clear(cpu, intid, IrqBit.LATCH);
    if (this.state.isDirty) yield* this.drive();
  }

  isPending(cpu: number, intid: number): boolean {
    return this.state.isPending(cpu, intid);
  }

  *setActive(cpu: number, intid: number, isActive: boolean): Step<void> {
    yield writes(this, "GIC");
    if (isActive) this.state.set(cpu, intid, IrqBit.ACTIVE);
    else this.state.clear(cpu, intid, IrqBit.ACTIVE);
    if (this.state.isDirty) yield* this.drive();
  }

  isActive(cpu: number, intid: number): boolean {
    return this.observed.has(cpu, intid, IrqBit.ACTIVE);
  }

  lineLevel(cpu: number, intid: number): boolean {
    return this.state.has(cpu, intid, IrqBit.LINE);
  }

  *setTrigger(cpu: number, intid: number, trigger: "level" | "edge"): Step<void> {
    yield writes(this, "GIC");
    if (trigger === "edge") this.state.set(cpu, intid, IrqBit.EDGE);
    else this.state.clear(cpu, intid, IrqBit.EDGE);
    if (this.state.isDirty) yield* this.drive();
  }

  *setPriority(cpu: number, intid: number, priority: number): Step<void> {
    yield writes(this, "GIC");
    this.state.setPriority(cpu, intid, priority);
    if (this.state.isDirty) yield* this.drive();
  }

  connect(cpu: number, port: IrqPort): void {
    this.ports[cpu] = port;
  }

  isSignalled(cpu: number): boolean {
    return this.signals[cpu] !== 0;
  }

  /** Drives the IRQ wires that the access just made changes. Runs in the same atomic step up to the first port call. */
  protected *drive(): Step<void> {
    for (let cpu = this.state.takeDirty(); cpu >= 0; cpu = this.state.takeDirty()) {
      const isHigh = this.interfaces[cpu].signalled() === 1;
      if (isHigh === (this.signals[cpu] !== 0)) continue;
      this.signals[cpu] = isHigh ? 1 : 0;
      const port = this.ports[cpu];
      if (port === null) continue;
      yield* port.irq(isHigh);
      yield writes(this, "GIC");
    }
  }
}
block(GicBase, "state", "interfaces");
