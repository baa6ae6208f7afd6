import { TraceBuffer } from "../../../sim/event.js";
import { Mutex } from "../../../sim/lock.js";
import type { Hazards } from "../../../sim/hazards.js";
import { Sim } from "../../../sim/sim.js";
import { run, type Step } from "../../../sim/step.js";
import type { AckListener, MmioBus } from "../../contract.js";
import { ApicMessage, DeliveryMode, type EoiSink, type PioBus, type Receivers, Shorthand, type X86IrqchipVm, type X86Vcpu } from "../contract.js";
import type { InitTarget } from "./init.js";
import type { LapicOptions } from "./options.js";
import type { ApicReg } from "./registers.js";
import type { Lapic } from "./lapic.js";
import { LocalApicSet } from "../local-apics.js";

/** A vCPU that counts what is asked of it. */
export class FakeX86Vcpu implements X86Vcpu, InitTarget {
  readonly mutex: Mutex;
  readonly index: number;
  hasRun = false;
  physicalCpu = -1;
  events = 0;
  unblocks = 0;
  scans = 0;
  nmis = 0;
  smis = 0;
  unhalts = 0;
  readonly exits: number[] = [];
  initRequests = 0;
  isBootCpu = false;
  isInSmm = false;
  waits = false;
  readonly starts: number[] = [];
  resets = 0;
  lapic: Lapic | null = null;

  constructor(
    sim: Sim,
    readonly id: number,
    index: number,
  ) {
    this.index = index;
    this.mutex = new Mutex(sim, "vcpu->mutex");
  }
  *requestIrqPending(): Step<void> {}
  *requestProcessUpdate(): Step<void> {}
  *requestEvent(): Step<void> {
    this.events++;
  }
  *requestScanIoapic(): Step<void> {
    this.scans++;
  }
  *requestEoiExit(vector: number): Step<void> {
    this.exits.push(vector);
  }
  *pendNmi(): Step<void> {
    this.nmis++;
  }
  *pendSmi(): Step<boolean> {
    this.smis++;
    return true;
  }
  *requestInitEvents(): Step<void> {
    this.initRequests++;
  }
  *requestUnblock(): Step<void> {
    this.unblocks++;
  }
  *unhalt(): Step<void> {
    this.unhalts++;
  }
  allowsInit(): boolean {
    return !this.isInSmm;
  }
  waitsForStartup(): boolean {
    return this.waits;
  }
  *reset(): Step<void> {
    this.resets++;
    if (this.lapic !== null) yield* this.lapic.reset(true);
  }
  *setWaiting(waits: boolean): Step<void> {
    this.waits = waits;
  }
  *startAt(vector: number): Step<void> {
    this.waits = false;
    this.starts.push(vector);
  }
}

const NO_BUS: MmioBus & PioBus = {
  *register(): Step<number> {
    return 0;
  },
  *unregister(): Step<void> {},
};
const NO_ACKS: AckListener = { *notifyAcked(): Step<void> {} };

export class FakeX86Vm implements X86IrqchipVm {
  readonly lock: Mutex;
  readonly slotsLock: Mutex;
  readonly vcpus: FakeX86Vcpu[] = [];
  createdVcpus = 0;
  readonly ipaBits = 40;
  readonly hostGic = null;
  readonly acks = NO_ACKS;
  readonly mmioBus = NO_BUS;
  readonly pioBus = NO_BUS;

  constructor(readonly sim: Sim) {
    this.lock = new Mutex(sim, "kvm->lock");
    this.slotsLock = new Mutex(sim, "kvm->slots_lock");
  }
  *installDefaultRouting(): Step<number> {
    return 0;
  }
  *haltGuest(): Step<void> {}
  *resumeGuest(): Step<void> {}
  *notifyMasked(): Step<void> {}
  *notifyResampler(): Step<boolean> {
    return false;
  }
  *hasAckNotifier(): Step<boolean> {
    return false;
  }
}

/** An IOAPIC that keeps what it is told, and has the vectors named here handled. */
export class FakeIoapic implements EoiSink {
  readonly eois: string[] = [];
  readonly recounts: number[] = [];
  /** What a scan tells: destination and vector of each entry. */
  entries: { destination: number; isLogical: boolean; vector: number }[] = [];
  set: LocalApicSet | null = null;

  *eoi(vcpuIndex: number, vector: number, isLevel: boolean): Step<void> {
    this.eois.push(`${vcpuIndex}:${vector.toString(16)}:${isLevel ? "level" : "edge"}`);
  }
  *scanEntries(vcpuIndex: number): Step<void> {
    if (this.set === null) return;
    for (let i = 0; i < this.entries.length; i++) {
      const { destination, isLogical, vector } = this.entries[i];
      yield* this.set.scanOne(vcpuIndex, destination, isLogical, vector);
    }
  }
  *recountRtc(vcpuIndex: number): Step<void> {
    this.recounts.push(vcpuIndex);
  }
}

export interface HarnessOptions extends Partial<LapicOptions> {
  cpus?: number;
  /** Ids, where they are not 0, 1, 2, … */
  ids?: number[];
  x2apic?: boolean;
  hazards?: Partial<Hazards>;
  tscDeadline?: boolean;
  physicalBits?: number;
}

const toHex = (value: number): string => (value >>> 0).toString(16);

/** Local APICs of a VM whose vCPUs do what the test says. */
export class LapicHarness {
  readonly trace = new TraceBuffer();
  readonly sim: Sim;
  readonly vm: FakeX86Vm;
  readonly set: LocalApicSet;
  readonly ioapic = new FakeIoapic();

  constructor(options: HarnessOptions = {}) {
    const { cpus = 1, ids, x2apic = false, tscDeadline = false, physicalBits = 46, hazards, ...rest } = options;
    this.sim = new Sim({ trace: this.trace, hazards });
    this.vm = new FakeX86Vm(this.sim);
    this.set = new LocalApicSet(this.vm, rest);
    this.ioapic.set = this.set;
    if (this.set.options.mode === "full") this.set.connectIoapic(this.ioapic);
    else this.set.scanner = this.ioapic;
    const all = ids ?? Array.from({ length: cpus }, (_, i) => i);
    for (const id of all) this.create(id, { hasX2apic: x2apic, hasTscDeadline: tscDeadline, physicalBits });
  }

  create(id: number, cpuid = { hasX2apic: false, hasTscDeadline: false, physicalBits: 46 }): Lapic {
    const vcpu = new FakeX86Vcpu(this.sim, id, this.vm.vcpus.length);
    vcpu.isBootCpu = id === this.set.bootCpuId;
    const lapic = run(this.set.add(vcpu));
    vcpu.lapic = lapic;
    this.vm.vcpus.push(vcpu);
    run(lapic.setCpuid(cpuid));
    return lapic;
  }

  at(index: number): Lapic {
    return this.set.lapics[index];
  }
  vcpu(index: number): FakeX86Vcpu {
    return this.vm.vcpus[index];
  }

  read(index: number, offset: ApicReg | number, size = 4): number {
    return run(this.at(index).mmioRead(offset, size)) >>> 0;
  }
  write(index: number, offset: ApicReg | number, value: number, size = 4): void {
    run(this.at(index).mmioWrite(offset, size, value | 0));
  }
  /** Software enables APICs, all by default, which puts them into the map. */
  enable(...indices: number[]): this {
    const all = indices.length > 0 ? indices : this.vm.vcpus.map((v) => v.index);
    for (const index of all) {
      if (this.at(index).base.isX2apic()) this.wrmsr(index, 0x80f, 0x1ff);
      else this.write(index, 0xf0, 0x1ff);
    }
    return this;
  }
  /** Flat logical ids 1, 2, 4, … on enabled APICs. */
  flat(): this {
    this.vm.vcpus.forEach((v) => this.write(v.index, 0xd0, 1 << (24 + v.index)));
    return this.enable();
  }
  /** "gp", or true. */
  wrmsr(index: number, msr: number, low: number, high = 0, isHost = false): "ok" | "#GP" {
    return run(this.at(index).msrWrite(msr, low | 0, high | 0, isHost)) ? "ok" : "#GP";
  }
  rdmsr(index: number, msr: number): string {
    const lapic = this.at(index);
    if (!run(lapic.msrRead(msr))) return "#GP";
    return lapic.msrHigh === 0 ? toHex(lapic.msrLow) : `${toHex(lapic.msrHigh)}_${toHex(lapic.msrLow).padStart(8, "0")}`;
  }
  /** All APICs to x2APIC mode. */
  x2apic(): this {
    for (const { index } of this.vm.vcpus) {
      const { base } = this.at(index);
      this.wrmsr(index, 0x1b, base.low | (1 << 10), base.high);
    }
    return this;
  }
  signalMsi(addressLo: number, data: number, addressHi = 0): number {
    return run(this.set.signalMsi(addressHi | 0, addressLo | 0, data | 0));
  }
  message(fields: Partial<ApicMessage>): ApicMessage {
    return Object.assign(new ApicMessage(), { mode: DeliveryMode.FIXED, shorthand: Shorthand.NONE }, fields);
  }
  deliver(fields: Partial<ApicMessage>, receivers: Receivers | null = null): number {
    return run(this.set.deliver(this.message(fields), receivers));
  }
  /** The vector taken, -1: none. */
  take(index = 0): number {
    const vector = run(this.at(index).nextInterrupt());
    if (vector >= 0) run(this.at(index).take(vector));
    return vector;
  }
  eoi(index = 0): number {
    return run(this.at(index).eoi());
  }
  /** Vectors in a bitmap of registers. */
  bits(index: number, base: ApicReg | number): number[] {
    const { page } = this.at(index);
    return Array.from({ length: 256 }, (_, v) => v).filter((v) => ((page[(base >> 2) + ((v >> 5) << 2)] >> (v & 31)) & 1) === 1);
  }
  /** vCPUs that have the vector requested. */
  requested(vector: number): number[] {
    return this.vm.vcpus.filter((v) => this.bits(v.index, 0x200).includes(vector)).map((v) => v.index);
  }
  /** Who of all was sent the vector since the last call; takes it off their IRR. */
  drain(vector: number): number[] {
    const who = this.requested(vector);
    for (const index of who) {
      this.take(index);
      this.eoi(index);
    }
    return who;
  }
}
