import type { Step } from "../../sim/step.js";
import { EINTR } from "../../uapi/errno.js";
import * as kvm from "../../uapi/kvm.js";
import { integerOf } from "./chips.js";
import { mpStateName } from "./names.js";
import type { GuestAction } from "./op.js";
import type { GuestEvent } from "./state.js";
import type { GuestCommand, GuestOutcome } from "./system.js";

/** Ports by which the guest tells where it is: a handler began (AL its vector), the action is over, the no-op too. */
export const TAKEN_PORT = 0xe1;
export const BETWEEN_PORT = 0xe2;
export const DONE_PORT = 0xe3;

/** What the guest's code has a routine for. */
export type Routine = Exclude<GuestAction, "run">;
const MOST_EXITS = 1000;
/** So often KVM_RUN may say EAGAIN before its vCPU is taken for one that waits. */
export const MOST_AGAIN = 3;

/** What a handler interrupted. */
export type Interrupted = "before" | "fault" | "after";

/** The vCPU under a command loop. Offsets count from the start of its run pages. */
export interface CommandVcpu {
  /** Points the guest at a routine, with the command's operands. */
  begin(routine: Routine, command: GuestCommand): void;
  /** KVM_RUN: 0, or a negative errno; -EINTR only when the vCPU sleeps in the kernel and nothing wakes it. */
  enter(): Step<number>;
  /** KVM_MP_STATE_* */
  mpState(): Step<number>;
  /** 1, 2, 4 or 8 bytes, of which the low 4 count; unsigned. */
  readRun(offset: number, size: number): number;
  /** Puts ones: what nobody answers reads as. */
  writeOnes(offset: number, size: number): void;
  /**
   * A handler of the vector just began. "before": the routine had not, and the handler now returns to nothing. "fault": of
   * the routine's instruction, behind which it now returns. "after": the instruction was over.
   */
  settleReturn(routine: Routine, vector: number): Interrupted;
  /** Of the guest's registers, 32 bits, unsigned; `isInHandler`: as a handler that just began saved them. */
  register(name: "rax" | "rcx" | "rdx", isInHandler: boolean): number;
}

/** User space of a vCPU whose guest does one action at a time (conformance/README.md, "The guest"). */
export class CommandLoop {
  /** Of the action that was not done when KVM_RUN was left. */
  private unfinished: GuestCommand | null = null;
  private performing: Routine = "nop";
  /** Interrupts taken and not returned from. */
  private depth = 0;
  /** What the action read, once it was performed. */
  private reading: Partial<GuestOutcome> = {};

  constructor(private readonly vcpu: CommandVcpu) {}

  *perform(command: GuestCommand): Step<GuestOutcome> {
    if (this.unfinished === null) this.begin(command);
    const action = this.unfinished ?? command;
    this.unfinished = action;
    this.reading = {};
    const events: GuestEvent[] = [];
    let ret = yield* this.runUntilDone(action, events);
    if (ret === 0 && this.unfinished === null && action.action === "iret") {
      const nop: GuestCommand = { ...action, action: "nop" };
      this.begin(nop);
      ret = yield* this.runUntilDone(nop, events);
    }
    return { ret, events, ...this.reading };
  }

  private begin(command: GuestCommand): void {
    const isNothing = command.action === "run" || (command.action === "iret" && this.depth === 0);
    this.performing = isNothing ? "nop" : (command.action as Routine);
    if (this.performing === "iret") this.depth--;
    this.vcpu.begin(this.performing, command);
  }

  private *runUntilDone(command: GuestCommand, events: GuestEvent[]): Step<number> {
    for (let exits = 0; exits < MOST_EXITS; exits++) {
      const result = yield* this.vcpu.enter();
      if (result === -EINTR) events.push({ type: "blocked", mpState: mpStateName(yield* this.vcpu.mpState()) });
      if (result !== 0) return result === -EINTR ? 0 : result;
      const reason = this.vcpu.readRun(kvm.kvm_run.exit_reason.offset, 4);
      if (reason === kvm.KVM_EXIT_IO) {
        if (this.portExit(command, events)) return 0;
      } else if (reason === kvm.KVM_EXIT_MMIO) this.mmioExit(events);
      else if (reason === kvm.KVM_EXIT_IOAPIC_EOI) events.push({ type: "ioapicEoi", vector: this.vcpu.readRun(kvm.kvm_run.eoi.vector.offset, 1) });
      else if (reason === kvm.KVM_EXIT_HLT) {
        events.push({ type: "exitHlt" });
        return 0;
      } else if (reason === kvm.KVM_EXIT_INTERNAL_ERROR) {
        events.push({ type: "internalError", suberror: this.vcpu.readRun(kvm.kvm_run.internal.suberror.offset, 4) });
        return 0;
      } else if (reason !== kvm.KVM_EXIT_INTR) throw new Error(`KVM_RUN left with exit reason ${reason}, which no vector brings about`);
    }
    throw new Error(`the guest left ${MOST_EXITS} times and its action is not done`);
  }

  /** True when the action, and the no-op after it, are done. */
  private portExit(command: GuestCommand, events: GuestEvent[]): boolean {
    const { io } = kvm.kvm_run;
    const port = this.vcpu.readRun(io.port.offset, 2);
    const size = this.vcpu.readRun(io.size.offset, 1);
    const data = this.vcpu.readRun(io.data_offset.offset, 8);
    if (port === DONE_PORT) this.unfinished = null;
    else if (port === BETWEEN_PORT) this.reading = this.read(command, false);
    else if (port === TAKEN_PORT) this.take(this.vcpu.readRun(data, 1), command, events);
    else if (this.vcpu.readRun(io.direction.offset, 1) === kvm.KVM_EXIT_IO_IN) {
      events.push({ type: "pioIn", port, size });
      this.vcpu.writeOnes(data, size);
    } else events.push({ type: "pioOut", port, size, value: this.vcpu.readRun(data, size) });
    return port === DONE_PORT;
  }

  /** A handler runs. If the action had not begun, the handler performs it. */
  private take(vector: number, command: GuestCommand, events: GuestEvent[]): void {
    events.push({ type: "intr", vector });
    this.depth++;
    const interrupted = this.vcpu.settleReturn(this.performing, vector);
    if (interrupted === "after") this.reading = this.read(command, true);
    if (interrupted !== "before") return;
    if (this.performing === "iret") this.depth++;
    this.begin(command);
  }

  private mmioExit(events: GuestEvent[]): void {
    const { mmio } = kvm.kvm_run;
    const addr = this.vcpu.readRun(mmio.phys_addr.offset, 8);
    const len = this.vcpu.readRun(mmio.len.offset, 4);
    if (this.vcpu.readRun(mmio.is_write.offset, 1) === 1) events.push({ type: "mmioWrite", addr, len, value: this.vcpu.readRun(mmio.data.offset, len) });
    else {
      events.push({ type: "mmioRead", addr, len });
      this.vcpu.writeOnes(mmio.data.offset, len);
    }
  }

  private read({ action }: GuestCommand, isInHandler: boolean): Partial<GuestOutcome> {
    const register = (name: "rax" | "rcx" | "rdx"): number => this.vcpu.register(name, isInHandler);
    if (action === "cpuid") return { ecx: register("rcx"), edx: register("rdx") };
    if (action === "rdmsr") return { value: integerOf((BigInt(register("rdx")) << 32n) | BigInt(register("rax"))) };
    const bits = /^(?:mmioRead|in)(\d+)$/.exec(action)?.[1];
    return bits === undefined ? {} : { value: Number(BigInt.asUintN(Number(bits), BigInt(register("rax")))) };
  }
}
