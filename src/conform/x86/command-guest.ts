import { X86Exit, type X86GuestCpu } from "../../kvm/x86/guest.js";
import { GP_VECTOR, type VcpuX86, X86Request } from "../../kvm/x86/vcpu.js";
import type { Step } from "../../sim/step.js";
import { kvm_sregs } from "../../uapi/x86.js";
import { GuestAccess } from "../guest-access.js";
import { routineOf } from "../guest-code.js";
import { BETWEEN_PORT, DONE_PORT, type Interrupted, type Routine, TAKEN_PORT } from "./command-loop.js";
import type { GuestCommand } from "./system.js";

/**
 * Where the guest is. Its instructions are no bytes, but they have addresses: beyond those of real mode, where INIT and
 * start-up point.
 */
const enum At {
  /** Interrupts may be taken; the action has not begun. */
  BEFORE = 0x1000_0000,
  ACTION,
  /** The second instruction of stiHlt. */
  HLT,
  BETWEEN,
  NOOP,
  DONE,
  /** What a handler that was entered before the action returns to. */
  IDLE,
  /** + vector: a handler's first instruction. */
  HANDLER = 0x2000_0000,
}

/** A start-up with this vector begins at the routine of no action, which is over at once; its code segment is another's. */
export const STARTUP_VECTOR = routineOf("nop") >> 12;
const STARTUP_ADDRESS = STARTUP_VECTOR << 12;

const UD_VECTOR = 6;
const FAULTS: ReadonlySet<number> = new Set([UD_VECTOR, GP_VECTOR]);
/** With this limit addresses wrap instead (seen on 6.18). */
const FLAT = 0xffff_ffff;

/** The command-loop guest on a modelled vCPU: what guest-code.ts is on a real one, instruction by instruction. */
export class CommandGuest implements X86GuestCpu {
  /** Of the last action that read: what it read. */
  readLow = 0;
  readHigh = 0;
  private routine: Routine = "nop";
  private command: GuestCommand = { action: "nop", address: 0, port: 0, value: 0, high: 0 };
  /** What the handler that began last interrupted. */
  interrupted: Interrupted = "after";
  /** The action's access is with the kernel or user space: `trap` will have what it read. */
  private isCompleting = false;
  private readonly memory = new GuestAccess();
  /** The access is a load or store, which may have several parts. */
  private isMemory = false;
  /** INIT or a start-up left its code segment elsewhere; its routines are there again in the handlers above this depth. -1: never. */
  private astrayDepth = -1;

  /** @param isPvm as on the back end kvm-pvm ({@link Backend}) */
  constructor(private readonly isPvm: boolean) {}

  begin(vcpu: VcpuX86, routine: Routine, command: GuestCommand): void {
    this.routine = routine;
    this.command = command;
    const { regs } = vcpu;
    if (regs.rip < At.BEFORE) this.astrayDepth = regs.depth;
    regs.rip = At.BEFORE;
  }

  /** User space sets the registers: real mode, flat, the interrupt flag off. */
  reset(vcpu: VcpuX86): void {
    vcpu.regs.depth = 0;
    vcpu.regs.interruptFlag = false;
    vcpu.regs.rip = At.BEFORE;
    this.astrayDepth = -1;
    this.begin(vcpu, "nop", { action: "nop", address: 0, port: 0, value: 0, high: 0 });
  }

  entryOf(vcpu: VcpuX86, vector: number): number {
    const { regs } = vcpu;
    if (regs.rip < At.BEFORE) this.astrayDepth = regs.depth;
    const isFault = FAULTS.has(vector) && regs.rip === At.ACTION;
    this.interrupted = regs.rip === At.BEFORE ? "before" : isFault ? "fault" : "after";
    if (this.interrupted === "before") regs.rip = At.IDLE;
    else if (isFault) regs.rip = At.BETWEEN;
    return At.HANDLER + vector;
  }

  *run(vcpu: VcpuX86): Step<X86Exit> {
    if (this.isCompleting) {
      const isOver = yield* this.complete(vcpu);
      if (!isOver) return X86Exit.EPT_MISCONFIG;
    }
    const isInterrupted = yield* vcpu.isInterrupted();
    if (isInterrupted) return X86Exit.EXTERNAL_INTERRUPT;
    if (this.isPvm) yield* endAccepted(vcpu);
    const isTaking = vcpu.exceptionVector >= 0 || vcpu.isNmiInjected || vcpu.injectedVector >= 0;
    for (let isEntry = true; ; isEntry = false) {
      const window = vcpu.boundary();
      const isSeen = !this.isPvm || (isEntry && !isTaking);
      if (window !== X86Exit.IDLE && isSeen) return window;
      const couldTake = vcpu.regs.interruptFlag;
      const exit = yield* this.execute(vcpu);
      if (this.isPvm && !couldTake && vcpu.regs.interruptFlag) yield* vcpu.request(X86Request.EVENT);
      if (exit !== X86Exit.IDLE) return exit;
    }
  }

  /** The access succeeded, or else it faults where it stands. False while a part of it is left. */
  private *complete(vcpu: VcpuX86): Step<boolean> {
    if (this.isMemory) {
      this.memory.completed(vcpu.trap);
      const goesOn = yield* this.memory.proceed(vcpu);
      if (goesOn) return false;
    }
    this.isCompleting = false;
    if (vcpu.exceptionVector >= 0) return true;
    this.readLow = this.isMemory ? this.memory.value : vcpu.trap.low;
    this.readHigh = vcpu.trap.high;
    // An INIT that it sent to itself has taken it elsewhere.
    if (vcpu.regs.rip === At.ACTION) vcpu.regs.rip = At.BETWEEN;
    return true;
  }

  private *execute(vcpu: VcpuX86): Step<X86Exit> {
    const { regs } = vcpu;
    const inShadow = regs.shadow !== 0;
    const exit = yield* this.instruction(vcpu);
    if (inShadow) regs.shadow = 0;
    return exit;
  }

  private *instruction(vcpu: VcpuX86): Step<X86Exit> {
    const { regs } = vcpu;
    if (regs.depth === this.astrayDepth && (regs.rip === At.BEFORE || regs.rip === At.IDLE)) return X86Exit.NO_CODE;
    switch (regs.rip) {
      case At.BEFORE:
        regs.rip = At.ACTION;
        return X86Exit.IDLE;
      case At.ACTION:
        return yield* this.act(vcpu);
      case At.HLT:
        regs.rip = At.BETWEEN;
        return X86Exit.HLT;
      case At.BETWEEN:
        return this.tell(vcpu, BETWEEN_PORT, 0, At.NOOP);
      case At.NOOP:
      case At.IDLE:
        regs.rip = At.DONE;
        return X86Exit.IDLE;
      case At.DONE:
        return this.tell(vcpu, DONE_PORT, 0, At.IDLE);
      case STARTUP_ADDRESS:
        this.astrayDepth = regs.depth;
        this.readLow = this.readHigh = 0;
        return this.tell(vcpu, BETWEEN_PORT, 0, At.NOOP);
      default:
        if (regs.rip >= At.HANDLER) return this.tell(vcpu, TAKEN_PORT, regs.rip - At.HANDLER, At.NOOP);
        return X86Exit.NO_CODE;
    }
  }

  private tell(vcpu: VcpuX86, port: number, value: number, next: number): X86Exit {
    vcpu.regs.rip = next;
    return trap(vcpu, X86Exit.IO_INSTRUCTION, port, true, 1, value, 0);
  }

  private *act(vcpu: VcpuX86): Step<X86Exit> {
    const { regs } = vcpu;
    const { routine, command } = this;
    switch (routine) {
      case "sti":
      case "stiHlt":
        regs.interruptFlag = true;
        regs.shadow = 1;
        regs.rip = routine === "sti" ? At.BETWEEN : At.HLT;
        return X86Exit.IDLE;
      case "cli":
        regs.interruptFlag = false;
        regs.rip = At.BETWEEN;
        return X86Exit.IDLE;
      case "iret":
        regs.interruptReturn();
        return X86Exit.IDLE;
      case "hlt":
        regs.rip = At.BETWEEN;
        return X86Exit.HLT;
      case "ud2":
        vcpu.exceptionVector = UD_VECTOR;
        return X86Exit.IDLE;
      case "rdmsr":
      case "wrmsr":
        this.isCompleting = true;
        this.isMemory = false;
        return trap(vcpu, routine === "rdmsr" ? X86Exit.MSR_READ : X86Exit.MSR_WRITE, command.address, routine === "wrmsr", 8, command.value, command.high);
      default:
        return yield* this.access(vcpu);
    }
  }

  /** mmioRead8 to out32; what is no access is a no-op. */
  private *access(vcpu: VcpuX86): Step<X86Exit> {
    const { command } = this;
    const parts = /^(mmioRead|mmioWrite|in|out)(\d+)$/.exec(this.routine);
    if (parts === null) {
      vcpu.regs.rip = At.BETWEEN;
      return X86Exit.IDLE;
    }
    const [, what, bits] = parts;
    const size = Number(bits) / 8;
    const isWrite = what === "mmioWrite" || what === "out";
    const value = isWrite ? Number(BigInt.asUintN(Number(bits), BigInt(command.value))) | 0 : 0;
    this.isMemory = what.startsWith("mmio");
    this.isCompleting = true;
    if (!this.isMemory) return trap(vcpu, X86Exit.IO_INSTRUCTION, command.port, isWrite, size, value, 0);
    if (command.address + size - 1 > dataLimit(vcpu) && dataLimit(vcpu) !== FLAT) {
      this.isCompleting = false;
      vcpu.exceptionVector = GP_VECTOR;
      return X86Exit.IDLE;
    }
    this.memory.begin(command.address, size, isWrite, value);
    const isTrap = yield* this.memory.proceed(vcpu);
    if (isTrap) return X86Exit.EPT_MISCONFIG;
    this.isCompleting = false;
    this.readLow = this.memory.value;
    vcpu.regs.rip = At.BETWEEN;
    return X86Exit.IDLE;
  }
}

/** The last offset in the data segment: 64 KiB after INIT, everything once user space has set it. */
const dataLimit = (vcpu: VcpuX86): number => kvm_sregs.ds.limit.get(new DataView(vcpu.sregs.buffer));

function trap(vcpu: VcpuX86, exit: X86Exit, address: number, isWrite: boolean, size: number, low: number, high: number): X86Exit {
  const access = vcpu.trap;
  access.address = address;
  access.isWrite = isWrite;
  access.size = size;
  access.low = low | 0;
  access.high = high | 0;
  return exit;
}

/** The local APIC is told the end of whatever is in service when an interrupt enters the guest, be it its own or not. */
function* endAccepted(vcpu: VcpuX86): Step<void> {
  if (vcpu.apic !== null && vcpu.injectedVector >= 0) yield* vcpu.apic.eoi();
}
