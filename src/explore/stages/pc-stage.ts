import { WaitEntry } from "../../host/poll.js";
import { eventfd2, type EventfdContext, eventfdContextOf } from "../../host/eventfd.js";
import { Process } from "../../host/process.js";
import { X86Host } from "../../host/x86/x86-host.js";
import type { X86Route } from "../../kvm/x86/irqchip.js";
import { getIoApicState, setIoApicState } from "../../irqchip/x86/ioapic/record.js";
import type { IoApic } from "../../irqchip/x86/ioapic/ioapic.js";
import type { LocalApicSet } from "../../irqchip/x86/local-apics.js";
import type { PicPair } from "../../irqchip/x86/pic.js";
import { AckNotifier, registerAckNotifier } from "../../kvm/notifiers.js";
import { Route } from "../../kvm/route.js";
import { RoutingTable } from "../../kvm/routing-table.js";
import { setIrq, swapRouting } from "../../kvm/routing.js";
import { Vm, VmFile } from "../../kvm/vm.js";
import { EmbeddedVcpu, X86Cpu } from "../../kvm/x86/cpu.js";
import { X86Module } from "../../kvm/x86/module.js";
import { X86VcpuFile } from "../../kvm/x86/vcpu-ioctl.js";
import { archOf, createIrqchip } from "../../kvm/x86/vm-ioctls.js";
import { X86, type X86Vm } from "../../kvm/x86/x86.js";
import type { Hazards } from "../../sim/hazards.js";
import type { Context } from "../../sim/context.js";
import { Sim } from "../../sim/sim.js";
import { run, type Step } from "../../sim/step.js";
import { EFD_NONBLOCK, EPOLLIN } from "../../uapi/eventfd.js";
import * as K from "../../uapi/kvm.js";
import { kvm_ioapic_state } from "../../uapi/x86.js";
import { Thread } from "./threads.js";

export const LAPIC = 0xfee0_0000;
const IOAPIC = 0xfec0_0000;
const [LDR, SPIV, EOI] = [LAPIC + 0xd0, LAPIC + 0xf0, LAPIC + 0xb0];
const ENABLED = 0x1ff;
const PINS = 24;
const ARGUMENT = 0x10000;

export interface PcStageOptions {
  hazards?: Partial<Hazards> | undefined;
  mode?: "full" | "split";
  /** Default 2. */
  cpus?: number;
  x2apic?: boolean;
  /** Split mode: told the vectors whose end the guest's exit brings. */
  ended?: (vector: number) => void;
}

/** The interrupt controllers of a PC as KVM has them, and CPUs that act when they are told; local APICs enabled, flat. */
export class PcStage {
  readonly sim: Sim;
  readonly process: Process;
  readonly vm: Vm;
  readonly arch: X86Vm;
  readonly cpus: X86Cpu[] = [];
  readonly vmFd: number;
  private vcpuFd = -1;

  constructor({ hazards, mode = "full", cpus = 2, x2apic = false, ended }: PcStageOptions = {}) {
    this.sim = new Sim({ hazards: hazards ?? {} });
    this.process = new Process(this.sim, "vmm");
    this.process.memory.map(ARGUMENT, 0x1000);
    this.vm = new Vm(new X86Module(new X86Host(this.sim, [0])), this.process, new X86(1), 46);
    this.arch = archOf(this.vm);
    const made = mode === "full" ? run(createIrqchip(this.vm)) : this.arch.enableCapability(K.KVM_CAP_SPLIT_IRQCHIP, PINS);
    if (made !== 0) throw new Error(`no irqchip: ${made}`);
    this.vmFd = this.process.install(new VmFile(this.vm));
    this.arch.setBootCpu(0);
    for (let i = 0; i < cpus; i++) run(this.addCpu(i, x2apic, ended));
    for (let i = 0; i < cpus; i++) this.enable(i);
  }

  private *addCpu(id: number, hasX2apic: boolean, ended?: (vector: number) => void): Step<void> {
    const { vm, arch } = this;
    const vcpu = new EmbeddedVcpu(vm, arch, id, ended === undefined ? {} : { ended });
    const lapic = yield* this.apics.add(vcpu);
    vcpu.apic = lapic;
    vm.createdVcpus++;
    arch.vcpus.push(vcpu);
    vm.vcpus.push(vcpu);
    yield* lapic.setCpuid({ hasX2apic, hasTscDeadline: false, physicalBits: 46 });
    this.cpus.push(new X86Cpu(vcpu, lapic));
  }

  enable(cpu: number): void {
    run(this.cpus[cpu].store(LDR, 1 << (24 + cpu)));
    run(this.setSoftwareEnable(cpu, true));
  }

  get apics(): LocalApicSet {
    const { apics } = this.arch;
    if (apics === null) throw new Error("no local APICs");
    return apics;
  }

  get ioapic(): IoApic {
    const { ioapic } = this.arch;
    if (ioapic === null) throw new Error("no IOAPIC");
    return ioapic;
  }

  get pic(): PicPair {
    const { pic } = this.arch;
    if (pic === null) throw new Error("no PIC");
    return pic;
  }

  // --- what runs at once with others ---

  /** A guest writes half an entry of the IOAPIC: index 0x10 + 2 * pin, or one more for the high half. */
  *writeIoapic(index: number, value: number, cpu = 0): Step<void> {
    yield* this.cpus[cpu].store(IOAPIC, index);
    yield* this.cpus[cpu].store(IOAPIC + 0x10, value);
  }

  /** A source drives a GSI. */
  *drive(gsi: number, level: number, source = 0): Step<number> {
    return yield* setIrq(this.vm, source, gsi, level, false);
  }

  /** SPIV bit 8 */
  *setSoftwareEnable(cpu: number, isOn: boolean): Step<void> {
    yield* this.cpus[cpu].store(SPIV, isOn ? ENABLED : ENABLED & ~0x100);
  }

  /** KVM_SET_IRQCHIP of the IOAPIC. */
  *restoreIoapic(record: DataView): Step<void> {
    yield* setIoApicState(this.ioapic, record);
    yield* this.pic.refresh();
  }

  *message(vector: number): Step<number> {
    return yield* this.apics.signalMsi(0, LAPIC | 0, vector);
  }

  *end(cpu = 0): Step<void> {
    yield* this.cpus[cpu].store(EOI, 0);
  }

  /** Takes what there is, and ends it: the vector, -1 for none. */
  *takeAndEnd(cpu = 0): Step<number> {
    const vector = yield* this.cpus[cpu].acknowledge();
    if (vector >= 0) yield* this.end(cpu);
    return vector;
  }

  *route(entries: readonly X86Route[]): Step<void> {
    const table = RoutingTable.of(this.vm, entries.map(messageRoute));
    if (typeof table === "number") throw new Error(`no routes: ${table}`);
    yield* swapRouting(this.vm, table);
  }

  // --- before a program starts, and after it has ended ---

  setEntry(pin: number, low: number, destination = 0): void {
    run(this.writeIoapic(0x11 + 2 * pin, destination << 24));
    run(this.writeIoapic(0x10 + 2 * pin, low));
  }

  /** KVM_GET_IRQCHIP of the IOAPIC. */
  savedIoapic(): DataView {
    const record = new DataView(new ArrayBuffer(kvm_ioapic_state.size));
    run(getIoApicState(this.ioapic, record));
    return record;
  }

  /** KVM_GET_LAPIC */
  savedLapic(cpu: number): Int32Array {
    const page = new Int32Array(K.kvm_lapic_state.size >> 2);
    run(this.cpus[cpu].lapic.get(page));
    return page;
  }

  /** The low half of an entry. */
  entry(pin: number): number {
    return this.ioapic.entryLow[pin];
  }

  isRequested(pin: number): boolean {
    return (this.ioapic.irr & (1 << pin)) !== 0;
  }

  line(gsi: number, level: number, source = 0): number {
    return run(this.drive(gsi, level, source));
  }

  take(cpu = 0): number {
    return run(this.cpus[cpu].acknowledge());
  }

  serve(cpu = 0): number {
    return run(this.takeAndEnd(cpu));
  }

  out(port: number, ...values: number[]): void {
    for (const value of values) run(this.cpus[0].out(port, value));
  }

  /** Who is told when the guest ends an interrupt of this GSI. */
  onEnd(gsi: number, what: () => Step<unknown>): void {
    run(registerAckNotifier(this.vm, new Listener(gsi, what)));
  }

  /** A resampling irqfd: its eventfd, and the one that its owner is told by. */
  resampling(gsi: number): { trigger: EventfdContext; told: EventfdContext } {
    const resamplefd = eventfd2(this.process, 0, EFD_NONBLOCK);
    return { trigger: this.irqfd(gsi, K.KVM_IRQFD_FLAG_RESAMPLE, resamplefd), told: this.context(resamplefd) };
  }

  /** An irqfd: its eventfd. */
  irqfd(gsi: number, flags = 0, resamplefd = 0): EventfdContext {
    const fd = eventfd2(this.process, 0, EFD_NONBLOCK);
    const view = new DataView(new ArrayBuffer(K.kvm_irqfd.size));
    K.kvm_irqfd.fd.set(view, fd);
    K.kvm_irqfd.gsi.set(view, gsi);
    K.kvm_irqfd.flags.set(view, flags);
    K.kvm_irqfd.resamplefd.set(view, resamplefd);
    this.process.memory.copyOut(ARGUMENT, new Uint8Array(view.buffer));
    const result = run(this.process.ioctl(this.vmFd, K.KVM_IRQFD, ARGUMENT));
    if (result !== 0) throw new Error(`KVM_IRQFD: ${result}`);
    return this.context(fd);
  }

  /** KVM_INTERRUPT on vCPU 0: 0 or a negative errno. */
  interrupt(vector: number): number {
    this.process.memory.setU32(ARGUMENT, vector);
    this.vcpuFd = this.vcpuFd < 0 ? this.process.install(new X86VcpuFile(this.arch.vcpus[0])) : this.vcpuFd;
    return run(this.process.ioctl(this.vcpuFd, K.KVM_INTERRUPT, ARGUMENT));
  }

  /** Whoever owns a resampling irqfd raises it again as soon as it is told. */
  own(told: EventfdContext, trigger: EventfdContext): void {
    run(told.waiters.addEntry(new Notice(this.sim, new Thread("owner", "user", () => trigger.signal()))));
  }

  private context(fd: number): EventfdContext {
    const context = eventfdContextOf(this.process, fd);
    if (typeof context === "number") throw new Error(`descriptor ${fd} is no eventfd`);
    return context;
  }

  signal(eventfd: EventfdContext): void {
    run(eventfd.signal());
    run(this.sim.settle());
  }
}

function messageRoute(entry: X86Route): Route {
  if ("chip" in entry) throw new Error("a message");
  const route = new Route();
  route.gsi = entry.gsi;
  route.type = K.KVM_IRQ_ROUTING_MSI;
  route.addressLo = entry.addressLo >>> 0;
  route.data = entry.data >>> 0;
  return route;
}

class Listener extends AckNotifier {
  constructor(
    gsi: number,
    private readonly what: () => Step<unknown>,
  ) {
    super(gsi);
  }
  override *acked(): Step<void> {
    yield* this.what();
  }
}

/** Wakes an owner when its resamplefd is signalled. */
class Notice extends WaitEntry {
  constructor(
    private readonly sim: Sim,
    private readonly owner: Context,
  ) {
    super();
  }
  override *wake(mask: number): Step<number> {
    if ((mask & EPOLLIN) !== 0) this.sim.wake(this.owner, 0);
    return 1;
  }
}
