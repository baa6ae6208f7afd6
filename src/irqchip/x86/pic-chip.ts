import { guarded } from "../../sim/access.js";
import type { Spinlock } from "../../sim/lock.js";

/** The bytes of one 8259A, in the order of `struct kvm_pic_state` (x86-irqchip.md 4.2): its whole state, and its record. */
export const enum Pic {
  /** Edge lines: their level at the last change. */
  LAST_IRR,
  IRR,
  IMR,
  ISR,
  /** The line of highest priority. */
  PRIORITY_ADD,
  IRQ_BASE,
  /** 1: a read of the command port gives ISR, not IRR. */
  READ_REG_SELECT,
  /** The next read is a poll. */
  POLL,
  /** Stored without effect. */
  SPECIAL_MASK,
  /** Initialisation word awaited: 0 none, 1 ICW2, 2 ICW3, 3 ICW4. */
  INIT_STATE,
  AUTO_EOI,
  ROTATE_ON_AUTO_EOI,
  SPECIAL_FULLY_NESTED_MODE,
  /** ICW1 announced an ICW4. */
  INIT4,
  /** Level-triggered lines. */
  ELCR,
  /** Lines that ELCR may make level-triggered. */
  ELCR_MASK,
  SIZE,
}

export const LINES = 8;
/** The master's line that the slave drives. */
export const CASCADE = 2;
/** The rank of no line at all. */
const LOWEST_RANK = LINES;

/** One 8259A of the pair. What it does to the other is the pair's ({@link PicPair}). */
export class PicChip {
  readonly regs: Uint8Array;

  /**
   * @param index 0 master, 1 slave
   * @param lock the pair's
   */
  constructor(
    readonly index: 0 | 1,
    readonly lock: Spinlock,
  ) {
    const regs = new Uint8Array(Pic.SIZE);
    regs[Pic.ELCR_MASK] = index === 0 ? 0xf8 : 0xde;
    this.regs = regs;
  }

  /** Is the line's bit set in this register? */
  holds(register: Pic, line: number): boolean {
    return (this.regs[register] & (1 << line)) !== 0;
  }

  /** 4.3. 1, 0 (coalesced) or -1 (masked; the state changes all the same). */
  setLine(line: number, level: boolean): number {
    const { regs } = this;
    const mask = 1 << line;
    let result = 1;
    if ((regs[Pic.ELCR] & mask) !== 0) {
      if (level) {
        if ((regs[Pic.IRR] & mask) !== 0) result = 0;
        regs[Pic.IRR] |= mask;
        regs[Pic.LAST_IRR] |= mask;
      } else {
        regs[Pic.IRR] &= ~mask;
        regs[Pic.LAST_IRR] &= ~mask;
      }
    } else if (level) {
      if ((regs[Pic.LAST_IRR] & mask) === 0) {
        if ((regs[Pic.IRR] & mask) !== 0) result = 0;
        regs[Pic.IRR] |= mask;
      }
      regs[Pic.LAST_IRR] |= mask;
    } else regs[Pic.LAST_IRR] &= ~mask;
    return (regs[Pic.IMR] & mask) === 0 ? result : -1;
  }

  /** 4.4: the best rank among the lines of `mask`, 8 when there is none. */
  private rank(mask: number): number {
    if (mask === 0) return LOWEST_RANK;
    const first = this.regs[Pic.PRIORITY_ADD] & (LINES - 1);
    const rotated = (mask >> first) | (mask << (LINES - first));
    return 31 - Math.clz32(rotated & -rotated);
  }

  private lineOf(rank: number): number {
    return (rank + this.regs[Pic.PRIORITY_ADD]) & (LINES - 1);
  }

  /** 4.4: the line that the chip asks to have served, -1 for none. Special mask mode has no effect. */
  wanted(): number {
    const { regs } = this;
    const requests = regs[Pic.IRR] & ~regs[Pic.IMR];
    if (requests === 0) return -1;
    const requested = this.rank(requests);
    let inService = regs[Pic.ISR];
    if (this.index === 0 && regs[Pic.SPECIAL_FULLY_NESTED_MODE] !== 0) inService &= ~(1 << CASCADE);
    return requested < this.rank(inService) ? this.lineOf(requested) : -1;
  }

  /** The line in service of highest priority: what a non-specific EOI ends. -1 for none. */
  inService(): number {
    const rank = this.rank(this.regs[Pic.ISR]);
    return rank === LOWEST_RANK ? -1 : this.lineOf(rank);
  }

  /** A read without poll (4.8): `port` & 1 is A0. */
  read(port: number): number {
    if ((port & 1) !== 0) return this.regs[Pic.IMR];
    return this.regs[this.regs[Pic.READ_REG_SELECT] === 0 ? Pic.IRR : Pic.ISR];
  }

  writeElcr(value: number): void {
    this.regs[Pic.ELCR] = value & this.regs[Pic.ELCR_MASK];
  }

  /** What ICW1 resets (4.6); ISR stays. The lines whose edge request was dropped. */
  reset(): number {
    const { regs } = this;
    const dropped = regs[Pic.IRR] & ~regs[Pic.ELCR];
    regs[Pic.LAST_IRR] = 0;
    regs[Pic.IRR] &= regs[Pic.ELCR];
    regs[Pic.IMR] = 0;
    regs[Pic.PRIORITY_ADD] = 0;
    regs[Pic.SPECIAL_MASK] = 0;
    regs[Pic.READ_REG_SELECT] = 0;
    if (regs[Pic.INIT4] === 0) {
      regs[Pic.SPECIAL_FULLY_NESTED_MODE] = 0;
      regs[Pic.AUTO_EOI] = 0;
    }
    regs[Pic.INIT_STATE] = 1;
    return dropped;
  }
}
guarded(PicChip, (chip) => chip.lock, "regs");
