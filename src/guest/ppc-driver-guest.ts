import { SigBus } from "../host/memory.js";
import { PpcExit, type PpcGuestCpu } from "../kvm/powerpc/guest.js";
import type { PpcVcpu } from "../kvm/powerpc/vcpu.js";
import { Cost } from "../sim/cost.js";
import { Ev } from "../sim/event.js";
import type { Step } from "../sim/step.js";
import { PPC_OP_SIZE, PpcOp, type PpcProgram } from "./ppc-op.js";

/** What an instruction answers when the guest goes on with the next one. */
const NEXT = -1;
/** The same, after an instruction behind which an interrupt may be taken. */
const LOOK = -2;

type Outcome = PpcExit | typeof NEXT | typeof LOOK;

const SOURCE_MASK = 0xff_ffff;
const WORD = 4;
const TWO32 = 0x1_0000_0000;

/**
 * POWER guest software as a table of instructions: interprets its program on whatever vCPU is entered. What it remembers
 * between two instructions is in the vCPU's registers and in memory, so that it can be moved between any two.
 */
export class PpcDriverGuest implements PpcGuestCpu {
  private readonly table: Int32Array;
  private readonly wide: Float64Array;
  private readonly base: number;

  constructor(program: PpcProgram) {
    this.table = program.table;
    this.wide = program.wide;
    this.base = program.base;
  }

  *run(vcpu: PpcVcpu): Step<PpcExit> {
    let outcome: Outcome = LOOK;
    for (;;) {
      if (outcome === LOOK) {
        const isInterrupted = yield* vcpu.isInterrupted();
        if (isInterrupted) return PpcExit.EXTERNAL;
        vcpu.takeExternal();
      }
      outcome = yield* this.execute(vcpu, (vcpu.regs.pc - this.base) | 0);
      if (outcome !== NEXT && outcome !== LOOK) return outcome;
    }
  }

  private *execute(vcpu: PpcVcpu, at: number): Step<Outcome> {
    const { regs } = vcpu;
    const a = this.table[at + 1];
    const b = this.table[at + 2];
    const op: PpcOp = this.table[at];
    switch (op) {
      case PpcOp.SPIN:
        return PpcExit.IDLE;
      case PpcOp.B:
        regs.pc = this.base + a;
        return LOOK;
      case PpcOp.CASE:
        regs.pc = (regs.lo[a] & SOURCE_MASK) === b ? this.base + this.table[at + 3] : regs.pc + PPC_OP_SIZE;
        return NEXT;
      case PpcOp.SAME:
        regs.pc = ((regs.lo[a] ^ regs.lo[b]) & SOURCE_MASK) === 0 ? this.base + this.table[at + 3] : regs.pc + PPC_OP_SIZE;
        return NEXT;
      case PpcOp.RFID:
        regs.interruptReturn();
        return LOOK;
      case PpcOp.EE:
        regs.isEnabled = a !== 0;
        regs.pc += PPC_OP_SIZE;
        return LOOK;
      case PpcOp.SC: {
        regs.pc += PPC_OP_SIZE;
        const isServed = yield* vcpu.hypercall();
        return isServed ? LOOK : PpcExit.SYSCALL;
      }
      case PpcOp.STW:
      case PpcOp.LWZ:
      case PpcOp.STWBRX:
        return yield* this.access(vcpu, op, this.wide[a], b);
      case PpcOp.STR:
        return yield* this.access(vcpu, PpcOp.STW, this.wide[a], regs.lo[b]);
      case PpcOp.DELAY:
        return this.delay(vcpu, this.wide[a], b);
      default:
        this.simple(vcpu, op, a, b);
        regs.pc += PPC_OP_SIZE;
        return NEXT;
    }
  }

  /** What neither branches nor leaves the guest. */
  private simple(vcpu: PpcVcpu, op: PpcOp, a: number, b: number): void {
    const { lo, hi } = vcpu.regs;
    const { sim } = vcpu.vm;
    switch (op) {
      case PpcOp.LI:
        lo[a] = b;
        hi[a] = 0;
        break;
      case PpcOp.MR:
        lo[a] = lo[b];
        hi[a] = hi[b];
        break;
      case PpcOp.ADDI:
        lo[a] += b;
        break;
      case PpcOp.ENTER:
        sim.emit(Ev.guest_ack, vcpu.id, lo[a] & SOURCE_MASK);
        break;
      case PpcOp.END:
        sim.emit(Ev.guest_eoi, vcpu.id, lo[a] & SOURCE_MASK);
        break;
      case PpcOp.WORK:
        if (this.wide[a] < 0) sim.charge(Cost.guestHandler);
        else sim.spend(this.wide[a]);
        break;
      default:
    }
  }

  /** r[register] 0: not begun. An interrupt is taken meanwhile, and the wait goes on after it. */
  private delay(vcpu: PpcVcpu, ns: number, register: number): Outcome {
    const { regs, thread, vm } = vcpu;
    const now = vm.sim.now();
    let until = (regs.hi[register] >>> 0) * TWO32 + (regs.lo[register] >>> 0);
    if (until === 0) {
      until = Math.ceil(now + ns);
      regs.set(register, until);
    }
    if (now < until && thread !== null) {
      vm.sim.wakeAt(thread, until);
      return PpcExit.IDLE;
    }
    regs.set(register, 0);
    regs.pc += PPC_OP_SIZE;
    return LOOK;
  }

  /** RAM and mapped device registers directly; what is neither by an exit, which completes it: it is behind us already. */
  private *access(vcpu: PpcVcpu, op: PpcOp.STW | PpcOp.LWZ | PpcOp.STWBRX, address: number, operand: number): Step<Outcome> {
    const { regs, vm } = vcpu;
    const { process, slots, sim } = vm;
    const { memory } = process;
    const isWrite = op !== PpcOp.LWZ;
    const hva = yield* slots.translate(address, WORD, isWrite);
    const area = hva < 0 ? null : memory.areaAt(hva);
    regs.pc += PPC_OP_SIZE;
    if (area === null || (isWrite && !area.writable)) return leave(vcpu, address, isWrite, op === PpcOp.STWBRX ? swapped(operand) : operand);
    if (area.region === null) {
      if (isWrite) memory.setU32(hva, (op === PpcOp.STW ? swapped(operand) : operand) >>> 0);
      else regs.set(operand, swapped(memory.getU32(hva)) >>> 0);
      return LOOK;
    }
    sim.charge(Cost.deviceAccess);
    const offset = hva - area.start + area.regionOffset;
    try {
      if (isWrite) yield* area.region.write(offset, WORD, operand);
      else regs.set(operand, (yield* area.region.read(offset, WORD)) >>> 0);
      return LOOK;
    } catch (error) {
      if (!(error instanceof SigBus)) throw error;
      return leave(vcpu, address, isWrite, operand);
    }
  }
}

/** The access as the trap has it: a value of the guest's own order of bytes. */
function leave(vcpu: PpcVcpu, address: number, isWrite: boolean, value: number): PpcExit {
  const { trap } = vcpu;
  trap.address = address;
  trap.isWrite = isWrite;
  trap.size = WORD;
  trap.value = value;
  return PpcExit.DATA_STORAGE;
}

const swapped = (word: number): number => (word << 24) | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00) | (word >>> 24);
