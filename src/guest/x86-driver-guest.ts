import { SigBus } from "../host/memory.js";
import { X86Exit, type X86GuestCpu } from "../kvm/x86/guest.js";
import type { VcpuX86 } from "../kvm/x86/vcpu.js";
import { Cost } from "../sim/cost.js";
import { Ev } from "../sim/event.js";
import type { Step } from "../sim/step.js";
import { X86_OP_SIZE, X86Op, type X86Program } from "./x86-op.js";

/** What an instruction answers when the guest goes on with the next one. */
const NEXT = -1;
/** The same, after an instruction behind which an interrupt may be taken. */
const LOOK = -2;

type Outcome = X86Exit | typeof NEXT | typeof LOOK;

/** MSR and offset of the local APIC's EOI register. */
const X2APIC_EOI = 0x80b;
const XAPIC_EOI = 0xfee0_00b0;

/**
 * x86 guest software as a table of instructions: interprets its program on whatever vCPU is entered. What it remembers
 * between two instructions is in the vCPU's registers.
 */
export class X86DriverGuest implements X86GuestCpu {
  private readonly table: Int32Array;
  private readonly wide: Float64Array;
  private readonly base: number;

  constructor(private readonly program: X86Program) {
    this.table = program.table;
    this.wide = program.wide;
    this.base = program.base;
  }

  entryOf(_vcpu: VcpuX86, vector: number): number {
    return this.base + this.program.handlers[vector];
  }

  *run(vcpu: VcpuX86): Step<X86Exit> {
    const { regs } = vcpu;
    let outcome: Outcome = LOOK;
    for (;;) {
      if (outcome === LOOK) {
        const exit = yield* this.look(vcpu);
        if (exit !== X86Exit.IDLE) return exit;
      }
      outcome = yield* this.execute(vcpu, (regs.rip - this.base) | 0);
      if (outcome !== NEXT && outcome !== LOOK) return outcome;
    }
  }

  /** Between two instructions: the host's interrupts first, then what the processor or KVM delivers to the guest. */
  private *look(vcpu: VcpuX86): Step<X86Exit> {
    const isInterrupted = yield* vcpu.isInterrupted();
    if (isInterrupted) return X86Exit.EXTERNAL_INTERRUPT;
    if (vcpu.apicv !== null) yield* vcpu.apicv.deliver();
    return vcpu.boundary();
  }

  private *execute(vcpu: VcpuX86, at: number): Step<Outcome> {
    const { regs } = vcpu;
    const { sim } = vcpu.vm;
    const a = this.table[at + 1];
    const b = this.table[at + 2];
    const op: X86Op = this.table[at];
    switch (op) {
      case X86Op.SPIN:
        if (regs.shadow === 0) return X86Exit.IDLE;
        regs.shadow = 0;
        return LOOK;
      case X86Op.STI:
        regs.shadow = regs.interruptFlag ? 0 : 1;
        regs.interruptFlag = true;
        regs.rip += X86_OP_SIZE;
        return NEXT;
      case X86Op.IRET:
        regs.interruptReturn();
        return LOOK;
      case X86Op.ENTER:
        sim.emit(Ev.guest_ack, vcpu.id, a);
        break;
      case X86Op.END:
        sim.emit(Ev.guest_eoi, vcpu.id, a);
        break;
      case X86Op.WORK:
        if (this.wide[a] < 0) sim.charge(Cost.guestHandler);
        else sim.spend(this.wide[a]);
        break;
      case X86Op.JMP:
        regs.shadow = 0;
        regs.rip = this.base + a;
        return LOOK;
      case X86Op.CLEAR_BIT: {
        const wasSet = yield* clearBit(vcpu, this.wide[a]);
        regs.rip = wasSet ? this.base + b : regs.rip + X86_OP_SIZE;
        return LOOK;
      }
      default:
        return yield* this.access(vcpu, op, at);
    }
    regs.shadow = 0;
    regs.rip += X86_OP_SIZE;
    return NEXT;
  }

  /** What may leave the guest; user space and KVM complete it, so the instruction is behind us already. */
  private *access(vcpu: VcpuX86, op: X86Op, at: number): Step<Outcome> {
    const { regs, trap } = vcpu;
    const a = this.table[at + 1];
    const b = this.table[at + 2];
    const c = this.table[at + 3];
    regs.shadow = 0;
    regs.rip += X86_OP_SIZE;
    switch (op) {
      case X86Op.HLT:
        return X86Exit.HLT;
      case X86Op.STORE:
      case X86Op.LOAD:
        trapOf(vcpu, 0, c, op === X86Op.STORE, b);
        trap.address = this.wide[a];
        return yield* memoryAccess(vcpu);
      case X86Op.OUT:
        trapOf(vcpu, a, 1, true, b);
        return X86Exit.IO_INSTRUCTION;
      case X86Op.WRMSR:
        if (vcpu.apicv !== null && a === X2APIC_EOI) return yield* virtualEoi(vcpu);
        trapOf(vcpu, a, 8, true, b);
        trap.high = c;
        return X86Exit.MSR_WRITE;
      default:
        return X86Exit.IDLE;
    }
  }
}

function trapOf(vcpu: VcpuX86, address: number, size: number, isWrite: boolean, value: number): void {
  const { trap } = vcpu;
  trap.address = address;
  trap.size = size;
  trap.isWrite = isWrite;
  trap.low = value;
  trap.high = 0;
}

/** The processor ends the interrupt; LOOK, or the exit of a vector that KVM has to hear of. */
function* virtualEoi(vcpu: VcpuX86): Step<Outcome> {
  if (vcpu.apicv === null) return LOOK;
  vcpu.vm.sim.charge(Cost.guestAccess);
  const exit = yield* vcpu.apicv.eoi();
  return exit === X86Exit.IDLE ? LOOK : exit;
}

/** The trap's access: RAM and mapped device registers directly, everything else by an exit. */
function* memoryAccess(vcpu: VcpuX86): Step<Outcome> {
  const { trap } = vcpu;
  const { size, isWrite, low: value } = trap;
  if (trap.address === XAPIC_EOI && vcpu.apicv !== null) return yield* virtualEoi(vcpu);
  const { process, slots, sim } = vcpu.vm;
  const isMemory = yield* slots.locate(trap);
  const area = isMemory ? process.memory.areaOf(trap) : null;
  if (area === null || (isWrite && !area.writable)) return X86Exit.EPT_MISCONFIG;
  if (area.region === null) {
    if (isWrite) process.memory.setU32(trap.hva, value >>> 0);
    return LOOK;
  }
  sim.charge(Cost.deviceAccess);
  const offset = trap.hva - area.start + area.regionOffset;
  try {
    if (isWrite) yield* area.region.write(offset, size, value);
    else yield* area.region.read(offset, size);
    return LOOK;
  } catch (error) {
    if (!(error instanceof SigBus)) throw error;
    vcpu.regs.rip -= X86_OP_SIZE;
    return X86Exit.EPT_VIOLATION;
  }
}

function* clearBit(vcpu: VcpuX86, address: number): Step<boolean> {
  const { process, slots } = vcpu.vm;
  const hva = yield* slots.translate(address, 1, true);
  if (hva < 0) return false;
  const byte = process.memory.getU8(hva);
  process.memory.setU8(hva, byte & ~1);
  return (byte & 1) !== 0;
}
