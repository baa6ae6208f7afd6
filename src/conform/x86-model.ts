import { eventfd2 } from "../host/eventfd.js";
import { File } from "../host/file.js";
import { pipe2 } from "../host/pipe.js";
import { Process } from "../host/process.js";
import { KvmFile } from "../kvm/system.js";
import { VcpuThread } from "../kvm/vcpu-thread.js";
import { X86 } from "../kvm/x86.js";
import { X86Host } from "../host/x86/x86-host.js";
import { X86Module } from "../kvm/x86-module.js";
import { X86VcpuFile } from "../kvm/x86-vcpu-ioctl.js";
import type { VcpuX86 } from "../kvm/x86-vcpu.js";
import { Sim } from "../sim/sim.js";
import type { Step } from "../sim/step.js";
import { EBADF, EINTR } from "../uapi/errno.js";
import * as kvm from "../uapi/kvm.js";
import { CommandGuest } from "./x86-command-guest.js";
import { CommandLoop, type CommandVcpu, type Interrupted, type Routine } from "./x86-command-loop.js";
import type { GuestCommand, GuestOutcome, X86System } from "./x86-system.js";
import type { Backend } from "./x86-targets.js";

/** Addresses in the process: the structures of ioctls, what they point to, data of read and write, guest memory. */
const STRUCTURE = 0x10_0000;
const STRUCTURE_BYTES = 0x4_0000;
const PLACED = 0x20_0000;
const DATA = 0x21_0000;
const MEMORY = 0x4000_0000;
const MEMORY_BYTES = 1 << 20;
const PAGE = 4096;

/** Physical CPUs: this process's, and the vCPU threads'. */
const CPUS = 2;
const WAKE_SIGNAL = 10;
const STANDARD_DESCRIPTORS = 3;

/** /dev/null, and what stands at the standard descriptors: files that are no eventfd. */
class NullFile extends File {
  readonly kind = "null";
}

/** A thread that calls KVM_RUN when it is woken, once. */
class CommandThread extends VcpuThread {
  /** What KVM_RUN gave; null while it has not returned. */
  result: number | null = null;

  override *userspace(result: number): Step<boolean> {
    this.result = result;
    return false;
  }
}

class ModelVcpu implements CommandVcpu {
  private readonly thread: CommandThread;

  constructor(
    private readonly sim: Sim,
    private readonly process: Process,
    private readonly vcpu: VcpuX86,
    fd: number,
    private readonly guest: CommandGuest,
  ) {
    vcpu.guest = guest;
    guest.begin(vcpu, "nop", { action: "nop", address: 0, port: 0, value: 0, high: 0 });
    this.thread = new CommandThread(vcpu, process, fd, CPUS - 1);
  }

  begin(routine: Routine, command: GuestCommand): void {
    this.guest.begin(this.vcpu, routine, command);
  }

  *enter(): Step<number> {
    const { thread, sim } = this;
    thread.result = null;
    sim.wake(thread, 0);
    yield* sim.settle();
    if (thread.result !== null) return thread.result;
    // It sleeps, and everything is quiet.
    yield* thread.signal(WAKE_SIGNAL);
    yield* sim.settle();
    yield* thread.consume(WAKE_SIGNAL);
    return thread.result ?? -EINTR;
  }

  *mpState(): Step<number> {
    return this.vcpu.mpState;
  }

  readRun(offset: number, size: number): number {
    const { memory } = this.process;
    const at = this.vcpu.runAddress + offset;
    if (size === 1) return memory.getU8(at);
    return size === 2 ? memory.getU8(at) | (memory.getU8(at + 1) << 8) : memory.getU32(at);
  }

  writeOnes(offset: number, size: number): void {
    for (let i = 0; i < size; i++) this.process.memory.setU8(this.vcpu.runAddress + offset + i, 0xff);
  }

  settleReturn(): Interrupted {
    return this.guest.interrupted;
  }

  register(name: "rax" | "rcx" | "rdx"): number {
    if (name === "rcx") return 0;
    return (name === "rax" ? this.guest.readLow : this.guest.readHigh) >>> 0;
  }
}

/** A process with /dev/kvm on the modelled machine. */
export class ModelSystem implements X86System {
  readonly kvm: number;
  readonly sim = new Sim({ cpus: CPUS });
  private readonly process: Process;
  private readonly loops = new Map<number, CommandLoop>();
  private readonly memories = new Map<number, number>();

  constructor(private readonly backend: Backend) {
    this.process = new Process(this.sim, "conform");
    for (let fd = 0; fd < STANDARD_DESCRIPTORS; fd++) this.process.install(new NullFile());
    this.kvm = this.process.install(new KvmFile(new X86Module(new X86Host(this.sim, [0, 1])), new X86(CPUS, backend)));
    this.process.memory.map(STRUCTURE, STRUCTURE_BYTES);
    this.process.memory.map(PLACED, PAGE);
    this.process.memory.map(DATA, PAGE);
  }

  *ioctl(fd: number, request: number, argument: number | Uint8Array): Step<number> {
    const { process, sim } = this;
    if (typeof argument !== "number") this.put(STRUCTURE, argument);
    const result = yield* process.ioctl(fd, request, typeof argument === "number" ? argument : STRUCTURE);
    if (typeof argument !== "number") process.memory.copyIn(STRUCTURE, argument);
    yield* sim.settle();
    return result;
  }

  private put(address: number, bytes: Uint8Array): void {
    if (!this.process.memory.copyOut(address, bytes)) throw new Error(`a structure of ${bytes.length} bytes has no room in the model's process`);
  }

  place(bytes: Uint8Array): number {
    this.put(PLACED, bytes);
    return PLACED;
  }

  *eventfd(initial: number, flags: number): Step<number> {
    return eventfd2(this.process, initial, flags);
  }

  *read(fd: number, into: Uint8Array): Step<number> {
    const result = yield* this.process.read(fd, DATA, into.length);
    if (result > 0) this.process.memory.copyIn(DATA, into, result);
    return result;
  }

  *write(fd: number, bytes: Uint8Array): Step<number> {
    this.put(DATA, bytes);
    const result = yield* this.process.write(fd, DATA, bytes.length);
    yield* this.sim.settle();
    return result;
  }

  *dup(fd: number): Step<number> {
    return this.process.dup(fd);
  }

  *close(fd: number): Step<number> {
    const result = yield* this.process.close(fd);
    yield* this.sim.settle();
    return result;
  }

  *openNull(): Step<number> {
    return this.process.install(new NullFile());
  }

  *pipe(): Step<readonly [number, number] | number> {
    return pipe2(this.process);
  }

  *sleep(_ms: number): Step<void> {
    yield* this.sim.settle();
  }

  *guestInit(vm: number, fd: number): Step<number> {
    if (!this.memories.has(vm)) {
      const result = yield* this.giveMemory(vm);
      if (result < 0) return result;
    }
    const file = this.process.file(fd);
    if (!(file instanceof X86VcpuFile)) return -EBADF;
    this.loops.set(fd, new CommandLoop(new ModelVcpu(this.sim, this.process, file.vcpu, fd, new CommandGuest(this.backend.endsAtAcceptance))));
    return 0;
  }

  private *giveMemory(vm: number): Step<number> {
    const address = MEMORY + this.memories.size * MEMORY_BYTES;
    this.process.memory.map(address, MEMORY_BYTES);
    const region = new DataView(new ArrayBuffer(kvm.kvm_userspace_memory_region.size));
    kvm.kvm_userspace_memory_region.memory_size.setNumber(region, MEMORY_BYTES);
    kvm.kvm_userspace_memory_region.userspace_addr.setNumber(region, address);
    const result = yield* this.ioctl(vm, kvm.KVM_SET_USER_MEMORY_REGION, new Uint8Array(region.buffer));
    if (result >= 0) this.memories.set(vm, address);
    return result;
  }

  *guest(fd: number, command: GuestCommand): Step<GuestOutcome> {
    const loop = this.loops.get(fd);
    if (loop === undefined) return { ret: -EBADF, events: [] };
    return yield* loop.perform(command);
  }

  *end(open: readonly number[]): Step<void> {
    for (let i = 0; i < open.length; i++) yield* this.process.close(open[i]);
    yield* this.sim.settle();
  }
}
