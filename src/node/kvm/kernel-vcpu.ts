import { integerOf } from "../../conform/x86-chips.js";
import { mpStateName } from "../../conform/x86-names.js";
import type { GuestEvent } from "../../conform/x86-state.js";
import type { GuestCommand, GuestOutcome } from "../../conform/x86-system.js";
import { EINTR } from "../../uapi/errno.js";
import * as kvm from "../../uapi/kvm.js";
import { kvm_regs, kvm_sregs, KVM_GET_SREGS, KVM_SET_SREGS } from "../../uapi/x86.js";
import { BETWEEN_PORT, DONE_PORT, FAULTING_BYTES, faultingAddress, FAULTS, IDLE, routineOf, SAVED_BYTES, STACK_TOP, TAKEN_PORT } from "./guest-code.js";
import type { Syscalls } from "./syscalls.js";
import type { WakeTimer } from "./wake-timer.js";

/** struct kvm_run: the synchronised registers (KVM_CAP_SYNC_REGS), kvm_regs first. */
const SYNC_REGS = 304;
const KVM_SYNC_X86_REGS = 1;
const FLAGS_RESET = 2;
const MOST_EXITS = 1000;
const FLAT = 0xffff_ffff;

type Routine = Exclude<GuestCommand["action"], "run">;

/** One vCPU with the command-loop guest: its run page, and what it is in the middle of. */
export class KernelVcpu {
  /** Of the action that was not done when KVM_RUN was left. */
  private unfinished: GuestCommand | null = null;
  private performing: Routine = "nop";
  /** Interrupts taken and not returned from. */
  private depth = 0;
  /** What the action read, once it was performed. */
  private reading: Partial<GuestOutcome> = {};
  private readonly sregs = new DataView(new ArrayBuffer(kvm_sregs.size));

  /**
   * @param run offset of the run pages in the arena
   * @param memory offset of the guest's memory in the arena
   */
  constructor(
    private readonly system: Syscalls,
    readonly fd: number,
    readonly run: number,
    readonly memory: number,
    private readonly timer: WakeTimer,
  ) {}

  /** Real mode, flat, RIP anywhere: the first action sets it. @returns 0 or a negative errno */
  reset(): number {
    const { sregs } = this;
    const bytes = new Uint8Array(sregs.buffer);
    const result = this.system.ioctlWith(this.fd, KVM_GET_SREGS, bytes);
    if (result < 0) return result;
    kvm_sregs.cs.base.setNumber(sregs, 0);
    kvm_sregs.cs.selector.set(sregs, 0);
    for (const data of [kvm_sregs.ds, kvm_sregs.es, kvm_sregs.ss]) {
      data.limit.set(sregs, FLAT);
      data.g.set(sregs, 1);
    }
    this.put(kvm_regs.rsp, STACK_TOP);
    this.put(kvm_regs.rflags, FLAGS_RESET);
    this.put(kvm_regs.rip, routineOf("nop"));
    this.syncRegisters();
    kvm.kvm_run.kvm_valid_regs.setNumber(this.system.memory, KVM_SYNC_X86_REGS, this.run);
    return this.system.ioctlWith(this.fd, KVM_SET_SREGS, bytes);
  }

  perform(command: GuestCommand): GuestOutcome {
    const going = this.unfinished;
    if (going === null) this.begin(command);
    const action = going ?? command;
    this.unfinished = action;
    this.reading = {};
    const events: GuestEvent[] = [];
    let ret = this.runUntilDone(action, events);
    if (ret === 0 && this.unfinished === null && action.action === "iret") {
      const nop: GuestCommand = { ...action, action: "nop" };
      this.begin(nop);
      ret = this.runUntilDone(nop, events);
    }
    return { ret, events, ...this.reading };
  }

  private begin(command: GuestCommand): void {
    const isNothing = command.action === "run" || (command.action === "iret" && this.depth === 0);
    const routine: Routine = isNothing ? "nop" : (command.action as Routine);
    this.performing = routine;
    if (routine === "iret") this.depth--;
    const isMsr = routine === "rdmsr" || routine === "wrmsr";
    this.put(kvm_regs.rip, routineOf(routine));
    this.put(kvm_regs.rax, routine === "cpuid" ? command.address : command.value);
    this.put(kvm_regs.rbx, command.address);
    this.put(kvm_regs.rcx, isMsr ? command.address : 0);
    this.put(kvm_regs.rdx, isMsr ? command.high : command.port);
    this.syncRegisters();
  }

  private runUntilDone(command: GuestCommand, events: GuestEvent[]): number {
    const { memory } = this.system;
    for (let exits = 0; exits < MOST_EXITS; exits++) {
      const result = this.enter();
      if (result !== 0) {
        if (result !== -EINTR) return result;
        events.push({ type: "blocked", mpState: mpStateName(this.mpState()) });
        return 0;
      }
      switch (kvm.kvm_run.exit_reason.get(memory, this.run)) {
        case kvm.KVM_EXIT_IO:
          if (this.portExit(command, events)) return 0;
          break;
        case kvm.KVM_EXIT_MMIO:
          this.mmioExit(events);
          break;
        case kvm.KVM_EXIT_IOAPIC_EOI:
          events.push({ type: "ioapicEoi", vector: kvm.kvm_run.eoi.vector.get(memory, this.run) });
          break;
        case kvm.KVM_EXIT_HLT:
          events.push({ type: "exitHlt" });
          return 0;
        case kvm.KVM_EXIT_INTR:
          break;
        default:
          throw new Error(`KVM_RUN left with exit reason ${kvm.kvm_run.exit_reason.get(memory, this.run)}, which no vector brings about`);
      }
    }
    throw new Error(`the guest left ${MOST_EXITS} times and its action is not done`);
  }

  /** KVM_RUN; -EINTR only when the vCPU sleeps in the kernel and nothing wakes it. */
  private enter(): number {
    let sleeping = 0;
    for (;;) {
      this.timer.arm(sleeping);
      const result = this.system.ioctl(this.fd, kvm.KVM_RUN, 0);
      if (result !== -EINTR) return result;
      this.timer.drain();
      if (this.mpState() === kvm.KVM_MP_STATE_RUNNABLE) sleeping = 0;
      else if (++sleeping > 1) return result;
    }
  }

  private mpState(): number {
    const state = new Uint8Array(kvm.kvm_mp_state.size);
    this.system.ioctlWith(this.fd, kvm.KVM_GET_MP_STATE, state);
    return kvm.kvm_mp_state.mp_state.get(new DataView(state.buffer));
  }

  /** True when the action, and the no-op after it, are done. */
  private portExit(command: GuestCommand, events: GuestEvent[]): boolean {
    const { memory } = this.system;
    const { io } = kvm.kvm_run;
    const port = io.port.get(memory, this.run);
    const size = io.size.get(memory, this.run);
    const data = this.run + io.data_offset.getNumber(memory, this.run);
    if (port === DONE_PORT) {
      this.unfinished = null;
      return true;
    }
    if (port === BETWEEN_PORT) {
      this.reading = this.read(command);
      return false;
    }
    if (port === TAKEN_PORT) {
      this.take(memory.getUint8(data), command, events);
      return false;
    }
    if (io.direction.get(memory, this.run) === kvm.KVM_EXIT_IO_IN) {
      events.push({ type: "pioIn", port, size });
      this.system.bytes.fill(0xff, data, data + size);
    } else events.push({ type: "pioOut", port, size, value: readSized(memory, data, size) });
    return false;
  }

  /**
   * A handler runs. If the action had not begun, the handler performs it, and returns to nothing; a fault returns to its
   * instruction and is stepped over, as its handler would.
   */
  private take(vector: number, command: GuestCommand, events: GuestEvent[]): void {
    events.push({ type: "intr", vector });
    this.depth++;
    const routine = this.performing;
    const { memory } = this.system;
    const stack = this.memory + kvm_regs.rsp.getNumber(memory, this.run + SYNC_REGS) + SAVED_BYTES;
    const returnsTo = memory.getUint16(stack, true);
    if (returnsTo === routineOf(routine)) {
      memory.setUint16(stack, IDLE, true);
      if (routine === "iret") this.depth++;
      this.begin(command);
    } else if (FAULTS.has(vector) && returnsTo === faultingAddress(routine)) memory.setUint16(stack, returnsTo + FAULTING_BYTES, true);
  }

  private mmioExit(events: GuestEvent[]): void {
    const { memory, bytes } = this.system;
    const { mmio } = kvm.kvm_run;
    const addr = mmio.phys_addr.getNumber(memory, this.run);
    const len = mmio.len.get(memory, this.run);
    const data = this.run + mmio.data.offset;
    if (mmio.is_write.get(memory, this.run)) events.push({ type: "mmioWrite", addr, len, value: readSized(memory, data, len) });
    else {
      events.push({ type: "mmioRead", addr, len });
      bytes.fill(0xff, data, data + len);
    }
  }

  private read({ action }: GuestCommand): Partial<GuestOutcome> {
    const low = this.low(kvm_regs.rax);
    if (action === "cpuid") return { ecx: this.low(kvm_regs.rcx), edx: this.low(kvm_regs.rdx) };
    if (action === "rdmsr") return { value: integerOf((BigInt(this.low(kvm_regs.rdx)) << 32n) | BigInt(low)) };
    if (action.startsWith("mmioRead") || action.startsWith("in")) {
      const bits = Number(/\d+$/.exec(action)?.[0]);
      return { value: bits === 32 ? low : low & ((1 << bits) - 1) };
    }
    return {};
  }

  private low(register: typeof kvm_regs.rax): number {
    return register.lo(this.system.memory, this.run + SYNC_REGS);
  }

  private put(register: typeof kvm_regs.rax, value: number): void {
    register.setHalves(this.system.memory, value, 0, this.run + SYNC_REGS);
  }

  private syncRegisters(): void {
    kvm.kvm_run.kvm_dirty_regs.setNumber(this.system.memory, KVM_SYNC_X86_REGS, this.run);
  }
}

function readSized(memory: DataView, at: number, size: number): number {
  if (size === 1) return memory.getUint8(at);
  return size === 2 ? memory.getUint16(at, true) : memory.getUint32(at, true);
}
