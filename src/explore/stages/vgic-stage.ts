import { type PhysicalGic, type VirtualInterface } from "../../arch/gic/contract.js";
import { IchHcr, IchVmcr } from "../../arch/gic/gich.js";
import { Icc } from "../../arch/gic/icc.js";
import { GicV2 } from "../../host/gic/gicv2.js";
import { GicV3 } from "../../host/gic/gicv3.js";
import { TraceBuffer } from "../../sim/event.js";
import { Mutex } from "../../sim/lock.js";
import { Sim } from "../../sim/sim.js";
import { run, type Step } from "../../sim/step.js";
import type { AckListener, ArmIrqchipVm, IrqchipVcpu, MmioBus, MmioDevice } from "../../irqchip/contract.js";
import { PlainRam } from "../../irqchip/plain-ram.js";
import { createVgic, type Vgic } from "../../irqchip/gic/vgic.js";
import type { VgicCpu } from "../../irqchip/gic/vgic-cpu.js";
import type { VgicCompat, VgicDist } from "../../irqchip/gic/vgic-dist.js";
import type { Hazards } from "../../sim/hazards.js";
import type { VgicConfig, VgicIrq } from "../../irqchip/gic/vgic-irq.js";
import * as state from "../../irqchip/gic/vgic-state.js";

/** Few, because every stage boots a host. */
const HOST_INTERRUPTS = 96;

/** A vCPU that enters and leaves the guest when it is told to. */
export class FakeVcpu implements IrqchipVcpu {
  readonly mutex: Mutex;
  hasRun = false;
  physicalCpu = -1;
  inGuest = false;
  /** Requests to look, so far. */
  kicks = 0;
  processUpdate = false;

  constructor(
    sim: Sim,
    readonly id: number,
    readonly index: number,
  ) {
    this.mutex = new Mutex(sim, "vcpu->mutex");
  }

  *requestIrqPending(): Step<void> {
    this.kicks++;
  }

  *requestProcessUpdate(): Step<void> {
    this.processUpdate = true;
  }
}

/** Records "chip:pin" of every notification; `onAck` may answer, as a resampler does. */
export class FakeAcks implements AckListener {
  readonly acked: string[] = [];
  onAck: ((pin: number) => Step<void>) | null = null;

  *notifyAcked(chip: number, pin: number): Step<void> {
    this.acked.push(`${chip}:${pin}`);
    if (this.onAck !== null) yield* this.onAck(pin);
  }
}

/** A bus that refuses what overlaps. */
export class FakeBus implements MmioBus {
  readonly ranges: { base: number; size: number; device: MmioDevice }[] = [];

  *register(base: number, size: number, device: MmioDevice): Step<number> {
    if (this.ranges.some((range) => base < range.base + range.size && range.base < base + size)) return -17;
    this.ranges.push({ base, size, device });
    return 0;
  }

  *unregister(base: number, device: MmioDevice): Step<void> {
    const at = this.ranges.findIndex((range) => range.base === base && range.device === device);
    if (at >= 0) this.ranges.splice(at, 1);
  }
}

export class FakeVm implements ArmIrqchipVm {
  readonly lock: Mutex;
  readonly slotsLock: Mutex;
  readonly vcpus: FakeVcpu[] = [];
  createdVcpus = 0;
  ipaBits = 40;
  readonly acks = new FakeAcks();
  readonly mmioBus = new FakeBus();
  /** What installDefaultRouting was asked for, -1 before. */
  routedPins = -1;
  vgic: Vgic | null = null;
  private readonly halted: FakeVcpu[] = [];

  constructor(
    readonly sim: Sim,
    readonly hostGic: PhysicalGic,
    readonly ram: PlainRam = new PlainRam(0x4000_0000, 0x1000_0000),
  ) {
    this.lock = new Mutex(sim, "kvm->lock");
    this.slotsLock = new Mutex(sim, "kvm->slots_lock");
  }

  addVcpu(id: number): FakeVcpu {
    const vcpu = new FakeVcpu(this.sim, id, this.vcpus.length);
    this.vcpus.push(vcpu);
    this.createdVcpus++;
    return vcpu;
  }

  *installDefaultRouting(pins: number): Step<number> {
    this.routedPins = pins;
    return 0;
  }

  *haltGuest(): Step<void> {
    for (let i = 0; i < this.vcpus.length; i++) {
      const { [i]: vcpu } = this.vcpus;
      if (!vcpu.inGuest) continue;
      this.halted.push(vcpu);
      yield* this.exit(vcpu);
    }
  }

  *resumeGuest(): Step<void> {
    for (let vcpu = this.halted.pop(); vcpu !== undefined; vcpu = this.halted.pop()) yield* this.enter(vcpu);
  }

  *enter(vcpu: FakeVcpu): Step<void> {
    const vgic = this.vgic;
    if (vgic === null || vcpu.inGuest) return;
    if (vcpu.processUpdate) yield* vgic.processUpdate(vcpu.index);
    vcpu.processUpdate = false;
    vcpu.inGuest = true;
    yield* vgic.flush(vcpu.index);
  }

  *exit(vcpu: FakeVcpu): Step<void> {
    if (this.vgic === null || !vcpu.inGuest) return;
    vcpu.inGuest = false;
    yield* this.vgic.sync(vcpu.index);
  }
}

export interface HarnessOptions {
  /** Ids of the vCPUs, in order of creation. Default 0 to 3. */
  ids?: readonly number[];
  nrLr?: number;
  compat?: VgicCompat;
  hazards?: Partial<Hazards> | undefined;
  nrIrqs?: number;
  host?: PhysicalGic;
  ram?: PlainRam;
  sim?: Sim;
}

/**
 * Fixture F0 of gic.md D3: GICv3 (GICv2 with such a host), 4 vCPUs, each on a physical CPU of its own, initialised,
 * distributor on, PMR 0xF0, group 1 on. A vCPU is in the guest between `enter` and `exit`; what traps exits before it
 * takes effect and enters after it (D0.7).
 */
export class VgicStage {
  readonly sim: Sim;
  readonly gic: PhysicalGic;
  readonly vm: FakeVm;
  readonly vgic: Vgic;
  readonly trace = new TraceBuffer();
  /** Exits for maintenance that the list registers asked for. */
  maintenanceExits = 0;

  constructor(options: HarnessOptions = {}) {
    const ids = options.ids ?? [0, 1, 2, 3];
    this.sim = options.sim ?? new Sim({ cpus: ids.length, hazards: options.hazards });
    this.gic = options.host ?? hostGicV3(ids.length, options.nrLr ?? 4);
    this.vm = new FakeVm(this.sim, this.gic, options.ram);
    for (const id of ids) this.vm.addVcpu(id);
    const vgic = run(createVgic(this.vm, this.gic.version, null, { compat: options.compat ?? "newest" }));
    if (typeof vgic === "number") throw new Error(`createVgic: ${vgic}`);
    this.vgic = vgic;
    this.vm.vgic = vgic;
    if (options.nrIrqs !== undefined) this.dist.nrSpis = options.nrIrqs - 32;
    if (run(vgic.init()) !== 0) throw new Error("the vgic does not initialise");
    this.dist.distBase = 0x08000000;
    for (const vcpu of this.vm.vcpus) {
      vcpu.physicalCpu = vcpu.index;
      const cpu = this.cpu(vcpu.index);
      cpu.vmcr = (0xf0 << IchVmcr.PMR_SHIFT) | (vgic.model === 3 ? IchVmcr.ENG1 : IchVmcr.ENG0);
      run(vgic.load(vcpu.index, vcpu.index));
    }
    run(state.writeDistEnable(this.dist, true, false));
    this.sim.traceTo(this.trace);
  }

  get dist(): VgicDist {
    return this.vgic.dist;
  }

  cpu(vcpu: number): VgicCpu {
    return this.dist.cpus[vcpu];
  }

  irq(intid: number, vcpu = 0): VgicIrq {
    const irq = this.dist.irq(this.cpu(vcpu), intid);
    if (irq === null) throw new Error(`no interrupt ${intid}`);
    return irq;
  }

  vif(vcpu: number): VirtualInterface {
    return this.gic.virtualInterface(vcpu);
  }

  enter(vcpu: number): void {
    run(this.vm.enter(this.vm.vcpus[vcpu]));
  }

  exit(vcpu: number): void {
    run(this.vm.exit(this.vm.vcpus[vcpu]));
  }

  /** One exit and entry without any access. */
  cycle(vcpu: number): void {
    this.exit(vcpu);
    this.enter(vcpu);
  }

  /** What the guest on `vcpu` does to trapped state: out, the access, in again. */
  trapped<T>(vcpu: number, access: () => T): T {
    const wasIn = this.vm.vcpus[vcpu].inGuest;
    this.exit(vcpu);
    const result = access();
    if (wasIn) this.enter(vcpu);
    return result;
  }

  /** IAR of the guest; it enters first where it is out. */
  iar(vcpu = 0, group: 0 | 1 = this.vgic.model === 3 ? 1 : 0): number {
    this.enter(vcpu);
    const intid = run(this.vif(vcpu).acknowledge(group));
    this.maintain(vcpu);
    return intid;
  }

  eoi(intid: number, vcpu = 0, group: 0 | 1 = this.vgic.model === 3 ? 1 : 0): void {
    this.enter(vcpu);
    run(this.vif(vcpu).endOfInterrupt(group, intid));
    this.maintain(vcpu);
  }

  /** ICC_DIR: traps where the hypervisor asked for it. */
  dir(intid: number, vcpu = 0): void {
    this.enter(vcpu);
    if (this.vgic.trapsGiccDir) this.trapped(vcpu, () => run(this.vgic.guestDeactivate(vcpu, intid)));
    else if ((this.vif(vcpu).hcr & IchHcr.TDIR) !== 0) this.trapped(vcpu, () => run(this.vgic.guestSysregWrite(vcpu, Icc.DIR, intid, 0)));
    else run(this.vif(vcpu).deactivate(intid));
    this.maintain(vcpu);
  }

  hppir(vcpu = 0, group: 0 | 1 = 1): number {
    this.enter(vcpu);
    return this.vif(vcpu).highestPending(group);
  }

  rpr(vcpu = 0): number {
    return this.vif(vcpu).runningPriority();
  }

  sysreg(encoding: number, low: number, high = 0, vcpu = 0): boolean {
    return this.trapped(vcpu, () => run(this.vgic.guestSysregWrite(vcpu, encoding, low, high)));
  }

  /** Replaces fields of VMCR: `vmcr(IchVmcr.EOIM)` sets EOImode 1. */
  vmcr(set: number, clear = 0, vcpu = 0): void {
    const vif = this.vif(vcpu);
    vif.vmcr = (vif.vmcr & ~clear) | set;
    run(vif.update());
  }

  inject(intid: number, level = true, vcpu = -1, owner: object | null = null): number {
    return run(this.vgic.inject(vcpu, intid, level, owner));
  }

  /** Enables an interrupt and gives it a priority. */
  enable(intid: number, priority = 0xa0, config?: VgicConfig, vcpu = 0): VgicIrq {
    const irq = this.irq(intid, vcpu);
    run(state.writePriority(this.dist, irq, priority));
    if (config !== undefined) run(state.writeConfig(irq, config));
    run(state.setEnabled(this.dist, irq, false));
    return irq;
  }

  isPending(intid: number, vcpu = 0, isUser = false): boolean {
    return run(state.readPending(this.dist, this.irq(intid, vcpu), isUser));
  }

  isActive(intid: number, vcpu = 0): boolean {
    return run(state.readActive(this.irq(intid, vcpu)));
  }

  /** ICACTIVER or ISACTIVER, written by the guest on `by`. */
  changeActive(intid: number, isActive: boolean, by = 0, vcpu = by): void {
    const irq = this.irq(intid, vcpu);
    this.trapped(by, () => {
      run(state.beginActiveAccess(this.dist, intid));
      run(isActive ? state.setActive(this.dist, irq, this.cpu(by)) : state.clearActive(this.dist, irq, this.cpu(by)));
      run(state.endActiveAccess(this.dist, intid));
    });
  }

  /** "50a0000000000028" for a list register of the physical CPU. */
  lr(vcpu: number, index: number): string {
    const vif = this.vif(vcpu);
    return hex(vif.lrHi[index]) + hex(vif.lrLo[index]);
  }

  /** INTIDs of the list registers that hold something. */
  listed(vcpu: number): number[] {
    return this.cpu(vcpu).apList.intids();
  }

  /** Acknowledges and ends until nothing is left; the INTIDs in order. */
  drain(vcpu = 0): number[] {
    const all: number[] = [];
    for (let intid = this.iar(vcpu); intid !== 1023; intid = this.iar(vcpu)) {
      all.push(intid);
      this.eoi(intid, vcpu);
    }
    return all;
  }

  private maintain(vcpu: number): void {
    const vif = this.vif(vcpu);
    if ((vif.hcr & IchHcr.EN) === 0 || vif.misr() === 0) return;
    this.maintenanceExits++;
    this.cycle(vcpu);
  }
}

const hex = (value: number): string => (value >>> 0).toString(16).padStart(8, "0");

export function hostGicV3(cpus: number, nrLr = 4): GicV3 {
  const gic = new GicV3({ cpus, interrupts: HOST_INTERRUPTS, listRegisters: nrLr });
  gic.boot();
  return gic;
}


export function hostGicV2(cpus: number, nrLr = 4): GicV2 {
  const gic = new GicV2({ cpus, interrupts: HOST_INTERRUPTS, listRegisters: nrLr });
  gic.boot();
  return gic;
}
