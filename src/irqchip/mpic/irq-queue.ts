import { Ivpr, MPIC_INTERRUPTS } from "./constants.js";

const lowestBit = (bits: number): number => 31 - Math.clz32(bits & -bits);

const priorityOf = (ivpr: Int32Array, irq: number): number => (irq < 0 ? -1 : (ivpr[irq] & Ivpr.PRIORITY_MASK) >> Ivpr.PRIORITY_SHIFT);

/**
 * Raised or serviced interrupts of one CPU (mpic.md 2): a set, and its best member as of the last refresh. What is cached goes
 * stale in between, with effects that guests see (M6, M7).
 */
export class IrqQueue {
  private readonly words = new Int32Array((MPIC_INTERRUPTS + 31) >> 5);
  /** -1: empty, as of the last refresh. */
  next = -1;
  /** After a reset 0, and not what an empty queue refreshes to. */
  priority = 0;

  add(irq: number): void {
    this.words[irq >> 5] |= 1 << irq;
  }

  remove(irq: number): void {
    this.words[irq >> 5] &= ~(1 << irq);
  }

  has(irq: number): boolean {
    return (this.words[irq >> 5] & (1 << irq)) !== 0;
  }

  /** The best member by these IVPRs, which is cached; ties go to the lowest number. */
  refresh(ivpr: Int32Array): number {
    this.next = this.best(ivpr);
    this.priority = priorityOf(ivpr, this.next);
    return this.next;
  }

  /** Its priority, -1 without one; nothing is cached. */
  bestPriority(ivpr: Int32Array): number {
    return priorityOf(ivpr, this.best(ivpr));
  }

  private best(ivpr: Int32Array): number {
    let best = -1;
    let most = -1;
    for (let i = 0; i < this.words.length; i++)
      for (let word = this.words[i]; word !== 0; word &= word - 1) {
        const irq = (i << 5) + lowestBit(word);
        const priority = priorityOf(ivpr, irq);
        if (priority <= most) continue;
        best = irq;
        most = priority;
      }
    return best;
  }

  /** Ascending: for inspection, when nothing runs. */
  members(): readonly number[] {
    return Array.from({ length: MPIC_INTERRUPTS }, (_, irq) => irq).filter((irq) => this.has(irq));
  }

  reset(): void {
    this.words.fill(0);
    this.next = -1;
    this.priority = 0;
  }
}
