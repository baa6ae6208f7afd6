import { SPURIOUS_INTID } from "../../arch/gic/contract.js";
import { ActivePriorities, activeRegisters, PriorityRules, priorityMask } from "../../arch/gic/priority.js";
import type { IrqState } from "./irq-state.js";

/**
 * One physical CPU interface: priority mask, binary points, running priority, and the acknowledge and end of interrupts
 * (host-irq.md 2.2, gic-v3.md A10). Its methods are parts of one register access of the GIC that owns it.
 */
export class CpuInterface {
  readonly rules: PriorityRules;
  eoiMode: 0 | 1 = 0;
  private readonly maskBits: number;

  /** @param bits priority and preemption bits that the interface implements */
  constructor(
    private readonly state: IrqState,
    private readonly cpu: number,
    bits: number,
  ) {
    const count = activeRegisters(bits);
    this.rules = new PriorityRules(new ActivePriorities(new Int32Array(count), new Int32Array(count), bits), bits);
    this.maskBits = priorityMask(bits);
  }

  /** The group whose signal is up: 1 IRQ, 0 FIQ, -1 none. */
  signalled(): -1 | 0 | 1 {
    const intid = this.state.candidate(this.cpu);
    if (intid < 0) return -1;
    const group = this.state.groupOf(this.cpu, intid);
    return this.rules.lets(this.state.candidatePriority(this.cpu), group) ? group : -1;
  }

  /** HPPIR: the candidate, whatever the mask and the running priority. */
  highestPending(group: 0 | 1): number {
    const intid = this.state.candidate(this.cpu);
    return intid >= 0 && this.state.groupOf(this.cpu, intid) === group ? intid : SPURIOUS_INTID;
  }

  /** IAR up to the change of the interrupt itself: raises the running priority. {@link SPURIOUS_INTID}: nothing to take. */
  take(group: 0 | 1): number {
    if (this.signalled() !== group) return SPURIOUS_INTID;
    const intid = this.state.candidate(this.cpu);
    const preemption = this.rules.preemption(this.state.candidatePriority(this.cpu), group);
    this.rules.active.activate(group, preemption);
    this.state.markDirty(this.cpu);
    return intid;
  }

  /**
   * EOIR: drops the most urgent active priority, whichever interrupt is named. False where the register's group is not the
   * one of the running priority, or nothing is active: the write is then ignored (unpredictable by the architecture).
   */
  drop(group: 0 | 1): boolean {
    if (this.rules.active.runningGroup() !== group) return false;
    this.rules.active.drop();
    if (this.state.candidate(this.cpu) >= 0) this.state.markDirty(this.cpu);
    return true;
  }

  get mask(): number {
    return this.rules.mask;
  }

  set mask(value: number) {
    this.rules.mask = value & this.maskBits;
    this.state.markDirty(this.cpu);
  }

  /** After a write to a binary point or an active-priorities register. */
  changed(): void {
    this.state.markDirty(this.cpu);
  }
}
