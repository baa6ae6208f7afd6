import { guarded, reads, shared, writes } from "../../sim/access.js";
import { Ev } from "../../sim/event.js";
import { Spinlock } from "../../sim/lock.js";
import type { Step } from "../../sim/step.js";
import { chipRules, type ChipRules, type X86Compat } from "./chip-rules.js";
import type { Hazards } from "../../sim/hazards.js";
import type { LocalApics, X86IrqchipVm } from "./contract.js";
import { LineSources } from "./line-sources.js";
import { CASCADE, LINES, Pic, PicChip } from "./pic-chip.js";
import { PicPorts } from "./pic-ports.js";

/** Which kernel's PIC or IOAPIC, and which of its rules are off. */
export interface ChipOptions {
  /** Default "newest". */
  readonly compat?: X86Compat | ChipRules;
}

/** Lines of both chips; those of the slave are 8 to 15. */
export const PIC_PINS = 2 * LINES;
/** The vector offset of an interrupt that was withdrawn before its acknowledge. */
const SPURIOUS = 7;

/**
 * The pair of 8259As as KVM emulates it (x86-irqchip.md 4). One spinlock; it is dropped around acknowledge listeners,
 * which may drive a line of this pair again.
 */
export class PicPair {
  readonly lock: Spinlock;
  readonly master: PicChip;
  readonly slave: PicChip;
  readonly rules: ChipRules;
  readonly hazards: Hazards;
  readonly ports: PicPorts;
  /** INT to the CPUs. Read without the lock. */
  output = false;
  /** Whoever gives the lock back has a vCPU look (4.4). */
  private wakeupNeeded = false;
  readonly sources = new LineSources(PIC_PINS);

  constructor(
    readonly vm: X86IrqchipVm,
    readonly apics: LocalApics,
    options: ChipOptions = {},
  ) {
    this.lock = new Spinlock(vm.sim, "kvm_pic->lock");
    this.master = new PicChip(0, this.lock);
    this.slave = new PicChip(1, this.lock);
    this.rules = chipRules(options.compat ?? "newest");
    this.hazards = vm.sim.hazards;
    this.ports = new PicPorts(this);
  }

  /** Puts the ports on the VM's port bus; takes slots_lock. 0 or the bus's errno, with nothing left behind. */
  *register(): Step<number> {
    return yield* this.ports.register();
  }

  *unregister(): Step<void> {
    yield* this.ports.unregister();
  }

  /**
   * A source drives line `pin`, 0 to 15 (4.3): 1, 0 when the request was there already, -1 when it is masked.
   */
  *setIrq(pin: number, source: number, level: number): Step<number> {
    yield* this.lock.lock();
    const chip = pin < LINES ? this.master : this.slave;
    const old = this.sources.word(pin);
    const isHigh = this.sources.drive(pin, source, level);
    const { tracing } = this.vm.sim;
    const wasHigh = tracing && chip.holds(Pic.LAST_IRR, pin & (LINES - 1));
    const result = chip.setLine(pin & (LINES - 1), isHigh);
    yield* this.update();
    if (tracing) this.traceLine(chip, pin, source, old, result);
    if (tracing && isHigh) this.traceDropped(chip, pin & (LINES - 1), wasHigh, result);
    yield* this.unlock();
    return result;
  }

  private traceLine(chip: PicChip, pin: number, source: number, old: number, result: number): void {
    const { sim } = this.vm;
    const line = pin & (LINES - 1);
    sim.emit(Ev.irq_line_state, chip.index, line, source, old, this.sources.word(pin), result);
    sim.emit(Ev.kvm_pic_set_irq, chip.index, line, chip.regs[Pic.ELCR], chip.regs[Pic.IMR], result === 0 ? 1 : 0);
  }

  /** Why a high line made no request: a level line keeps its own, an edge needs the line to have been low. */
  private traceDropped(chip: PicChip, line: number, wasHigh: boolean, result: number): void {
    const isLevel = chip.holds(Pic.ELCR, line);
    let cause = "";
    if (result < 0) cause = "masked";
    else if (!isLevel && wasHigh) cause = "line already high";
    else if (result === 0) cause = isLevel ? "level already requested" : "edge already latched";
    if (cause !== "") this.vm.sim.emit(Ev.pic_dropped, chip.index, line, cause);
  }

  /** Does the pair ask for an acknowledge? */
  *hasOutput(): Step<boolean> {
    yield reads(this, "output");
    return this.output;
  }

  /** The CPU's interrupt acknowledge (4.5): the vector, spurious ones (X16, X17) included. */
  *ack(): Step<number> {
    yield writes(this, "output");
    this.output = false;
    yield* this.lock.lock();
    let chip = this.master;
    let line = chip.wanted();
    if (line < 0) line = this.spurious(chip);
    else yield* this.acknowledge(chip, line);
    if (line === CASCADE) {
      chip = this.slave;
      line = chip.wanted();
      if (line < 0) line = this.spurious(chip);
      else yield* this.acknowledge(chip, line);
    }
    const vector = (chip.regs[Pic.IRQ_BASE] + line) & 0xff;
    yield* this.update();
    yield* this.unlock();
    return vector;
  }

  /** 4.5: the request is gone; line 7 is said, and not in service (X16, X17). */
  private spurious(chip: PicChip): number {
    if (this.hazards.spuriousInService) chip.regs[Pic.ISR] |= 1 << SPURIOUS;
    return SPURIOUS;
  }

  private *acknowledge(chip: PicChip, line: number): Step<void> {
    const { regs } = chip;
    const mask = 1 << line;
    regs[Pic.ISR] |= mask;
    if ((regs[Pic.ELCR] & mask) === 0) regs[Pic.IRR] &= ~mask;
    if (regs[Pic.AUTO_EOI] === 0) return;
    if (regs[Pic.ROTATE_ON_AUTO_EOI] !== 0) regs[Pic.PRIORITY_ADD] = (line + 1) & (LINES - 1);
    yield* this.clearIsr(chip, line);
  }

  /**
   * Ends a line and tells the listeners, without the lock: one that raises the same line again finds it out of service
   * (X18). Lock held; so it is afterwards.
   */
  *clearIsr(chip: PicChip, line: number): Step<void> {
    chip.regs[Pic.ISR] &= ~(1 << line);
    if (!this.hazards.ackUnderLock) yield* this.unlock(); // a listener injects (H22)
    yield* this.vm.acks.notifyAcked(chip.index, chip.index * LINES + line);
    if (!this.hazards.ackUnderLock) yield* this.lock.lock();
  }

  /** An EOI by command: what the pair wants is decided after the listeners were told (X18). Lock held. */
  *end(chip: PicChip, line: number): Step<void> {
    if (this.hazards.picOutputBeforeAck) {
      yield* this.endTooEarly(chip, line);
      return;
    }
    yield* this.clearIsr(chip, line);
    yield* this.update();
  }

  private *endTooEarly(chip: PicChip, line: number): Step<void> {
    chip.regs[Pic.ISR] &= ~(1 << line);
    const isWanted = this.master.wanted() >= 0;
    yield* this.clearIsr(chip, line);
    yield* this.setOutput(isWanted);
  }

  /** 4.4: the slave's wish pulses the master's line, the master's wish is the output. Lock held. */
  *update(): Step<void> {
    if (this.slave.wanted() >= 0) {
      this.master.setLine(CASCADE, true);
      this.master.setLine(CASCADE, false);
    }
    yield* this.setOutput(this.master.wanted() >= 0);
  }

  private *setOutput(level: boolean): Step<void> {
    yield writes(this, "output");
    if (!this.output && (level || !this.rules.wakesOnlyWhenRaised)) this.wakeupNeeded = true;
    this.output = level;
  }

  /** Gives the lock back, then has the first vCPU that accepts PIC interrupts look, if the output asks for it. */
  *unlock(): Step<void> {
    const mustWake = this.wakeupNeeded;
    this.wakeupNeeded = false;
    yield* this.lock.unlock();
    if (!mustWake) return;
    const vcpu = yield* this.firstAccepting();
    if (vcpu >= 0) yield* this.vm.vcpus[vcpu].requestEvent();
  }

  /** Index of the first vCPU that accepts PIC interrupts (7.9), -1 when none does. */
  *firstAccepting(): Step<number> {
    const { vcpus } = this.vm;
    for (let i = 0; i < vcpus.length; i++) {
      const accepts = yield* this.apics.acceptsPic(i);
      if (accepts) return i;
    }
    return -1;
  }

  /** KVM_GET_IRQCHIP for chip 0 or 1 (4.9): the 16 bytes of `struct kvm_pic_state` go to `view`, from `base` on. */
  *getState(chip: 0 | 1, view: DataView, base = 0): Step<void> {
    yield* this.lock.lock();
    const { regs } = chip === 0 ? this.master : this.slave;
    for (let i = 0; i < Pic.SIZE; i++) view.setUint8(base + i, regs[i]);
    yield* this.lock.unlock();
  }

  /** KVM_SET_IRQCHIP for chip 0 or 1: every byte as given, ELCR_MASK too. {@link refresh} follows. */
  *setState(chip: 0 | 1, view: DataView, base = 0): Step<void> {
    yield* this.lock.lock();
    const { regs } = chip === 0 ? this.master : this.slave;
    for (let i = 0; i < Pic.SIZE; i++) regs[i] = view.getUint8(base + i);
    yield* this.lock.unlock();
  }

  /** The update that ends every KVM_SET_IRQCHIP, of the IOAPIC too (4.9). */
  *refresh(): Step<void> {
    yield* this.lock.lock();
    yield* this.update();
    yield* this.unlock();
  }
}
shared(PicPair, "output");
guarded(PicPair, (pair) => pair.lock, "wakeupNeeded", "sources");
