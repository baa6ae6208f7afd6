import { eventfd2 } from "../../host/eventfd.js";
import { File } from "../../host/file.js";
import { pipe2 } from "../../host/pipe.js";
import { Process } from "../../host/process.js";
import { KvmFile } from "../../kvm/system.js";
import { VcpuThread } from "../../kvm/vcpu-thread.js";
import { X86 } from "../../kvm/x86/x86.js";
import { X86Host } from "../../host/x86/x86-host.js";
import { X86Module } from "../../kvm/x86/module.js";
import { X86VcpuFile } from "../../kvm/x86/vcpu-ioctl.js";
import { type VcpuX86, X86Request } from "../../kvm/x86/vcpu.js";
import type { Hazards } from "../../sim/hazards.js";
import { Sim } from "../../sim/sim.js";
import type { Step } from "../../sim/step.js";
import { EAGAIN, EBADF, EINTR } from "../../uapi/errno.js";
import * as kvm from "../../uapi/kvm.js";
import { KVM_GET_SREGS, KVM_SET_SREGS, kvm_sregs } from "../../uapi/x86.js";
import { FREE_MEMORY, MEMORY_BYTES, writeGuestCode } from "../guest-code.js";
import { CommandGuest } from "./command-guest.js";
import { CommandLoop, type CommandVcpu, type Interrupted, MOST_AGAIN, type Routine } from "./command-loop.js";
import type { GuestCommand, GuestOutcome, X86System } from "./system.js";
import type { Backend } from "./targets.js";

/** Addresses in the process: the structures of ioctls, what they point to, data of read and write, guest memory. */
const STRUCTURE = 0x10_0000;
const STRUCTURE_BYTES = 0x4_0000;
const PLACED = 0x20_0000;
const DATA = 0x21_0000;
const MEMORY = 0x4000_0000;
const PAGE = 4096;

/** What one call sets off is over by then; a timer that is armed for later fires in a later call, or never. */
const SETTLED_NS = 100_000;
const NS_PER_MS = 1_000_000;
/** O_NONBLOCK, O_CLOEXEC */
const PIPE_FLAGS = 0x8_0800;

/** Physical CPUs: this process's, and the vCPU threads'. */
const CPUS = 2;
const WAKE_SIGNAL = 10;
const STANDARD_DESCRIPTORS = 3;

/** The modelled guest executes none of it, and can read it. */
const GUEST_CODE = new Uint8Array(FREE_MEMORY);
writeGuestCode(GUEST_CODE);

/** /dev/null, and what stands at the standard descriptors: files that are no eventfd. */
class NullFile extends File {
  readonly kind = "null";

  override *read(): Step<number> {
    return 0;
  }

  override *write(_process: Process, _address: number, length: number): Step<number> {
    return length;
  }
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
  /** KVM_SET_REGS for the action that is to be done: the vCPU looks for interrupts where it is entered next. */
  private hasNewRegisters = false;

  constructor(
    private readonly sim: Sim,
    private readonly process: Process,
    private readonly vcpu: VcpuX86,
    fd: number,
    private readonly guest: CommandGuest,
    private readonly actsByItself: boolean,
  ) {
    vcpu.guest = guest;
    guest.reset(vcpu);
    this.thread = new CommandThread(vcpu, process, fd, CPUS - 1);
  }

  begin(routine: Routine, command: GuestCommand): void {
    this.guest.begin(this.vcpu, routine, command);
    this.hasNewRegisters = !this.actsByItself;
  }

  *enter(): Step<number> {
    if (this.hasNewRegisters && this.vcpu.mpState !== kvm.KVM_MP_STATE_UNINITIALIZED) yield* this.vcpu.request(X86Request.EVENT);
    this.hasNewRegisters = false;
    for (let again = 0; again <= MOST_AGAIN; again++) {
      const result = yield* this.enterOnce();
      if (result !== -EAGAIN) return result;
    }
    return -EINTR;
  }

  private *enterOnce(): Step<number> {
    const { thread, sim } = this;
    thread.result = null;
    sim.wake(thread, 0);
    yield* settle(sim);
    if (thread.result !== null) return thread.result;
    // It sleeps, and everything is quiet.
    yield* thread.signal(WAKE_SIGNAL);
    yield* settle(sim);
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

/** Everything that is due runs, and so does what that sets off. */
function* settle(sim: Sim): Step<void> {
  yield* sim.runUntil(sim.now() + SETTLED_NS);
}

/** A process with /dev/kvm on the modelled machine. */
export class ModelSystem implements X86System {
  readonly kvm: number;
  readonly sim: Sim;
  private readonly process: Process;
  private readonly loops = new Map<number, CommandLoop>();
  private readonly memories = new Map<number, number>();
  private nextMemory = MEMORY;

  /** @param hazards rules of Linux that this machine does not keep */
  constructor(
    private readonly backend: Backend,
    hazards: Partial<Hazards> = {},
  ) {
    this.sim = new Sim({ cpus: CPUS, hazards });
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
    yield* settle(sim);
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
    yield* settle(this.sim);
    return result;
  }

  *dup(fd: number): Step<number> {
    return this.process.dup(fd);
  }

  *close(fd: number): Step<number> {
    const result = yield* this.process.close(fd);
    yield* settle(this.sim);
    this.loops.delete(fd);
    this.memories.delete(fd);
    return result;
  }

  *openNull(): Step<number> {
    return this.process.install(new NullFile());
  }

  *pipe(): Step<readonly [number, number] | number> {
    return pipe2(this.process, PIPE_FLAGS);
  }

  *sleep(ms: number): Step<void> {
    yield* this.sim.runUntil(this.sim.now() + ms * NS_PER_MS);
  }

  *guestInit(vm: number, fd: number): Step<number> {
    if (!this.memories.has(vm)) {
      const result = yield* this.giveMemory(vm);
      if (result < 0) return result;
    }
    const file = this.process.file(fd);
    if (!(file instanceof X86VcpuFile)) return -EBADF;
    const flat = yield* this.setSregs(fd);
    if (flat < 0) return flat;
    this.loops.set(fd, new CommandLoop(new ModelVcpu(this.sim, this.process, file.vcpu, fd, new CommandGuest(this.backend.endsAtAcceptance), this.backend.actsByItself ?? false)));
    return 0;
  }

  /** As the real one does for its segments: CR8 is written back, and what it has not of the TPR is lost. */
  private *setSregs(fd: number): Step<number> {
    const sregs = new Uint8Array(kvm_sregs.size);
    const result = yield* this.ioctl(fd, KVM_GET_SREGS, sregs);
    if (result < 0) return result;
    const view = new DataView(sregs.buffer);
    kvm_sregs.cs.base.setNumber(view, 0);
    kvm_sregs.cs.selector.set(view, 0);
    kvm_sregs.ds.limit.set(view, 0xffff_ffff);
    return yield* this.ioctl(fd, KVM_SET_SREGS, sregs);
  }

  private *giveMemory(vm: number): Step<number> {
    const address = this.nextMemory;
    this.nextMemory += MEMORY_BYTES;
    this.process.memory.map(address, MEMORY_BYTES);
    this.process.memory.copyOut(address, GUEST_CODE);
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
    yield* settle(this.sim);
  }
}
