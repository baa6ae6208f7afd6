import { IchHcr } from "../arch/gic/gich.js";
import { Icc } from "../arch/gic/icc.js";
import { type GuestCpu, GuestExit } from "../kvm/arm64/guest-cpu.js";
import { type GuestRegisters, PSTATE_I } from "../kvm/arm64/guest-registers.js";
import type { Vcpu } from "../kvm/arm64/vcpu.js";
import { reads } from "../sim/access.js";
import { Cost } from "../sim/cost.js";
import { Ev } from "../sim/event.js";
import type { Step } from "../sim/step.js";
import type { Bindings } from "./bindings.js";
import { type GuestGic, writeGicField } from "./guest-gic.js";
import { guestLoad, guestStore } from "./guest-memory.js";
import { OP_SIZE, Op, type Program } from "./op.js";

const NS_PER_S = 1_000_000_000;
const TWO32 = 0x1_0000_0000;
const SPURIOUS = 1023;
/** Instructions that may change what is signalled to this CPU, or have seen that it is: the guest looks before the next one. */
const LOOKS =
  (1 << Op.WFI) | (1 << Op.WFE) | (1 << Op.STORE) | (1 << Op.LOAD) | (1 << Op.MASK) | (1 << Op.ERET) | (1 << Op.GIC) | (1 << Op.ACK) | (1 << Op.EOI) | (1 << Op.DIR) | (1 << Op.SERVICE) | (1 << Op.TIMER);

/** Where the guest goes on, as an index into its program; an exit is negative, see {@link leave}. */
type Next = number;

/** An index outside of every program: nothing is done there. */
const NOWHERE = 0x4000_0000;

/** The guest stops at this instruction. */
const leave = (exit: GuestExit): Next => ~exit;

/** What the guest's handlers saw. */
export class GuestStats {
  /** Acknowledges that returned an INTID, and those that returned a special id. */
  acknowledged = 0;
  spurious = 0;
  /** Handler runs without a binding for the INTID. */
  unbound = 0;
}

/**
 * Guest software as a table of instructions: interprets its program on whatever vCPU is entered. Several vCPUs may
 * share one; what it remembers between two instructions is in the vCPU's registers.
 */
export class DriverGuest implements GuestCpu {
  readonly stats = new GuestStats();
  private readonly table: Int32Array;
  private readonly wide: Float64Array;
  private readonly base: number;

  constructor(
    program: Program,
    private readonly gic: GuestGic,
    readonly bindings: Bindings,
  ) {
    this.table = program.table;
    this.wide = program.wide;
    this.base = program.base;
  }

  /** The program counter is an index while the guest runs; the register has it whenever somebody else can look. */
  *run(vcpu: Vcpu): Step<GuestExit> {
    const { regs } = vcpu;
    const { table } = this;
    let at = this.indexOf(regs.pc);
    let mustLook = true;
    for (;;) {
      if (mustLook) {
        const isInterrupted = yield* vcpu.isInterrupted();
        if (isInterrupted) {
          this.keepPc(regs, at);
          return GuestExit.IRQ;
        }
        const isTaken = (regs.pstate & PSTATE_I) === 0 && (yield* this.isSignalled(vcpu));
        if (isTaken) at = this.takeIrq(regs, at);
      }
      const op = table[at];
      const next: Next = op < Op.GIC ? yield* this.execute(vcpu, op, at) : yield* this.drive(vcpu, op, at);
      if (next < 0) {
        this.keepPc(regs, op === Op.HVC ? at + OP_SIZE : at); // a hypercall returns behind itself
        return ~next;
      }
      at = next;
      mustLook = ((LOOKS >>> op) & 1) !== 0;
    }
  }

  private takeIrq(regs: GuestRegisters, at: number): number {
    this.keepPc(regs, at);
    regs.takeIrq();
    return this.indexOf(regs.pc);
  }

  private indexOf(pc: number): number {
    const at = pc - this.base;
    return at >= 0 && at <= this.table.length ? at | 0 : NOWHERE;
  }

  private keepPc(regs: GuestRegisters, at: number): void {
    if (at !== NOWHERE) regs.pc = this.base + at;
  }

  /** IRQ; FIQ is not used by these guests. */
  private *isSignalled(vcpu: Vcpu): Step<boolean> {
    const { cpuInterface } = vcpu;
    if (cpuInterface === null) return false;
    yield reads(cpuInterface, "IRQ");
    return cpuInterface.isSignalled(1);
  }

  /** The processor's own instructions. */
  private *execute(vcpu: Vcpu, op: Op, at: number): Step<Next> {
    const { regs } = vcpu;
    const a = this.table[at + 1];
    const b = this.table[at + 2];
    switch (op) {
      case Op.WFI:
      case Op.WFE:
        return yield* this.waitForInterrupt(vcpu, op === Op.WFE, at);
      case Op.MOV:
        regs.xLo[a] = b;
        regs.xHi[a] = 0;
        break;
      case Op.SUB:
        regs.xLo[a] -= b;
        break;
      case Op.B:
        return a;
      case Op.CBZ:
        return regs.xLo[a] === 0 ? b : at + OP_SIZE;
      case Op.STORE:
        return yield* this.store(vcpu, this.wide[a], this.table[at + 3], b, at);
      case Op.LOAD:
        return yield* this.load(vcpu, this.wide[a], this.table[at + 3], b, at);
      case Op.VBAR:
        regs.vbarEl1 = this.base + a;
        break;
      case Op.MASK:
        regs.pstate = a === 0 ? regs.pstate & ~PSTATE_I : regs.pstate | PSTATE_I;
        break;
      case Op.ERET:
        regs.exceptionReturn();
        return this.indexOf(regs.pc);
      case Op.HVC:
        return leave(GuestExit.HVC);
      case Op.MSR:
        this.moveToSysreg(vcpu, at);
        return leave(GuestExit.SYSREG);
      default:
        return leave(GuestExit.IDLE);
    }
    return at + OP_SIZE;
  }

  /** What a driver does with its interrupt controller, its devices and its timer. */
  private *drive(vcpu: Vcpu, op: Op, at: number): Step<Next> {
    const { regs } = vcpu;
    const a = this.table[at + 1];
    const b = this.table[at + 2];
    switch (op) {
      case Op.GIC:
        yield* this.setField(vcpu, a, b);
        break;
      case Op.ACK:
        regs.xLo[a] = yield* this.acknowledge(vcpu);
        break;
      case Op.EOI:
        yield* this.endOfInterrupt(vcpu, regs.xLo[a]);
        break;
      case Op.DIR:
        return yield* this.deactivate(vcpu, regs.xLo[a], at);
      case Op.SPURIOUS:
        return isSpecial(regs.xLo[a] & this.gic.intidMask) ? b : at + OP_SIZE;
      case Op.BIND:
        this.bind(vcpu, regs.xLo[a] & this.gic.intidMask, b, this.table[at + 3]);
        break;
      case Op.SERVICE:
        return yield* this.service(vcpu, regs.xLo[a], at);
      case Op.WORK:
        if (this.wide[a] < 0) vcpu.vm.sim.charge(Cost.guestHandler);
        else vcpu.vm.sim.spend(this.wide[a]);
        break;
      case Op.DELAY:
        return this.delay(vcpu, this.wide[a], b, at);
      case Op.TIMER:
        yield* this.setTimer(vcpu, this.wide[a]);
        break;
      default:
        return leave(GuestExit.IDLE);
    }
    return at + OP_SIZE;
  }

  private *store(vcpu: Vcpu, address: number, size: number, value: number, at: number): Step<Next> {
    const isDone = yield* guestStore(vcpu, address, size, value);
    return isDone ? at + OP_SIZE : leave(GuestExit.DABT);
  }

  private *load(vcpu: Vcpu, address: number, size: number, register: number, at: number): Step<Next> {
    const isDone = yield* guestLoad(vcpu, address, size, register);
    return isDone ? at + OP_SIZE : leave(GuestExit.DABT);
  }

  private moveToSysreg(vcpu: Vcpu, at: number): void {
    const { trap } = vcpu;
    trap.sysreg = this.table[at + 1];
    trap.low = this.table[at + 2];
    trap.high = this.table[at + 3];
    trap.isWrite = true;
  }

  /** A pending interrupt makes it a no-op, masked or not; else it is trapped, or the processor waits (host-irq.md 3.4). */
  private *waitForInterrupt(vcpu: Vcpu, isWfe: boolean, at: number): Step<Next> {
    const isSignalled = yield* this.isSignalled(vcpu);
    if (isSignalled) return at + OP_SIZE;
    if (!vcpu.isWfiTrapped) return leave(GuestExit.IDLE);
    vcpu.trap.isWfe = isWfe;
    return leave(GuestExit.WFX);
  }

  private *setField(vcpu: Vcpu, field: number, value: number): Step<void> {
    const { cpuInterface, vm } = vcpu;
    if (cpuInterface === null) return;
    vm.sim.charge(Cost.guestAccess);
    yield* writeGicField(this.gic, cpuInterface, field, value);
  }

  private *acknowledge(vcpu: Vcpu): Step<number> {
    const { cpuInterface, vm } = vcpu;
    if (cpuInterface === null) return SPURIOUS;
    vm.sim.charge(Cost.guestAccess);
    const iar = yield* cpuInterface.acknowledge(this.gic.group);
    const intid = iar & this.gic.intidMask;
    if (isSpecial(intid)) this.stats.spurious++;
    else this.stats.acknowledged++;
    vm.sim.emit(Ev.guest_ack, vcpu.id, intid);
    return iar;
  }

  /** The whole IAR value goes back: on GICv2 it names the sender of an SGI (K28). */
  private *endOfInterrupt(vcpu: Vcpu, iar: number): Step<void> {
    const { cpuInterface, vm } = vcpu;
    if (cpuInterface === null) return;
    vm.sim.charge(Cost.guestAccess);
    vm.sim.emit(Ev.guest_eoi, vcpu.id, iar & this.gic.intidMask);
    yield* cpuInterface.endOfInterrupt(this.gic.group, iar);
  }

  /** The hypervisor may have asked to see it: then it is a trapped register write (gic-v3.md A9.10). */
  private *deactivate(vcpu: Vcpu, iar: number, at: number): Step<Next> {
    const { cpuInterface, trap, vm } = vcpu;
    if (cpuInterface === null) return at + OP_SIZE;
    vm.sim.emit(Ev.guest_dir, vcpu.id, iar & this.gic.intidMask);
    yield reads(cpuInterface, "hcr");
    if (this.gic.version === 3 && (cpuInterface.hcr & IchHcr.TDIR) !== 0) {
      trap.sysreg = Icc.DIR;
      trap.low = iar;
      trap.high = 0;
      trap.isWrite = true;
      return leave(GuestExit.SYSREG);
    }
    vm.sim.charge(Cost.guestAccess);
    yield* cpuInterface.deactivate(iar);
    return at + OP_SIZE;
  }

  private bind(vcpu: Vcpu, intid: number, to: number, accesses: number): void {
    const { regs } = vcpu;
    const binding = this.bindings.find(intid);
    regs.xLo[to] = binding;
    regs.xLo[accesses] = binding < 0 ? 0 : this.bindings.device(binding).accessesPerService;
    if (binding < 0) this.stats.unbound++;
    else this.bindings.handled[binding]++;
  }

  private *service(vcpu: Vcpu, binding: number, at: number): Step<Next> {
    const device = this.bindings.device(binding);
    return device.isWrite
      ? yield* this.store(vcpu, device.address, device.size, device.value, at)
      : yield* this.load(vcpu, device.address, device.size, device.register, at);
  }

  /** x[register] pair 0: not begun. An interrupt is taken meanwhile, and the wait goes on after it. */
  private delay(vcpu: Vcpu, ns: number, register: number, at: number): Next {
    const { regs, thread, vm } = vcpu;
    const now = vm.sim.now();
    let until = (regs.xHi[register] >>> 0) * TWO32 + (regs.xLo[register] >>> 0);
    if (until === 0) {
      until = Math.ceil(now + ns);
      regs.xHi[register] = Math.floor(until / TWO32);
      regs.xLo[register] = until | 0;
    }
    if (now < until && thread !== null) {
      vm.sim.wakeAt(thread, until);
      return leave(GuestExit.IDLE);
    }
    regs.xHi[register] = 0;
    regs.xLo[register] = 0;
    return at + OP_SIZE;
  }

  private *setTimer(vcpu: Vcpu, ns: number): Step<void> {
    const timer = vcpu.timers.virtual;
    if (ns < 0) {
      yield* timer.writeControl(0);
      return;
    }
    const count = yield* timer.readCount();
    yield* timer.writeCompare(count + Math.ceil((ns * vcpu.vm.host.counterHz) / NS_PER_S));
    yield* timer.writeControl(1);
  }
}

function isSpecial(intid: number): boolean {
  return intid >= 1020 && intid <= 1023;
}
