import { IchHcr } from "../arch/gic/gich.js";
import { Icc } from "../arch/gic/icc.js";
import { type GuestCpu, GuestExit } from "../kvm/arm64/guest-cpu.js";
import { PSTATE_I } from "../kvm/arm64/guest-registers.js";
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
/** What an instruction answers when the guest goes on with the next one. */
const NEXT = -1;
/** The same, after an access that may have changed what is signalled to this CPU. */
const LOOK = -2;

type Outcome = GuestExit | typeof NEXT | typeof LOOK;

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

  *run(vcpu: Vcpu): Step<GuestExit> {
    const { regs } = vcpu;
    let outcome: Outcome = LOOK;
    for (;;) {
      if (outcome === LOOK) {
        const isInterrupted = yield* vcpu.isInterrupted();
        if (isInterrupted) return GuestExit.IRQ;
        if ((regs.pstate & PSTATE_I) === 0) yield* this.takeInterrupt(vcpu);
      }
      const at = (regs.pc - this.base) | 0;
      const op = this.table[at];
      outcome = op < Op.GIC ? yield* this.execute(vcpu, op, at) : yield* this.drive(vcpu, op, at);
      if (outcome !== NEXT && outcome !== LOOK) return outcome;
    }
  }

  private *takeInterrupt(vcpu: Vcpu): Step<void> {
    const isSignalled = yield* this.isSignalled(vcpu);
    if (isSignalled) vcpu.regs.takeIrq();
  }

  /** IRQ; FIQ is not used by these guests. */
  private *isSignalled(vcpu: Vcpu): Step<boolean> {
    const { cpuInterface } = vcpu;
    if (cpuInterface === null) return false;
    yield reads(cpuInterface, "IRQ");
    return cpuInterface.isSignalled(1);
  }

  /** The processor's own instructions. */
  private *execute(vcpu: Vcpu, op: Op, at: number): Step<Outcome> {
    const { regs } = vcpu;
    const a = this.table[at + 1];
    const b = this.table[at + 2];
    switch (op) {
      case Op.WFI:
      case Op.WFE:
        return yield* this.waitForInterrupt(vcpu, op === Op.WFE);
      case Op.MOV:
        regs.xLo[a] = b;
        regs.xHi[a] = 0;
        break;
      case Op.SUB:
        regs.xLo[a] -= b;
        break;
      case Op.B:
        regs.pc = this.base + a;
        return NEXT;
      case Op.CBZ:
        regs.pc = regs.xLo[a] === 0 ? this.base + b : regs.pc + OP_SIZE;
        return NEXT;
      case Op.STORE:
        return yield* this.store(vcpu, this.wide[a], this.table[at + 3], b);
      case Op.LOAD:
        return yield* this.load(vcpu, this.wide[a], this.table[at + 3], b);
      case Op.VBAR:
        regs.vbarEl1 = this.base + a;
        break;
      case Op.MASK:
        regs.pstate = a === 0 ? regs.pstate & ~PSTATE_I : regs.pstate | PSTATE_I;
        regs.pc += OP_SIZE;
        return LOOK;
      case Op.ERET:
        regs.exceptionReturn();
        return LOOK;
      case Op.HVC:
        regs.pc += OP_SIZE;
        return GuestExit.HVC;
      case Op.MSR:
        return this.moveToSysreg(vcpu, at);
      default:
        return GuestExit.IDLE;
    }
    return this.advance(vcpu);
  }

  /** What a driver does with its interrupt controller, its devices and its timer. */
  private *drive(vcpu: Vcpu, op: Op, at: number): Step<Outcome> {
    const { regs } = vcpu;
    const a = this.table[at + 1];
    const b = this.table[at + 2];
    switch (op) {
      case Op.GIC:
        yield* this.setField(vcpu, a, b);
        return this.advanceAndLook(vcpu);
      case Op.ACK:
        regs.xLo[a] = yield* this.acknowledge(vcpu);
        return this.advanceAndLook(vcpu);
      case Op.EOI:
        yield* this.endOfInterrupt(vcpu, regs.xLo[a]);
        return this.advanceAndLook(vcpu);
      case Op.DIR:
        return yield* this.deactivate(vcpu, regs.xLo[a]);
      case Op.SPURIOUS:
        regs.pc = isSpecial(regs.xLo[a] & this.gic.intidMask) ? this.base + b : regs.pc + OP_SIZE;
        return NEXT;
      case Op.BIND:
        this.bind(vcpu, regs.xLo[a] & this.gic.intidMask, b, this.table[at + 3]);
        break;
      case Op.SERVICE:
        return yield* this.service(vcpu, regs.xLo[a]);
      case Op.WORK:
        if (this.wide[a] < 0) vcpu.vm.sim.charge(Cost.guestHandler);
        else vcpu.vm.sim.spend(this.wide[a]);
        break;
      case Op.DELAY:
        return this.delay(vcpu, this.wide[a], b);
      case Op.TIMER:
        yield* this.setTimer(vcpu, this.wide[a]);
        return this.advanceAndLook(vcpu);
      default:
        return GuestExit.IDLE;
    }
    return this.advance(vcpu);
  }

  private advance(vcpu: Vcpu): typeof NEXT {
    vcpu.regs.pc += OP_SIZE;
    return NEXT;
  }

  private advanceAndLook(vcpu: Vcpu): typeof LOOK {
    vcpu.regs.pc += OP_SIZE;
    return LOOK;
  }

  private *store(vcpu: Vcpu, address: number, size: number, value: number): Step<Outcome> {
    const isDone = yield* guestStore(vcpu, address, size, value);
    return isDone ? this.advanceAndLook(vcpu) : GuestExit.DABT;
  }

  private *load(vcpu: Vcpu, address: number, size: number, register: number): Step<Outcome> {
    const isDone = yield* guestLoad(vcpu, address, size, register);
    return isDone ? this.advanceAndLook(vcpu) : GuestExit.DABT;
  }

  private moveToSysreg(vcpu: Vcpu, at: number): GuestExit {
    const { trap } = vcpu;
    trap.sysreg = this.table[at + 1];
    trap.low = this.table[at + 2];
    trap.high = this.table[at + 3];
    trap.isWrite = true;
    return GuestExit.SYSREG;
  }

  /** A pending interrupt makes it a no-op, masked or not; else it is trapped, or the processor waits (host-irq.md 3.4). */
  private *waitForInterrupt(vcpu: Vcpu, isWfe: boolean): Step<Outcome> {
    const isSignalled = yield* this.isSignalled(vcpu);
    if (isSignalled) return this.advance(vcpu);
    if (!vcpu.isWfiTrapped) return GuestExit.IDLE;
    vcpu.trap.isWfe = isWfe;
    return GuestExit.WFX;
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
  private *deactivate(vcpu: Vcpu, iar: number): Step<Outcome> {
    const { cpuInterface, trap, vm } = vcpu;
    if (cpuInterface === null) return this.advance(vcpu);
    vm.sim.emit(Ev.guest_dir, vcpu.id, iar & this.gic.intidMask);
    yield reads(cpuInterface, "hcr");
    if (this.gic.version === 3 && (cpuInterface.hcr & IchHcr.TDIR) !== 0) {
      trap.sysreg = Icc.DIR;
      trap.low = iar;
      trap.high = 0;
      trap.isWrite = true;
      return GuestExit.SYSREG;
    }
    vm.sim.charge(Cost.guestAccess);
    yield* cpuInterface.deactivate(iar);
    return this.advanceAndLook(vcpu);
  }

  private bind(vcpu: Vcpu, intid: number, to: number, accesses: number): void {
    const { regs } = vcpu;
    const binding = this.bindings.find(intid);
    regs.xLo[to] = binding;
    regs.xLo[accesses] = binding < 0 ? 0 : this.bindings.device(binding).accessesPerService;
    if (binding < 0) this.stats.unbound++;
    else this.bindings.handled[binding]++;
  }

  private *service(vcpu: Vcpu, binding: number): Step<Outcome> {
    const device = this.bindings.device(binding);
    return device.isWrite
      ? yield* this.store(vcpu, device.address, device.size, device.value)
      : yield* this.load(vcpu, device.address, device.size, device.register);
  }

  /** x[register] pair 0: not begun. An interrupt is taken meanwhile, and the wait goes on after it. */
  private delay(vcpu: Vcpu, ns: number, register: number): Outcome {
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
      return GuestExit.IDLE;
    }
    regs.xHi[register] = 0;
    regs.xLo[register] = 0;
    return this.advance(vcpu);
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
