import { type Step } from "../../sim/step.js";
import { type ApicMessage, DeliveryMode, type EoiSink, type LocalApics, type Receivers } from "./contract.js";
import type { FakeX86Vm } from "./x86-vm.fixture.js";

/** The local APICs of a test: fakes, or virq's own. */
export interface TestApics {
  readonly local: LocalApics;
  connect(sink: EoiSink): void;
  /** Sets or clears SPIV bit 8. */
  enable(cpu: number, isOn: boolean): void;
  /** Vectors whose bit is set, ascending. */
  irr(cpu: number): number[];
  tmr(cpu: number): number[];
  /** Vectors taken so far, in order. */
  taken(cpu: number): number[];
  /** The rescan that was asked for, then the vector that the CPU takes; -1: none. */
  take(cpu: number): Step<number>;
  eoi(cpu: number): Step<void>;
}

/** A local APIC that only keeps vectors: no priorities but the order of the vectors. */
export class FakeApic {
  readonly irr = new Set<number>();
  readonly isr = new Set<number>();
  readonly tmr = new Set<number>();
  readonly handled = new Set<number>();
  /** Vectors taken so far, in order. */
  readonly taken: number[] = [];
  isSoftwareEnabled = true;
  acceptsPic = false;
  /** xAPIC, flat. */
  ldr: number;

  constructor(readonly id: number) {
    this.ldr = id < 8 ? 1 << id : 0;
  }
}

const highest = (vectors: ReadonlySet<number>): number => Math.max(-1, ...vectors);

/** All of them: fixed, lowest priority (by hashing) and NMI messages. */
export class FakeApics implements LocalApics, TestApics {
  readonly all: FakeApic[] = [];
  /** Is the map usable (6.2), so that "nobody" is 0 and not -1? */
  hasMap = true;
  private sink: EoiSink | null = null;
  readonly local: LocalApics = this;

  constructor(private readonly vm: FakeX86Vm) {
    for (const vcpu of vm.vcpus) this.all.push(new FakeApic(vcpu.index));
    if (this.all.length > 0) this.all[0].acceptsPic = true;
  }

  connect(sink: EoiSink): void {
    this.sink = sink;
  }

  enable(cpu: number, isOn: boolean): void {
    this.all[cpu].isSoftwareEnabled = isOn;
  }

  irr(cpu: number): number[] {
    return [...this.all[cpu].irr].sort((a, b) => a - b);
  }

  tmr(cpu: number): number[] {
    return [...this.all[cpu].tmr].sort((a, b) => a - b);
  }

  taken(cpu: number): number[] {
    return this.all[cpu].taken;
  }

  private isTarget(apic: FakeApic, destination: number, isLogical: boolean): boolean {
    if (destination === 0xff) return true;
    return isLogical ? (apic.ldr & destination) !== 0 : apic.id === destination;
  }

  *deliver(message: ApicMessage, receivers: Receivers | null): Step<number> {
    let targets = this.all.filter((apic) => this.isTarget(apic, message.destination, message.isLogical));
    if (targets.length === 0) return this.hasMap ? 0 : -1;
    if (message.mode === DeliveryMode.LOWEST_PRIORITY) targets = [targets[message.vector % targets.length]];
    let accepted = 0;
    for (let i = 0; i < targets.length; i++) if (yield* this.accept(targets[i], message, receivers)) accepted++;
    return accepted;
  }

  private *accept(apic: FakeApic, message: ApicMessage, receivers: Receivers | null): Step<boolean> {
    if (message.mode === DeliveryMode.NMI) yield* this.vm.vcpus[apic.id].pendNmi();
    if (message.mode === DeliveryMode.EXTINT) return false;
    if (message.mode > DeliveryMode.LOWEST_PRIORITY) return true;
    if (!apic.isSoftwareEnabled) return false;
    receivers?.add(apic.id);
    if (message.isLevel) apic.tmr.add(message.vector);
    else apic.tmr.delete(message.vector);
    apic.irr.add(message.vector);
    return true;
  }

  *matches(vcpuIndex: number, destination: number, isLogical: boolean): Step<boolean> {
    return this.isTarget(this.all[vcpuIndex], destination, isLogical);
  }

  *isPendingOrInService(vcpuIndex: number, vector: number): Step<boolean> {
    return this.all[vcpuIndex].irr.has(vector) || this.all[vcpuIndex].isr.has(vector);
  }

  *acceptsPic(vcpuIndex: number): Step<boolean> {
    return this.all[vcpuIndex].acceptsPic;
  }

  addHandled(vcpuIndex: number, vector: number, _isStale: boolean): void {
    this.all[vcpuIndex].handled.add(vector);
  }

  /** Guest entry: the rescan that was asked for. */
  *enter(vcpuIndex: number): Step<void> {
    const vcpu = this.vm.vcpus[vcpuIndex];
    if (!vcpu.scanRequested || this.sink === null) return;
    vcpu.scanRequested = false;
    this.all[vcpuIndex].handled.clear();
    yield* this.sink.scanEntries(vcpuIndex);
  }

  *take(vcpuIndex: number): Step<number> {
    yield* this.enter(vcpuIndex);
    const apic = this.all[vcpuIndex];
    const vector = highest(apic.irr);
    if (vector <= highest(apic.isr)) return -1;
    apic.irr.delete(vector);
    apic.isr.add(vector);
    apic.taken.push(vector);
    return vector;
  }

  *eoi(vcpuIndex: number): Step<void> {
    yield* this.enter(vcpuIndex);
    const apic = this.all[vcpuIndex];
    const vector = highest(apic.isr);
    apic.isr.delete(vector);
    if (vector >= 0 && apic.handled.has(vector) && this.sink !== null) yield* this.sink.eoi(vcpuIndex, vector, apic.tmr.has(vector));
  }
}
