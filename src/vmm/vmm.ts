import type { DeviceNodes } from "../host/device-nodes.js";
import type { GicHost } from "../host/gic/gic-host.js";
import { eventfd2 } from "../host/eventfd.js";
import { Process } from "../host/process.js";
import type { GuestSoftware } from "../guest/software.js";
import { VcpuFile } from "../kvm/vcpu-ioctl.js";
import type { Step } from "../sim/step.js";
import {
  KVM_DEV_ARM_VGIC_CTRL_INIT,
  KVM_DEV_ARM_VGIC_GRP_ADDR,
  KVM_DEV_ARM_VGIC_GRP_CTRL,
  KVM_DEV_ARM_VGIC_GRP_NR_IRQS,
  KVM_VGIC_V2_ADDR_TYPE_CPU,
  KVM_VGIC_V2_ADDR_TYPE_DIST,
  KVM_VGIC_V3_ADDR_TYPE_DIST,
  KVM_VGIC_V3_ADDR_TYPE_REDIST,
} from "../uapi/arm.js";
import { EFD_NONBLOCK } from "../uapi/eventfd.js";
import { KVM_DEV_TYPE_ARM_VGIC_V2, KVM_DEV_TYPE_ARM_VGIC_V3 } from "../uapi/kvm.js";
import { Arguments } from "./arguments.js";
import { EventLoop } from "./event-loop.js";
import { KvmDevice, KvmSystem, KvmVcpu, KvmVm } from "./kvm.js";
import { must } from "./must.js";
import { VmmVcpu } from "./vmm-vcpu.js";

/** The guest's physical address space, and where the VMM keeps things in its own. */
export const GUEST = { distributor: 0x0800_0000, cpuInterface: 0x0801_0000, redistributors: 0x080a_0000, devices: 0x0a00_0000, ram: 0x4000_0000 } as const;
const USER = { args: 0x1_0000, counter: 0x2_0000, ram: 0x10_0000_0000 } as const;
const PAGE = 4096;
/** A raised RLIMIT_NOFILE: one for each vCPU, up to two for each interrupt. */
const DESCRIPTORS = 4096;
const RAM_SIZE = 0x20_0000;
const GENERIC_V8 = 5;
const PSCI_0_2 = 1 << 2;
const RAM_SLOT = 0;
const FIRST_SPI = 32;

export interface VmmOptions {
  /** Physical CPU of the main thread. */
  readonly mainCpu: number;
  /** Physical CPUs of the vCPUs: the first is vCPU 0's alone as far as there are others for the rest. */
  readonly vcpuCpus: readonly number[];
  readonly vcpus: number;
  /** Interrupts of the guest's GIC, 64 to 992 in steps of 32. */
  readonly interrupts: number;
  readonly software: GuestSoftware;
}

/** A guest access that the VMM emulates. */
export interface MmioHandler {
  readonly start: number;
  readonly size: number;
  /** The value read, or of a write; `offset` from `start`. */
  access(offset: number, size: number, isWrite: boolean, value: number): Step<number>;
}

/**
 * The reference user space: one process that makes a VM with an in-kernel GIC through the uAPI alone, as a real VMM
 * does, and runs its guest. Devices are wired to it by whoever uses it.
 */
export class Vmm {
  readonly process: Process;
  readonly args: Arguments;
  readonly loop: EventLoop;
  readonly threads: VmmVcpu[] = [];
  readonly mmio: MmioHandler[] = [];
  readonly kvm: KvmSystem;
  readonly vm: KvmVm;
  private nextSlot = RAM_SLOT + 1;

  private constructor(
    readonly host: GicHost,
    readonly nodes: DeviceNodes,
    process: Process,
    kvmFd: number,
    vmFd: number,
    options: VmmOptions,
    args: Arguments,
  ) {
    this.process = process;
    this.args = args;
    this.kvm = new KvmSystem(process, kvmFd, args);
    this.vm = new KvmVm(process, vmFd, args);
    this.loop = new EventLoop(host.sim, process, host.cpus[options.mainCpu], USER.counter);
  }

  /** A process with a VM: vCPUs initialised, GIC ready, RAM mapped, software in place; nothing runs yet. */
  static *start(host: GicHost, nodes: DeviceNodes, options: VmmOptions): Step<Vmm> {
    const process = new Process(host.sim, "vmm", { capabilities: ["IPC_LOCK"], descriptorLimit: DESCRIPTORS });
    const args = new Arguments(process, USER.args);
    process.memory.map(USER.counter, PAGE);
    process.memory.map(USER.ram, RAM_SIZE);
    const kvmFd = must(yield* nodes.open(process, "/dev/kvm"), "open /dev/kvm");
    const vmFd = must(yield* new KvmSystem(process, kvmFd, args).createVm(), "KVM_CREATE_VM");
    const vmm = new Vmm(host, nodes, process, kvmFd, vmFd, options, args);
    for (let id = 0; id < options.vcpus; id++) yield* vmm.addVcpu(id, options);
    yield* vmm.createGic(options.interrupts);
    must(yield* vmm.vm.setMemory(RAM_SLOT, GUEST.ram, RAM_SIZE, USER.ram), "KVM_SET_USER_MEMORY_REGION");
    return vmm;
  }

  private *addVcpu(id: number, options: VmmOptions): Step<void> {
    const fd = must(yield* this.vm.createVcpu(id), "KVM_CREATE_VCPU");
    must(yield* new KvmVcpu(this.process, fd, this.args).init(GENERIC_V8, PSCI_0_2), "KVM_ARM_VCPU_INIT");
    const file = this.process.file(fd);
    if (!(file instanceof VcpuFile)) throw new Error("KVM_CREATE_VCPU gave something that is no vCPU");
    const { vcpu } = file;
    vcpu.guest = options.software.guest;
    vcpu.regs.pc = options.software.entries[id];
    const [first, ...others] = options.vcpuCpus;
    const cpu = id === 0 || others.length === 0 ? first : others[(id - 1) % others.length];
    this.threads.push(new VmmVcpu(vcpu, this.process, fd, cpu, this));
  }

  private *createGic(interrupts: number): Step<void> {
    const isV2 = this.host.gic.version === 2;
    const fd = must(yield* this.vm.createDevice(isV2 ? KVM_DEV_TYPE_ARM_VGIC_V2 : KVM_DEV_TYPE_ARM_VGIC_V3), "KVM_CREATE_DEVICE vgic");
    const gic = new KvmDevice(this.process, fd, this.args);
    must(yield* gic.setU32(KVM_DEV_ARM_VGIC_GRP_NR_IRQS, 0, interrupts), "NR_IRQS");
    const distributor = isV2 ? KVM_VGIC_V2_ADDR_TYPE_DIST : KVM_VGIC_V3_ADDR_TYPE_DIST;
    must(yield* gic.setU64(KVM_DEV_ARM_VGIC_GRP_ADDR, distributor, GUEST.distributor), "GICD address");
    const [second, address] = isV2 ? [KVM_VGIC_V2_ADDR_TYPE_CPU, GUEST.cpuInterface] : [KVM_VGIC_V3_ADDR_TYPE_REDIST, GUEST.redistributors];
    must(yield* gic.setU64(KVM_DEV_ARM_VGIC_GRP_ADDR, second, address), "GICC or GICR address");
    must(yield* gic.set(KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT), "VGIC INIT");
  }

  /** Starts the vCPU threads; they run when the world does. */
  run(): void {
    for (const thread of this.threads) this.host.sim.wake(thread, 0);
  }

  /** A non-blocking eventfd of this process. */
  eventfd(): number {
    return must(eventfd2(this.process, 0, EFD_NONBLOCK), "eventfd2");
  }

  /** A memory slot that nothing uses yet. */
  takeSlot(): number {
    return this.nextSlot++;
  }

  /** Guest RAM: where it is in the VMM and in the guest. */
  get ram(): { readonly user: number; readonly guest: number; readonly size: number } {
    return { user: USER.ram, guest: GUEST.ram, size: RAM_SIZE };
  }

  /** The handler of a guest physical address; null where nothing is. */
  mmioAt(address: number): MmioHandler | null {
    for (let i = 0; i < this.mmio.length; i++) {
      const handler = this.mmio[i];
      if (address >= handler.start && address < handler.start + handler.size) return handler;
    }
    return null;
  }

  /** The GSI of an SPI of the guest. */
  static gsiOf(intid: number): number {
    return intid - FIRST_SPI;
  }
}
