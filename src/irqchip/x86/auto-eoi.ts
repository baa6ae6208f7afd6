import { addDense, hasDense, removeDense } from "../../arch/x86/vector-set.js";
import type { Step } from "../../sim/step.js";
import type { Inhibits } from "./inhibits.js";

/**
 * Vectors of Hyper-V's synthetic interrupt sources with the auto-EOI bit (TLFS, SINTx): taken, they are over at once, and no EOI
 * follows (x86-irqchip.md 7.4). Of the SynIC nothing else is modelled; whoever stands for it says which they are.
 */
export class AutoEoiVectors {
  private readonly bits = new Int32Array(8);
  private count = 0;

  constructor(private readonly inhibits: Inhibits) {}

  has(vector: number): boolean {
    return this.count > 0 && hasDense(this.bits, vector);
  }

  /** By the vCPU itself. Hardware knows no such vectors: while there is one in the VM it does not virtualise (11). */
  *set(vector: number, isAutoEoi: boolean): Step<void> {
    if (hasDense(this.bits, vector) === isAutoEoi) return;
    if (isAutoEoi) addDense(this.bits, vector);
    else removeDense(this.bits, vector);
    this.count += isAutoEoi ? 1 : -1;
    if (this.count === 0 || (this.count === 1 && isAutoEoi)) yield* this.inhibits.count("HYPERV", isAutoEoi ? 1 : -1);
  }
}
