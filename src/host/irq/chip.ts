import type { Step } from "../../sim/step.js";
import type { IrqDesc } from "./desc.js";
import type { CpuList } from "./types.js";

/** One level of an interrupt's domain hierarchy: its number there, and the chip that serves it (host-irq.md 1.11). */
export class IrqData {
  /** The level nearer to the CPU. */
  parent: IrqData | null = null;

  constructor(
    readonly desc: IrqDesc,
    readonly chip: IrqChip,
    public hwirq: number,
  ) {}
}

/** What get/set_irqchip_state name (host-irq.md 1.2). */
export type IrqchipState = "pending" | "active" | "masked";

/**
 * The operations of an interrupt controller (host-irq.md 1.2). Which of the optional ones exist decides how the layer
 * above behaves. All are called under the descriptor's lock.
 */
export interface IrqChip {
  readonly name: string;
  /** No chip at all behind the descriptor. */
  readonly isNull?: boolean;
  /** One message per event, so that a thread-only request needs no ONESHOT. */
  readonly isOneshotSafe: boolean;
  /** The end of interrupt of a ONESHOT line waits for the thread. */
  readonly eoiAfterThread: boolean;
  /** A software resend may call the flow handler outside of interrupt context. */
  readonly allowsSoftwareResend: boolean;

  mask(data: IrqData): Step<void>;
  unmask(data: IrqData): Step<void>;
  eoi(data: IrqData): Step<void>;
  ack?(data: IrqData): Step<void>;
  disable?(data: IrqData): Step<void>;
  enable?(data: IrqData): Step<void>;
  /** 0 or a negative errno. */
  setType?(data: IrqData, type: number): Step<number>;
  /** The chosen CPU, or a negative errno. `online` is the CPUs to choose from; `force` takes the first of `mask`. */
  setAffinity?(data: IrqData, mask: CpuList, online: CpuList, force: boolean): Step<number>;
  /** True when the chip will present the interrupt again by itself. */
  retrigger?(data: IrqData): Step<boolean>;
  /** Is it active at the controller? What synchronize_irq waits for. */
  isActive?(data: IrqData): boolean;
  /** 0 or 1, or a negative errno. */
  getState?(data: IrqData, which: IrqchipState): Step<number>;
  setState?(data: IrqData, which: IrqchipState, value: boolean): Step<number>;
  setVcpuAffinity?(data: IrqData, info: object | null): Step<number>;
  /** Programs what activation has to (an MSI's message): 0 or a negative errno. */
  activate?(data: IrqData): Step<number>;
  deactivate?(data: IrqData): Step<void>;
}

class NoIrqChip implements IrqChip {
  readonly name = "none";
  readonly isNull = true;
  readonly isOneshotSafe = false;
  readonly eoiAfterThread = false;
  readonly allowsSoftwareResend = true;
  *mask(): Step<void> {}
  *unmask(): Step<void> {}
  *eoi(): Step<void> {}
}

/** Behind a descriptor that no controller serves: requesting it answers -ENOSYS. */
export const NO_IRQ_CHIP: IrqChip = new NoIrqChip();
