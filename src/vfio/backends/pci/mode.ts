import { reads, shared, writes } from "../../../sim/access.js";
import type { Step } from "../../../sim/step.js";
import { VFIO_PCI_NUM_IRQS } from "../../../uapi/vfio.js";

/** irq_type of no interrupt. */
export const NO_IRQS = VFIO_PCI_NUM_IRQS;

/**
 * Which of INTx, MSI and MSI-X a device uses (irq_type), and whether its user has disabled INTx in the command register
 * (virq_disabled). Written under igate or by configuration writes; handlers and wake-ups read them without.
 */
export class PciIrqMode {
  private type = NO_IRQS;
  private virqDisabled = false;

  *get(): Step<number> {
    yield reads(this, "type");
    return this.type;
  }

  *set(type: number): Step<void> {
    yield writes(this, "type");
    this.type = type;
  }

  *isVirqDisabled(): Step<boolean> {
    yield reads(this, "virqDisabled");
    return this.virqDisabled;
  }

  *setVirqDisabled(isDisabled: boolean): Step<void> {
    yield writes(this, "virqDisabled");
    this.virqDisabled = isDisabled;
  }
}
shared(PciIrqMode, "type", "virqDisabled");
