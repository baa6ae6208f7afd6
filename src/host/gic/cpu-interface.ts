import { SPURIOUS_INTID } from "../../arch/gic/contract.js";
import { ActivePriorities, activeRegisters, PriorityRules, priorityMask } from "../../arch/gic/priority.js";
import type { Candidates } from "./candidates.js";

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
    private readonly candidates: Candidates,
    bits: number,
  ) {
    const count = activeRegisters(bits);
    this.rules = new PriorityRules(new ActivePriorities(new Int32Array(count), new Int32Array(count), bits), bits);
    this.maskBits = priorityMask(bits);
  }

  /** The group whose signal is up: 1 IRQ, 0 FIQ, -1 none. */
  signalled(): -1 | 0 | 1 {
    const { intid, priority, group } = this.candidates;
    return intid >= 0 && this.rules.lets(priority, group) ? group : -1;
  }

  /** HPPIR: the candidate, whatever the mask and the running priority. */
  highestPending(group: 0 | 1): number {
    const { intid } = this.candidates;
    return intid >= 0 && this.candidates.group === group ? intid : SPURIOUS_INTID;
  }

  /** IAR up to the change of the interrupt itself: raises the running priority. {@link SPURIOUS_INTID}: nothing to take. */
  take(group: 0 | 1): number {
    if (this.signalled() !== group) return SPURIOUS_INTID;
    const { intid, priority } = this.candidates;
    this.rules.active.activate(group, this.rules.preemption(priority, group));
    this.candidates.mark();
    return intid;
  }

  /**
   * EOIR: drops the most urgent active priority, whichever interrupt is named. False where the register's group is not the
   * one of the running priority, or nothing is active: the write is then ignored (unpredictable by the architecture).
   */
  drop(group: 0 | 1): boolean {
    if (this.rules.active.runningGroup() !== group) return false;
    this.rules.active.drop();
    if (this.candidates.intid >= 0) this.candidates.mark();
    return true;
  }

  get mask(): number {
    return this.rules.mask;
  }

  set mask(value: number) {
    this.rules.mask = value & this.maskBits;
    this.candidates.mark();
  }

  /** After a write to a binary point or an active-priorities register. */
  changed(): void {
    this.candidates.mark();
  }
}
