import type { Step } from "../sim/step.js";

/** The IRQ input of one CPU, driven by its interrupt controller: called when the signal changes. */
export interface IrqPort {
  irq(isAsserted: boolean): Step<void>;
}
