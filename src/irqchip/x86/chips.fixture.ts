import { TraceBuffer } from "../../sim/event.js";
import { Mutex } from "../../sim/lock.js";
import type { Hazards } from "../../sim/hazards.js";
import { Sim } from "../../sim/sim.js";
import { run, type Step } from "../../sim/step.js";
import { kvm_ioapic_state, kvm_pic_state } from "../../uapi/x86.js";
import type { AckListener, MmioBus, MmioDevice } from "../contract.js";
import { type ApicMessage, DeliveryMode, type EoiSink, type LocalApics, type PioBus, type PioDevice, type Receivers, type X86IrqchipVm, type X86Vcpu } from "./contract.js";
import { getIoApicState, setIoApicState } from "./ioapic-record.js";
import { IoApic, type IoApicOptions } from "./ioapic.js";
import { Pic, type PicChip } from "./pic-chip.js";
import { PicPair } from "./pic.js";

export class FakeX86Vcpu implements X86Vcpu {
  readonly mutex: Mutex;
  hasRun = false;
  physicalCpu = -1;
  /** Event requests so far. */
  events = 0;
  scanRequested = false;
  nmis = 0;

  constructor(
    sim: Sim,
    readonly id: number,
    readonly index: number,
  ) {
    this.mutex = new Mutex(sim, "vcpu->mutex");
  }

  *requestIrqPending(): Step<void> {}
  *requestProcessUpdate(): Step<void> {}
  *requestEoiExit(_vector: number): Step<void> {}
  *requestInitEvents(): Step<void> {}
  *requestUnblock(): Step<void> {}
  *unhalt(): Step<void> {}
  *requestEvent(): Step<void> {
    this.events++;
  }
  *requestScanIoapic(): Step<void> {
    this.scanRequested = true;
  }
  *pendNmi(): Step<void> {
    this.nmis++;
  }
  *pendSmi(): Step<boolean> {
    return true;
  }
}

/** Records "chip:pin" of every acknowledge; `onAck` answers, as a resampler does. */
class Acks implements AckListener {
  readonly acked: string[] = [];
  onAck: ((chip: number, pin: number) => Step<void>) | null = null;

  *notifyAcked(chip: number, pin: number): Step<void> {
    this.acked.push(`${chip}:${pin}`);
    if (this.onAck !== null) yield* this.onAck(chip, pin);
  }
}

/** A bus of either kind, which refuses what overlaps, and a base that the test names. */
class Bus<D> {
  readonly ranges: { base: number; size: number; device: D }[] = [];
  refusedBase = -1;

  *register(base: number, size: number, device: D): Step<number> {
    if (base === this.refusedBase || this.ranges.some((range) => base < range.base + range.size && range.base < base + size)) return -17;
    this.ranges.push({ base, size, device });
    return 0;
  }

  *unregister(base: number, device: D): Step<void> {
    const at = this.ranges.findIndex((range) => range.base === base && range.device === device);
    if (at >= 0) this.ranges.splice(at, 1);
  }
}

export class FakeX86Vm implements X86IrqchipVm {
  readonly sim: Sim;
  readonly lock: Mutex;
  readonly slotsLock: Mutex;
  readonly vcpus: FakeX86Vcpu[] = [];
  readonly ipaBits = 46;
  readonly hostGic = null;
  readonly acks = new Acks();
  readonly mmio = new Bus<MmioDevice>();
  readonly pio = new Bus<PioDevice>();
  readonly mmioBus: MmioBus = this.mmio;
  readonly pioBus: PioBus = this.pio;
  /** "chip:pin:masked" of every change of a mask bit. */
  readonly masks: string[] = [];
  /** IOAPIC pins with a resampling irqfd, and how often their owners were told to look again. */
  readonly resampled = new Map<number, number>();
  /** IOAPIC pins somebody listens to. */
  readonly listened = new Set<number>();

  constructor(
    readonly trace: TraceBuffer | null,
    hazards?: Partial<Hazards>,
  ) {
    this.sim = new Sim({ trace, hazards });
    this.lock = new Mutex(this.sim, "kvm->lock");
    this.slotsLock = new Mutex(this.sim, "kvm->slots_lock");
  }

  get createdVcpus(): number {
    return this.vcpus.length;
  }

  *installDefaultRouting(_pins: number): Step<number> {
    return 0;
  }
  *haltGuest(): Step<void> {}
  *resumeGuest(): Step<void> {}

  *notifyMasked(chip: number, pin: number, isMasked: boolean): Step<void> {
    this.masks.push(`${chip}:${pin}:${isMasked ? 1 : 0}`);
  }

  *notifyResampler(chip: number, pin: number): Step<boolean> {
    const told = chip === 2 ? this.resampled.get(pin) : undefined;
    if (told === undefined) return false;
    this.resampled.set(pin, told + 1);
    return true;
  }

  *hasAckNotifier(chip: number, pin: number): Step<boolean> {
    return chip === 2 && (this.listened.has(pin) || this.resampled.has(pin));
  }
}

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

export interface ChipHarnessOptions extends IoApicOptions {
  hazards?: Partial<Hazards>;
  readonly cpus?: number;
  readonly traced?: boolean;
  /** Default: fakes. */
  readonly makeApics?: (vm: FakeX86Vm) => TestApics;
}

const hex = (value: number): string => value.toString(16).padStart(2, "0");

/** The PIC pair and the IOAPIC of a machine, driven by hand. */
export class ChipHarness {
  readonly trace: TraceBuffer | null;
  readonly vm: FakeX86Vm;
  readonly local: TestApics;
  readonly pic: PicPair;
  readonly ioapic: IoApic;

  constructor(options: ChipHarnessOptions = {}) {
    this.trace = options.traced === true ? new TraceBuffer() : null;
    this.vm = new FakeX86Vm(this.trace, options.hazards);
    for (let i = 0; i < (options.cpus ?? 2); i++) this.vm.vcpus.push(new FakeX86Vcpu(this.vm.sim, i, i));
    this.local = options.makeApics === undefined ? new FakeApics(this.vm) : options.makeApics(this.vm);
    this.pic = new PicPair(this.vm, this.local.local, options);
    this.ioapic = new IoApic(this.vm, this.local.local, options);
    this.local.connect(this.ioapic);
  }

  /** The fakes. */
  get apics(): FakeApics {
    if (!(this.local instanceof FakeApics)) throw new Error("this machine has virq's own local APICs");
    return this.local;
  }

  // PIC

  out(port: number, ...values: number[]): void {
    for (const value of values) run(this.pic.ports.pioWrite(this.vm.vcpus[0], port, 1, value));
  }

  in(port: number): number {
    return run(this.pic.ports.pioRead(this.vm.vcpus[0], port, 1));
  }

  line(pin: number, level: number, source = 0): number {
    return run(this.pic.setIrq(pin, source, level));
  }

  ack(): number {
    return run(this.pic.ack());
  }

  get output(): boolean {
    return run(this.pic.hasOutput());
  }

  /** "irr,imr,isr" in hexadecimal. */
  picRegs(chip: PicChip): string {
    return `${hex(chip.regs[Pic.IRR])},${hex(chip.regs[Pic.IMR])},${hex(chip.regs[Pic.ISR])}`;
  }

  get master(): string {
    return this.picRegs(this.pic.master);
  }

  get slave(): string {
    return this.picRegs(this.pic.slave);
  }

  /** The start of vectors 1 to 19. */
  initialisePics(): this {
    this.out(0x20, 0x11);
    this.out(0x21, 0x08, 0x04, 0x01, 0x00);
    this.out(0xa0, 0x11);
    this.out(0xa1, 0x70, 0x02, 0x01, 0x00);
    return this;
  }

  picState(chip: 0 | 1): DataView {
    const view = new DataView(new ArrayBuffer(kvm_pic_state.size));
    run(this.pic.getState(chip, view));
    return view;
  }

  setPicState(chip: 0 | 1, view: DataView): void {
    run(this.pic.setState(chip, view));
    run(this.pic.refresh());
  }

  // IOAPIC

  read(index: number, size = 4): number {
    run(this.ioapic.mmioWrite(this.vm.vcpus[0], 0x00, 4, index, 0));
    return run(this.ioapic.mmioRead(this.vm.vcpus[0], 0x10, size)) >>> 0;
  }

  write(index: number, value: number): void {
    run(this.ioapic.mmioWrite(this.vm.vcpus[0], 0x00, 4, index, 0));
    run(this.ioapic.mmioWrite(this.vm.vcpus[0], 0x10, 4, value | 0, 0));
  }

  /** Low half, then high half. */
  entry(pin: number, low: number, destination = 0): void {
    this.write(0x10 + 2 * pin, low);
    this.write(0x11 + 2 * pin, destination << 24);
  }

  rte(pin: number): number {
    return this.read(0x10 + 2 * pin);
  }

  isRequested(pin: number): boolean {
    return (this.ioapic.irr & (1 << pin)) !== 0;
  }

  pin(pin: number, level: number, source = 0, wantsStatus = false): number {
    return run(this.ioapic.setIrq(pin, source, level, wantsStatus));
  }

  /** The vector that the CPU takes, -1 for none. */
  take(cpu = 0): number {
    return run(this.local.take(cpu));
  }

  eoi(cpu = 0): void {
    run(this.local.eoi(cpu));
  }

  /** The guest takes the interrupt and ends it. */
  serve(cpu = 0): number {
    const vector = this.take(cpu);
    if (vector >= 0) this.eoi(cpu);
    return vector;
  }

  irrOf(cpu = 0): number[] {
    return this.local.irr(cpu);
  }

  /** A resampling irqfd on an IOAPIC pin: an acknowledge lowers source 1 and tells its owner. */
  resample(pin: number): void {
    this.vm.resampled.set(pin, 0);
    const { ioapic, vm } = this;
    vm.acks.onAck = function* (chip, acked): Step<void> {
      const told = vm.resampled.get(acked);
      if (chip !== 2 || told === undefined) return;
      yield* ioapic.setIrq(acked, 1, 0, false);
      vm.resampled.set(acked, told + 1);
    };
  }

  ioapicState(): DataView {
    const view = new DataView(new ArrayBuffer(kvm_ioapic_state.size));
    run(getIoApicState(this.ioapic, view));
    return view;
  }

  setIoapicState(view: DataView): void {
    run(setIoApicState(this.ioapic, view));
    run(this.pic.refresh());
  }
}
