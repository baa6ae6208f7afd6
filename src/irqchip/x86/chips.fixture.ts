import { TraceBuffer } from "../../sim/event.js";
import type { Hazards } from "../../sim/hazards.js";
import { run, type Step } from "../../sim/step.js";
import { kvm_ioapic_state, kvm_pic_state } from "../../uapi/x86.js";
import { getIoApicState, setIoApicState } from "./ioapic/record.js";
import { IoApic, type IoApicOptions } from "./ioapic/ioapic.js";
import { Pic, type PicChip } from "./pic-chip.js";
import { PicPair } from "./pic.js";
import { FakeApics, type TestApics } from "./fake-apics.fixture.js";
import { FakeX86Vcpu, FakeX86Vm } from "./x86-vm.fixture.js";

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
