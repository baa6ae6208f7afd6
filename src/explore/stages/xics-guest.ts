import { H_CPPR, H_EOI, H_IPI, H_XIRR } from "../../irqchip/xics/constants.js";
import type { HypercallRegisters } from "../../irqchip/xics/contract.js";
import { virtualHypercall } from "../../irqchip/xics/hypercalls.js";
import type { Icp } from "../../irqchip/xics/icp.js";
import type { Xics } from "../../irqchip/xics/xics.js";
import type { Step } from "../../sim/step.js";

const XISR = 0xff_ffff;
/** Interrupts that one guest takes in a row: more would be one without end. */
export const MOST_TAKEN = 6;

/** The guest of one server: its hypercalls in virtual mode, and what it took. */
export class XicsGuest {
  private readonly regs: HypercallRegisters = { lo: new Int32Array(6), hi: new Int32Array(6) };
  /** Sources that it took, in order; 2 is an IPI. */
  readonly taken: number[] = [];

  constructor(
    private readonly xics: Xics,
    readonly icp: Icp,
  ) {}

  private *call(number: number, r4: number, r5 = 0): Step<number> {
    this.regs.lo[4] = r4;
    this.regs.lo[5] = r5;
    yield* virtualHypercall(this.xics, this.icp, number, this.regs);
    return this.regs.lo[4];
  }

  *cppr(value: number): Step<void> {
    yield* this.call(H_CPPR, value);
  }

  *ipi(to: number, mfrr: number): Step<void> {
    yield* this.call(H_IPI, to, mfrr);
  }

  *accept(): Step<number> {
    const xirr = yield* this.call(H_XIRR, 0);
    if ((xirr & XISR) !== 0) this.taken.push(xirr & XISR);
    return xirr;
  }

  *eoi(xirr: number): Step<void> {
    yield* this.call(H_EOI, xirr);
  }

  /** It takes and ends until nothing is presented. */
  *drain(): Step<void> {
    for (let i = 0; i < MOST_TAKEN; i++) {
      const xirr = yield* this.accept();
      if ((xirr & XISR) === 0) return;
      yield* this.eoi(xirr);
    }
  }
}
