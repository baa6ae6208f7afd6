import { highOf, lowOf } from "./word.js";

const ENABLE = 1;
const IMASK = 2;

/**
 * The output of one CPU's virtual timer where time stands still at 1: a comparator of 0 or 1 is reached, any other is
 * not (gic.md D0.7: no timer ticks).
 */
export class VirtualTimerLine {
  private control = 0;
  private isReached = true;

  get isHigh(): boolean {
    return this.isReached && (this.control & (ENABLE | IMASK)) === ENABLE;
  }

  /** False where the register is none of the virtual timer's. */
  write(register: string, value: string): boolean {
    if (register === "CNTV_CTL_EL0") this.control = lowOf(value) & (ENABLE | IMASK);
    else if (register === "CNTV_CVAL_EL0") this.isReached = highOf(value) === 0 && lowOf(value) >>> 0 <= 1;
    else return false;
    return true;
  }
}
