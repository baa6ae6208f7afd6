import { eventfd2 } from "../../host/eventfd.js";
import { GicV2 } from "../../host/gic/gicv2.js";
import { GicV3 } from "../../host/gic/gicv3.js";
import { GicHost } from "../../host/gic/gic-host.js";
import { ItsHost, type ItsHostOptions } from "../../host/its/its-host.js";
import { RunQueue, type RunQueueGroup } from "../../host/run-queue.js";
import { Process } from "../../host/process.js";
import { Vgic, type VgicOptions } from "../../irqchip/gic/vgic.js";
import { Arm64 } from "../../kvm/arm64/arm64.js";
import type { Hazards } from "../../sim/hazards.js";
import { KvmModule } from "../../kvm/arm64/module.js";
import { KvmFile, vmOf } from "../../kvm/system.js";
import type { Vcpu } from "../../kvm/arm64/vcpu.js";
import { VcpuThread } from "../../kvm/vcpu-thread.js";
import type { Vm } from "../../kvm/vm.js";
import { TraceBuffer } from "../../sim/event.js";
import { Sim } from "../../sim/sim.js";
import { run, type Step } from "../../sim/step.js";
import { EFD_NONBLOCK } from "../../uapi/eventfd.js";
import * as A from "../../uapi/arm.js";
import * as K from "../../uapi/kvm.js";
import { type GuestSoftwareOptions, GuestSoftware } from "../../guest/software.js";
import { Thread } from "./threads.js";

export const RAM = 0x4000_0000;
export const DISTRIBUTOR = 0x0800_0000;
export const REDISTRIBUTORS = 0x080a_0000;
/** A register of a device that user space emulates. */
export const DEVICE = 0x0900_0000;
export const ARGUMENT = 0x10000;
const RAM_HVA = 0x7f00_0000_0000;
const RAM_SIZE = 0x20_0000;

/** A vCPU thread whose user space completes MMIO by what it is told. */
export class VmmThread extends VcpuThread {
  /** Results of KVM_RUN, "0:6" for an MMIO exit. */
  readonly results: string[] = [];
  /** Called on a write to a device that user space emulates. */
  onWrite: ((address: number, value: number) => Step<void>) | null = null;
  /** False: the thread sleeps after each return, as in a single-stepped VMM. */
  goesOn = true;

  override *userspace(result: number): Step<boolean> {
    const { memory } = this.process;
    const at = this.vcpu.runAddress;
    const reason = memory.getU32(at + K.kvm_run.exit_reason.offset);
    this.results.push(`${result}:${reason}`);
    if (result === 0 && reason === K.KVM_EXIT_MMIO && memory.getU8(at + K.kvm_run.mmio.is_write.offset) === 1) {
      const address = memory.getU64(at + K.kvm_run.mmio.phys_addr.offset);
      if (this.onWrite !== null) yield* this.onWrite(address, memory.getU32(at + K.kvm_run.mmio.data.offset));
    }
    return this.goesOn && result === 0 && reason === K.KVM_EXIT_MMIO;
  }
}

export interface MachineOptions {
  version?: 2 | 3;
  vcpus?: number;
  listRegisters?: number;
  haltPollMaxNs?: number;
  trace?: boolean;
  /** SPIs of the VM; default 224. */
  spiCount?: number;
  hazards?: Partial<Hazards> | undefined;
  /** The host has LPIs and ITSs. */
  its?: ItsHostOptions;
  /** kvm-arm.vgic_v4_enable; default off. */
  vgicV4Enable?: boolean;
  /** Whose rules its vGIC follows. */
  vgic?: VgicOptions;
  guest?: Partial<GuestSoftwareOptions>;
}

function plainGic(version: 2 | 3, cpus: number, listRegisters: number): GicV2 | GicV3 {
  const gic = version === 3 ? new GicV3({ cpus, listRegisters }) : new GicV2({ cpus, listRegisters });
  gic.boot();
  return gic;
}

/** A host with one VM: vCPU i runs on physical CPU i + 1, everything else on CPU 0. Guest software is loaded, not started. */
export class GuestMachine {
  readonly trace = new TraceBuffer();
  readonly sim: Sim;
  readonly gic: GicV2 | GicV3;
  readonly host: GicHost;
  /** Null unless the host has ITSs. */
  readonly lpis: ItsHost | null;
  readonly module: KvmModule;
  readonly process: Process;
  readonly vm: Vm;
  readonly kvm: number;
  readonly vmFd: number;
  readonly vgic: Vgic;
  /** The vGIC's device. */
  vgicFd = -1;
  readonly software: GuestSoftware;
  readonly vcpus: Vcpu[];
  readonly fds: readonly number[];
  readonly threads: VmmThread[] = [];

  constructor(options: MachineOptions = {}) {
    const { version = 3, vcpus = 1, listRegisters = 4 } = options;
    this.sim = new Sim({ cpus: vcpus + 1, hazards: options.hazards, trace: options.trace === false ? null : this.trace });
    const lpis = options.its === undefined ? null : ItsHost.create(this.sim, vcpus + 1, { listRegisters, ...options.its });
    this.gic = lpis?.gic ?? plainGic(version, vcpus + 1, listRegisters);
    this.host = lpis?.host ?? new GicHost(this.sim, this.gic);
    this.lpis = lpis;
    this.module = new KvmModule(this.host, { haltPollMaxNs: options.haltPollMaxNs ?? 0, vgicV4Enable: options.vgicV4Enable ?? false });
    run(this.module.start());
    this.process = new Process(this.sim, "vmm");
    this.process.memory.map(ARGUMENT, 0x1000);
    this.process.memory.map(RAM_HVA, RAM_SIZE);
    this.kvm = this.process.install(new KvmFile(this.module, new Arm64({ cpus: vcpus + 1, gicVersion: version, vgic: options.vgic ?? {} })));
    this.vmFd = this.ioctl(this.kvm, K.KVM_CREATE_VM, 0);
    const vm = vmOf(this.process, this.vmFd);
    if (vm === null) throw new Error("no VM");
    this.vm = vm;
    this.setMemory(0, RAM, RAM_SIZE, RAM_HVA);
    const gic = { version, distributor: DISTRIBUTOR, redistributors: REDISTRIBUTORS };
    this.software = new GuestSoftware({ gic, vcpus, base: RAM, ...options.guest });
    const fds = Array.from({ length: vcpus }, (_, id) => this.ioctl(this.vmFd, K.KVM_CREATE_VCPU, id));
    this.fds = fds;
    this.vcpus = vm.armVcpus;
    this.vgic = this.makeVgic(version, options.spiCount ?? 224);
    for (const [i, fd] of fds.entries()) {
      const { [i]: vcpu } = this.vcpus;
      this.init(fd, 0);
      vcpu.guest = this.software.guest;
      vcpu.regs.pc = this.software.entries[i];
      this.threads.push(new VmmThread(vcpu, this.process, fd, i + 1));
    }
  }

  /** Starts all vCPUs and runs until everything is quiet; counters and trace begin after it. */
  boot(): this {
    for (const thread of this.threads) this.sim.wake(thread, 0);
    this.settle();
    this.zero();
    return this;
  }

  /** All vCPUs have one CPU by turns. Call it before {@link boot}. */
  shareCpu(cpu: number): RunQueueGroup {
    const group: RunQueueGroup = { sliceNs: 1, queues: [], endsLeft: Infinity };
    RunQueue.add(this.sim, this.host.cpus[cpu], group);
    for (const thread of this.threads) thread.cpu = cpu;
    return group;
  }

  /** What `what` does, as a context to be woken. */
  later(what: () => Step<unknown>, name = "later"): Thread {
    return new Thread(name, "user", what);
  }

  /** One more thread on a vCPU's descriptor, on the same CPU. */
  anotherThread(vcpu: number): VmmThread {
    return new VmmThread(this.vcpus[vcpu], this.process, this.fds[vcpu], vcpu + 1);
  }

  settle(): void {
    run(this.sim.settle());
  }

  private base: Record<string, number> = {};

  zero(): void {
    this.base = {};
    this.base = this.counts();
    this.trace.clear();
  }

  /** What happened since {@link zero}, summed over all vCPUs and their CPUs; zeroes left out. */
  get since(): Record<string, number> {
    const now = this.counts();
    for (const key of Object.keys(now)) {
      now[key] -= this.base[key] ?? 0;
      if (now[key] === 0) delete now[key];
    }
    return now;
  }

  private counts(): Record<string, number> {
    const all: Record<string, number> = {};
    const add = (key: string, n: number): void => void (all[key] = (all[key] ?? 0) + n);
    for (const { stat } of this.vcpus) {
      add("exits", stat.exits);
      ["", "IRQ", "WFx", "DABT", "SYSREG", "HVC"].forEach((name, i) => i > 0 && add(name, stat.exitsByReason[i]));
      add("mmioUser", stat.mmioExitUser);
      add("mmioKernel", stat.mmioExitKernel);
      add("haltWakeup", stat.haltWakeup);
      add("polls", stat.haltAttemptedPoll);
      add("goodPolls", stat.haltSuccessfulPoll);
    }
    this.host.cpus.slice(1).forEach((cpu) => {
      add("IPI0", cpu.ipisTaken[0]);
      add("IPI1", cpu.ipisTaken[1]);
      add("hostIrqs", cpu.interrupts);
    });
    add("acks", this.software.guest.stats.acknowledged);
    return all;
  }

  ioctl(fd: number, request: number, argument: number): number {
    return run(this.process.ioctl(fd, request, argument));
  }

  /** KVM_SET_USER_MEMORY_REGION */
  setMemory(slot: number, gpa: number, size: number, hva: number, flags = 0, vmFd = this.vmFd): number {
    const view = new DataView(new ArrayBuffer(K.kvm_userspace_memory_region.size));
    const region = K.kvm_userspace_memory_region;
    region.slot.set(view, slot);
    region.flags.set(view, flags);
    region.guest_phys_addr.setNumber(view, gpa);
    region.memory_size.setNumber(view, size);
    region.userspace_addr.setNumber(view, hva);
    return this.call(vmFd, K.KVM_SET_USER_MEMORY_REGION, view);
  }

  /** KVM_ARM_VCPU_INIT */
  init(fd: number, features: number, target = 5): number {
    const view = new DataView(new ArrayBuffer(K.kvm_vcpu_init.size));
    K.kvm_vcpu_init.target.set(view, target);
    K.kvm_vcpu_init.features[0].set(view, features);
    return this.call(fd, K.KVM_ARM_VCPU_INIT, view);
  }

  /** KVM_GET_ONE_REG: the value, or a negative errno. */
  getReg(fd: number, lo: number, hi = 0x6030_0000): number {
    const result = this.call(fd, K.KVM_GET_ONE_REG, this.oneReg(lo, hi));
    return result < 0 ? result : this.process.memory.getU64(ARGUMENT + 64);
  }

  setReg(fd: number, lo: number, value: number, hi = 0x6030_0000): number {
    this.process.memory.setU64(ARGUMENT + 64, value);
    return this.call(fd, K.KVM_SET_ONE_REG, this.oneReg(lo, hi));
  }

  private oneReg(lo: number, hi: number): DataView {
    const view = new DataView(new ArrayBuffer(K.kvm_one_reg.size));
    K.kvm_one_reg.id.setHalves(view, lo, hi);
    K.kvm_one_reg.addr.setNumber(view, ARGUMENT + 64);
    return view;
  }

  /** KVM_GET_MP_STATE: the state, or a negative errno. */
  getMpState(fd: number): number {
    const result = this.ioctl(fd, K.KVM_GET_MP_STATE, ARGUMENT);
    return result < 0 ? result : this.process.memory.getU32(ARGUMENT);
  }

  setMpState(fd: number, mpState: number): number {
    this.process.memory.setU32(ARGUMENT, mpState);
    return this.ioctl(fd, K.KVM_SET_MP_STATE, ARGUMENT);
  }

  call(fd: number, request: number, view: DataView): number {
    this.process.memory.copyOut(ARGUMENT, new Uint8Array(view.buffer));
    return this.ioctl(fd, request, ARGUMENT);
  }

  /** KVM_IRQ_LINE of an SPI, by a user thread on CPU 0. */
  irqLine(intid: number, level: 0 | 1): number {
    return run(this.setLine(intid, level));
  }

  *setLine(intid: number, level: 0 | 1): Step<number> {
    const { memory } = this.process;
    memory.setU32(ARGUMENT, (1 << 24) | intid);
    memory.setU32(ARGUMENT + 4, level);
    return yield* this.process.ioctl(this.vmFd, K.KVM_IRQ_LINE, ARGUMENT);
  }

  /** An eventfd that injects `gsi`; with `resamples`, a level one whose end another eventfd is told. */
  irqfd(gsi: number, resamples = false): number {
    const fd = eventfd2(this.process, 0, EFD_NONBLOCK);
    const view = new DataView(new ArrayBuffer(K.kvm_irqfd.size));
    K.kvm_irqfd.fd.set(view, fd);
    K.kvm_irqfd.gsi.set(view, gsi);
    if (resamples) {
      K.kvm_irqfd.flags.set(view, K.KVM_IRQFD_FLAG_RESAMPLE);
      K.kvm_irqfd.resamplefd.set(view, eventfd2(this.process, 0, EFD_NONBLOCK));
    }
    const result = this.call(this.vmFd, K.KVM_IRQFD, view);
    if (result !== 0) throw new Error(`KVM_IRQFD: ${result}`);
    return fd;
  }

  /** write(2) of 1 to an eventfd, and everything that follows. */
  signal(fd: number): void {
    this.process.memory.setU64(ARGUMENT, 1);
    run(this.process.write(fd, ARGUMENT, 8));
    this.settle();
  }

  pulse(intid: number): void {
    this.irqLine(intid, 1);
    this.irqLine(intid, 0);
  }

  /** The vGIC by the device control API, as a VMM makes it. */
  private makeVgic(version: 2 | 3, spiCount: number): Vgic {
    const view = new DataView(new ArrayBuffer(K.kvm_create_device.size));
    K.kvm_create_device.type.set(view, version === 3 ? K.KVM_DEV_TYPE_ARM_VGIC_V3 : K.KVM_DEV_TYPE_ARM_VGIC_V2);
    const made = this.call(this.vmFd, K.KVM_CREATE_DEVICE, view);
    if (made < 0) throw new Error(`no vGIC: ${made}`);
    const fd = this.process.memory.getU32(ARGUMENT + K.kvm_create_device.fd.offset);
    this.vgicFd = fd;
    this.setAttr(fd, A.KVM_DEV_ARM_VGIC_GRP_NR_IRQS, 0, spiCount + 32);
    const dist = version === 3 ? A.KVM_VGIC_V3_ADDR_TYPE_DIST : A.KVM_VGIC_V2_ADDR_TYPE_DIST;
    const other = version === 3 ? A.KVM_VGIC_V3_ADDR_TYPE_REDIST : A.KVM_VGIC_V2_ADDR_TYPE_CPU;
    this.setAttr(fd, A.KVM_DEV_ARM_VGIC_GRP_ADDR, dist, DISTRIBUTOR);
    this.setAttr(fd, A.KVM_DEV_ARM_VGIC_GRP_ADDR, other, REDISTRIBUTORS);
    this.setAttr(fd, A.KVM_DEV_ARM_VGIC_GRP_CTRL, A.KVM_DEV_ARM_VGIC_CTRL_INIT, 0);
    const { armIrqchip } = this.vm;
    if (!(armIrqchip instanceof Vgic)) throw new Error("no vGIC");
    return armIrqchip;
  }

  /** KVM_SET_DEVICE_ATTR with a u64. */
  setAttr(fd: number, group: number, attr: number, value: number): void {
    const view = new DataView(new ArrayBuffer(K.kvm_device_attr.size));
    K.kvm_device_attr.group.set(view, group);
    K.kvm_device_attr.attr.setNumber(view, attr);
    K.kvm_device_attr.addr.setNumber(view, ARGUMENT + 64);
    this.process.memory.setU64(ARGUMENT + 64, value);
    const result = this.call(fd, K.KVM_SET_DEVICE_ATTR, view);
    if (result !== 0) throw new Error(`vGIC attribute ${group}, ${attr}: ${result}`);
  }
}
