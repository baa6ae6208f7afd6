import { type CommandVcpu, type Interrupted, MOST_AGAIN, type Routine } from "../../conform/x86/command-loop.js";
import type { GuestCommand } from "../../conform/x86/system.js";
import type { Step } from "../../sim/step.js";
import { EAGAIN, EINTR } from "../../uapi/errno.js";
import * as kvm from "../../uapi/kvm.js";
import { kvm_regs, kvm_sregs, KVM_GET_SREGS, KVM_SET_SREGS } from "../../uapi/x86.js";
import { FAULTING_BYTES, faultingAddress, FAULTS, IDLE, routineOf, SAVED_BYTES } from "../../conform/guest-code.js";
import type { Syscalls } from "./syscalls.js";
import type { WakeTimer } from "./wake-timer.js";

/** struct kvm_run: the synchronised registers (KVM_CAP_SYNC_REGS), kvm_regs first. */
const SYNC_REGS = 304;
const KVM_SYNC_X86_REGS = 1;
const FLAGS_RESET = 2;
/** Where PUSHAD leaves registers above SP. */
const SAVED_AT = { rdx: 20, rcx: 24, rax: 28 };
const FLAT = 0xffff_ffff;

/** A vCPU of the running kernel with the guest of guest-code.ts. */
export class KernelVcpu implements CommandVcpu {
  private readonly state = new Uint8Array(kvm.kvm_mp_state.size);
  private readonly stateView = new DataView(this.state.buffer);

  /**
   * @param run offset of the run pages in the arena
   * @param memory offset of the guest's memory in the arena
   * @param stackTop address of its stack's end in the guest
   */
  constructor(
    private readonly system: Syscalls,
    readonly fd: number,
    readonly run: number,
    readonly memory: number,
    private readonly stackTop: number,
    private readonly timer: WakeTimer,
  ) {}

  /** Real mode, flat, RIP anywhere: the first action sets it. @returns 0 or a negative errno */
  reset(): number {
    const sregs = new DataView(new ArrayBuffer(kvm_sregs.size));
    const bytes = new Uint8Array(sregs.buffer);
    const result = this.system.ioctlWith(this.fd, KVM_GET_SREGS, bytes);
    if (result < 0) return result;
    kvm_sregs.cs.base.setNumber(sregs, 0);
    kvm_sregs.cs.selector.set(sregs, 0);
    for (const data of [kvm_sregs.ds, kvm_sregs.es, kvm_sregs.ss]) {
      data.limit.set(sregs, FLAT);
      data.g.set(sregs, 1);
    }
    this.put("rsp", this.stackTop);
    this.put("rflags", FLAGS_RESET);
    this.put("rip", routineOf("nop"));
    this.syncRegisters();
    kvm.kvm_run.kvm_valid_regs.setNumber(this.system.memory, KVM_SYNC_X86_REGS, this.run);
    return this.system.ioctlWith(this.fd, KVM_SET_SREGS, bytes);
  }

  begin(routine: Routine, command: GuestCommand): void {
    const isMsr = routine === "rdmsr" || routine === "wrmsr";
    this.put("rip", routineOf(routine));
    this.put("rax", routine === "cpuid" ? command.address : command.value);
    this.put("rbx", command.address);
    this.put("rcx", isMsr ? command.address : 0);
    this.put("rdx", isMsr ? command.high : command.port);
    this.syncRegisters();
  }

  *enter(): Step<number> {
    let sleeping = 0;
    let again = 0;
    const asked = this.registers.slice();
    for (;;) {
      this.timer.arm(sleeping);
      const result = this.system.ioctl(this.fd, kvm.KVM_RUN, 0);
      // A vCPU that was never started says so once it has got an INIT; and again and again of an event that does not start it.
      if (result === -EAGAIN) {
        if (++again > MOST_AGAIN) return -EINTR;
        continue;
      }
      if (result !== -EINTR) return result;
      this.timer.drain();
      const state = yield* this.mpState();
      if (state === kvm.KVM_MP_STATE_UNINITIALIZED) this.askAgain(asked);
      if (state === kvm.KVM_MP_STATE_RUNNABLE) sleeping = 0;
      else if (++sleeping > 1) return result;
    }
  }

  private get registers(): Uint8Array {
    return this.system.bytes.subarray(this.run + SYNC_REGS, this.run + SYNC_REGS + kvm_regs.size);
  }

  /** A vCPU that was never started gives its own registers back before it has looked at those that it was given. */
  private askAgain(asked: Uint8Array): void {
    this.registers.set(asked);
    this.syncRegisters();
  }

  *mpState(): Step<number> {
    this.system.ioctlWith(this.fd, kvm.KVM_GET_MP_STATE, this.state);
    return kvm.kvm_mp_state.mp_state.get(this.stateView);
  }

  readRun(offset: number, size: number): number {
    const { memory } = this.system;
    const at = this.run + offset;
    if (size === 1) return memory.getUint8(at);
    return size === 2 ? memory.getUint16(at, true) : memory.getUint32(at, true);
  }

  writeOnes(offset: number, size: number): void {
    this.system.bytes.fill(0xff, this.run + offset, this.run + offset + size);
  }

  settleReturn(routine: Routine, vector: number): Interrupted {
    const { memory } = this.system;
    const stack = this.stack + SAVED_BYTES;
    const returnsTo = memory.getUint16(stack, true);
    if (returnsTo === routineOf(routine)) {
      memory.setUint16(stack, IDLE, true);
      return "before";
    }
    if (!FAULTS.has(vector) || returnsTo !== faultingAddress(routine)) return "after";
    memory.setUint16(stack, returnsTo + FAULTING_BYTES, true);
    return "fault";
  }

  /** Where the guest's stack pointer points, in the arena. */
  private get stack(): number {
    return this.memory + kvm_regs.rsp.getNumber(this.system.memory, this.run + SYNC_REGS);
  }

  register(name: "rax" | "rcx" | "rdx", isInHandler: boolean): number {
    if (isInHandler) return this.system.memory.getUint32(this.stack + SAVED_AT[name], true);
    return kvm_regs[name].lo(this.system.memory, this.run + SYNC_REGS);
  }

  private put(name: "rax" | "rbx" | "rcx" | "rdx" | "rsp" | "rip" | "rflags", value: number): void {
    kvm_regs[name].setHalves(this.system.memory, value, 0, this.run + SYNC_REGS);
  }

  private syncRegisters(): void {
    kvm.kvm_run.kvm_dirty_regs.setNumber(this.system.memory, KVM_SYNC_X86_REGS, this.run);
  }
}
