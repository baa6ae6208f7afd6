import { CommandLoop } from "../../conform/x86/command-loop.js";
import type { GuestCommand, GuestOutcome, X86System } from "../../conform/x86/system.js";
import { PersonError } from "../../sim/person-error.js";
import type { Step } from "../../sim/step.js";
import { EBADF, errnoName } from "../../uapi/errno.js";
import { EFD_CLOEXEC } from "../../uapi/eventfd.js";
import * as kvm from "../../uapi/kvm.js";
import { MEMORY_BYTES, stackTop, writeGuestCode } from "../../conform/guest-code.js";
import { KernelVcpu } from "./kernel-vcpu.js";
import { SYS, Syscalls } from "./syscalls.js";
import { WakeTimer } from "./wake-timer.js";
import { WorkerFence } from "./worker-fence.js";

const PAGE = 4096;
const MEMORY_PAGES = MEMORY_BYTES / PAGE;
const O_CLOEXEC = 0o2000000;
const O_NONBLOCK = 0o4000;
/** Above the longest structure (4,096 routing entries): what other structures point to, and data of read and write. */
const PLACED = 0x38000;
const SCRATCH_DATA = 0x39000;

/** The running kernel: what every sequence shares. */
export class RunningKernel {
  private constructor(
    readonly system: Syscalls,
    readonly device: number,
    readonly timer: WakeTimer,
    readonly fence: WorkerFence,
    readonly runPages: number,
  ) {}

  /** @throws PersonError where there is no usable /dev/kvm */
  static async open(path = "/dev/kvm"): Promise<RunningKernel> {
    const system = await Syscalls.load();
    const device = system.open(path);
    if (device < 0) throw new PersonError(`${path} cannot be opened (${errnoName(device)}); it needs a machine with KVM, and root or the group kvm`);
    const version = system.ioctl(device, kvm.KVM_GET_API_VERSION, 0);
    if (version !== kvm.KVM_API_VERSION) {
      system.call(SYS.close, device);
      throw new PersonError(`${path} is not KVM (KVM_GET_API_VERSION: ${version < 0 ? errnoName(version) : version}); it needs a machine with KVM, and root or the group kvm`);
    }
    await system.startThreads();
    const runBytes = system.ioctl(device, kvm.KVM_GET_VCPU_MMAP_SIZE, 0);
    return new RunningKernel(system, device, new WakeTimer(system), new WorkerFence(system, device), Math.ceil(runBytes / PAGE));
  }

  /** A process's view of it, for one sequence. */
  process(): KernelSystem {
    return new KernelSystem(this);
  }

  /** Between sequences: lets the ends of earlier ones go on. */
  async breathe(): Promise<void> {
    await this.system.settleClosing(false);
  }

  async close(): Promise<void> {
    await this.system.settleClosing(true);
    this.fence.end();
    this.timer.end();
    this.system.call(SYS.close, this.device);
  }
}

/** System calls of one sequence; what it maps it gives back at the end. */
export class KernelSystem implements X86System {
  readonly kvm: number;
  private readonly system: Syscalls;
  private readonly vcpus = new Map<number, KernelVcpu>();
  private readonly loops = new Map<number, CommandLoop>();
  private readonly memories = new Map<number, number>();
  /** Pages of guests whose descriptor is closed, which may come again for something else. */
  private readonly runPages: number[] = [];
  private readonly memoryPages: number[] = [];

  constructor(private readonly kernel: RunningKernel) {
    this.kvm = kernel.device;
    this.system = kernel.system;
  }

  *ioctl(fd: number, request: number, argument: number | Uint8Array): Step<number> {
    if (typeof argument === "number") return this.system.ioctl(fd, request, argument);
    const result = this.system.ioctlWith(fd, request, argument);
    if (request === kvm.KVM_IRQFD && result >= 0) this.kernel.fence.injections();
    return result;
  }

  place(bytes: Uint8Array): number {
    this.system.bytes.set(bytes, PLACED);
    return this.system.base + PLACED;
  }

  *eventfd(initial: number, flags: number): Step<number> {
    return this.system.call(SYS.eventfd2, initial, flags | EFD_CLOEXEC);
  }

  *read(fd: number, into: Uint8Array): Step<number> {
    const { system } = this;
    const result = system.call(SYS.read, fd, system.base + SCRATCH_DATA, into.length);
    if (result > 0) into.set(system.bytes.subarray(SCRATCH_DATA, SCRATCH_DATA + result));
    return result;
  }

  *write(fd: number, bytes: Uint8Array): Step<number> {
    const { system } = this;
    system.bytes.set(bytes, SCRATCH_DATA);
    const result = system.call(SYS.write, fd, system.base + SCRATCH_DATA, bytes.length);
    this.kernel.fence.injections();
    return result;
  }

  *dup(fd: number): Step<number> {
    return this.system.call(SYS.dup, fd);
  }

  *close(fd: number): Step<number> {
    const result = this.system.call(SYS.close, fd);
    this.kernel.fence.dismantling();
    this.vcpus.delete(fd);
    this.loops.delete(fd);
    this.memories.delete(fd);
    return result;
  }

  *openNull(): Step<number> {
    return this.system.open("/dev/null");
  }

  *pipe(): Step<readonly [number, number] | number> {
    const result = this.system.call(SYS.pipe2, this.system.base, O_CLOEXEC | O_NONBLOCK);
    return result < 0 ? result : [this.system.memory.getInt32(0, true), this.system.memory.getInt32(4, true)];
  }

  *sleep(ms: number): Step<void> {
    const { system } = this;
    system.memory.setBigInt64(0, 0n, true);
    system.memory.setBigInt64(8, BigInt(ms) * 1_000_000n, true);
    system.call(SYS.nanosleep, system.base, 0);
    this.kernel.fence.injections();
  }

  *guestInit(vm: number, fd: number): Step<number> {
    const memory = this.memories.get(vm) ?? this.giveMemory(vm);
    if (memory < 0) return memory;
    const before = this.vcpus.get(fd);
    if (before !== undefined) {
      this.loops.set(fd, new CommandLoop(before));
      return before.reset();
    }
    const run = this.system.allocate(this.kernel.runPages);
    const mapped = this.system.map(run, this.kernel.runPages, fd);
    if (mapped < 0) {
      this.system.release(run, this.kernel.runPages);
      return mapped;
    }
    const vcpu = new KernelVcpu(this.system, fd, run, memory, stackTop(this.guests(memory)), this.kernel.timer);
    this.runPages.push(run);
    this.vcpus.set(fd, vcpu);
    this.loops.set(fd, new CommandLoop(vcpu));
    const masked = this.system.ioctlWith(fd, kvm.KVM_SET_SIGNAL_MASK, WakeTimer.KVM_MASK);
    return masked < 0 ? masked : vcpu.reset();
  }

  private guests(memory: number): number {
    let guests = 0;
    for (const vcpu of this.vcpus.values()) if (vcpu.memory === memory) guests++;
    return guests;
  }

  private giveMemory(vm: number): number {
    const memory = this.system.allocate(MEMORY_PAGES);
    writeGuestCode(this.system.bytes.subarray(memory, memory + MEMORY_BYTES));
    const region = new DataView(new ArrayBuffer(kvm.kvm_userspace_memory_region.size));
    kvm.kvm_userspace_memory_region.memory_size.setNumber(region, MEMORY_BYTES);
    kvm.kvm_userspace_memory_region.userspace_addr.setNumber(region, this.system.base + memory);
    const result = this.system.ioctlWith(vm, kvm.KVM_SET_USER_MEMORY_REGION, new Uint8Array(region.buffer));
    if (result < 0) this.system.release(memory, MEMORY_PAGES);
    else {
      this.memories.set(vm, memory);
      this.memoryPages.push(memory);
    }
    return result < 0 ? result : memory;
  }

  *guest(fd: number, command: GuestCommand): Step<GuestOutcome> {
    const loop = this.loops.get(fd);
    if (loop === undefined) return { ret: -EBADF, events: [] };
    const outcome = yield* loop.perform(command);
    this.kernel.fence.injections();
    return outcome;
  }

  /** The vCPU of a descriptor, once its guest is set up. */
  vcpu(fd: number): KernelVcpu | undefined {
    return this.vcpus.get(fd);
  }

  *end(open: readonly number[]): Step<void> {
    for (const run of this.runPages) this.system.release(run, this.kernel.runPages);
    for (const memory of this.memoryPages) this.system.release(memory, MEMORY_PAGES);
    this.system.closeBeside(open);
  }
}
