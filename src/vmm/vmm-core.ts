import type { DeviceNodes } from "../host/device-nodes.js";
import { eventfd2 } from "../host/eventfd.js";
import type { Host } from "../host/machine.js";
import { Process } from "../host/process.js";
import type { VcpuCore } from "../kvm/vcpu-core.js";
import type { Step } from "../sim/step.js";
import { EFD_NONBLOCK } from "../uapi/eventfd.js";
import { Arguments } from "./arguments.js";
import { EventLoop } from "./event-loop.js";
import { type GuestMessage, KvmSystem, KvmVm } from "./kvm.js";
import { must } from "./must.js";
import { VFIO_TYPE1v2_IOMMU } from "../uapi/vfio.js";
import type { VfioContainerClient } from "./vfio.js";
import { VmmVcpu } from "./vmm-vcpu.js";

/** Where the VMM keeps things in its own address space. */
const USER = { args: 0x1_0000, counter: 0x2_0000, ram: 0x1000_0000 } as const;
const PAGE = 4096;
/** A raised RLIMIT_NOFILE: one for each vCPU, up to two for each interrupt. */
const DESCRIPTORS = 4096;
const RAM_SIZE = 0x20_0000;
const RAM_SLOT = 0;

/** A guest access that the VMM emulates. */
export interface MmioHandler {
  readonly start: number;
  readonly size: number;
  /** The value read, or of a write; `offset` from `start`. */
  access(offset: number, size: number, isWrite: boolean, value: number): Step<number>;
}

/** An irqfd as it was assigned: descriptors of the VMM, `resample` -1 for a plain one. */
export interface VmmIrqfd {
  readonly trigger: number;
  readonly gsi: number;
  readonly resample: number;
}

/** What {@link VmmCore} begins with. */
export interface VmmProcess {
  readonly process: Process;
  readonly args: Arguments;
  readonly kvmFd: number;
  readonly vmFd: number;
}

/**
 * The reference user space: one process that makes a VM through the uAPI alone, as a real VMM does, and runs its guest.
 * Devices are wired to it by whoever uses it.
 */
export abstract class VmmCore {
  readonly process: Process;
  readonly args: Arguments;
  readonly loop: EventLoop;
  readonly threads: VmmVcpu[] = [];
  readonly mmio: MmioHandler[] = [];
  readonly kvm: KvmSystem;
  /** The VM that the guest is in. */
  vm: KvmVm;
  /** What irqfds there are: a VM that takes another's place gets the same. */
  readonly irqfds: VmmIrqfd[] = [];
  private readonly slots = new Map<number, { readonly guest: number; readonly size: number; readonly user: number }>();
  private nextSlot = RAM_SLOT + 1;

  /** @param mainCpu physical CPU of the main thread */
  protected constructor(
    readonly host: Host,
    readonly nodes: DeviceNodes,
    { process, args, kvmFd, vmFd }: VmmProcess,
    mainCpu: number,
  ) {
    this.process = process;
    this.args = args;
    this.kvm = new KvmSystem(process, kvmFd, args);
    this.vm = new KvmVm(process, vmFd, args);
    this.loop = new EventLoop(host.sim, process, host.cpus[mainCpu], USER.counter);
  }

  /** A process with an empty VM. */
  protected static *startProcess(host: Host, nodes: DeviceNodes): Step<VmmProcess> {
    const process = new Process(host.sim, "vmm", { capabilities: ["IPC_LOCK"], descriptorLimit: DESCRIPTORS });
    const args = new Arguments(process, USER.args);
    process.memory.map(USER.counter, PAGE);
    process.memory.map(USER.ram, RAM_SIZE);
    const kvmFd = must(yield* nodes.open(process, "/dev/kvm"), "open /dev/kvm");
    const vmFd = must(yield* new KvmSystem(process, kvmFd, args).createVm(), "KVM_CREATE_VM");
    return { process, args, kvmFd, vmFd };
  }

  /** Guest physical addresses of RAM, and of an assigned device's registers. */
  abstract readonly guestMap: { readonly ram: number; readonly devices: number };
  /** Drives the guest's interrupt line: an SPI's INTID, or a GSI. 0 or a negative errno. */
  abstract setLine(line: number, isHigh: boolean): Step<number>;
  /** The GSI that irqfds take for it. */
  abstract gsiOf(line: number): number;

  /** An exit other than MMIO. False: the vCPU's thread stays outside of the guest. */
  *handleExit(_thread: VmmVcpu, _reason: number): Step<boolean> {
    return false;
  }

  /** KVM_RUN has failed with `result`: is it called again? */
  runsAgain(_result: number): boolean {
    return false;
  }

  /** The thread of a vCPU whose descriptor is `fd`: the first has a physical CPU of its own as far as there are others, unless all share all. */
  protected addThread(vcpu: VcpuCore, fd: number, index: number, cpus: readonly number[], sharesCpus = false): void {
    const [first, ...others] = cpus;
    const isApart = !sharesCpus && index > 0 && others.length > 0;
    const cpu = isApart ? others[(index - 1) % others.length] : sharesCpus ? cpus[index % cpus.length] : first;
    this.threads.push(new VmmVcpu(vcpu, this.process, fd, cpu, this));
  }

  protected *mapRam(): Step<void> {
    must(yield* this.setMemory(RAM_SLOT, this.guestMap.ram, RAM_SIZE, USER.ram), "KVM_SET_USER_MEMORY_REGION");
  }

  /** A memory slot of the guest; size 0 deletes it. 0 or a negative errno. */
  *setMemory(slot: number, guest: number, size: number, user: number): Step<number> {
    const result = yield* this.vm.setMemory(slot, guest, size, user);
    if (result < 0) return result;
    if (size === 0) this.slots.delete(slot);
    else this.slots.set(slot, { guest, size, user });
    return 0;
  }

  /** All slots once more, in a VM that has none. */
  protected *mapAgain(): Step<void> {
    const slots = [...this.slots];
    for (let i = 0; i < slots.length; i++) {
      const [slot, { guest, size, user }] = slots[i];
      must(yield* this.vm.setMemory(slot, guest, size, user), "KVM_SET_USER_MEMORY_REGION");
    }
  }

  /** An irqfd, plain where `resample` is -1. 0 or a negative errno. */
  *assignIrqfd(trigger: number, gsi: number, resample: number): Step<number> {
    const result = yield* this.vm.assignIrqfd(trigger, gsi, resample);
    if (result === 0) this.irqfds.push({ trigger, gsi, resample });
    return result;
  }

  *deassignIrqfd(trigger: number, gsi: number): Step<number> {
    const at = this.irqfds.findIndex((each) => each.trigger === trigger && each.gsi === gsi);
    if (at >= 0) this.irqfds.splice(at, 1);
    return yield* this.vm.deassignIrqfd(trigger, gsi);
  }

  /** The guest's message, by the VMM itself. 0 or more, or a negative errno. */
  *sendMessage(message: GuestMessage): Step<number> {
    return yield* this.vm.signalMsi(message);
  }

  /** Lets devices reach the guest's RAM: the container's IOMMU, and RAM where the guest has it. */
  *openIommu(container: VfioContainerClient): Step<void> {
    must(yield* container.setIommu(VFIO_TYPE1v2_IOMMU), "VFIO_SET_IOMMU");
    must(yield* container.mapDma(this.ram.guest, this.ram.size, this.ram.user), "VFIO_IOMMU_MAP_DMA");
  }

  /** Starts the vCPU threads; they run when the world does. */
  run(): void {
    for (const thread of this.threads) {
      thread.isStopped = false;
      this.host.sim.wake(thread, 0);
    }
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
    return { user: USER.ram, guest: this.guestMap.ram, size: RAM_SIZE };
  }

  /** The handler of a guest physical address; null where nothing is. */
  mmioAt(address: number): MmioHandler | null {
    for (let i = 0; i < this.mmio.length; i++) {
      const handler = this.mmio[i];
      if (address >= handler.start && address < handler.start + handler.size) return handler;
    }
    return null;
  }
}
