import { Command, Pci } from "../arch/pci/config-registers.js";
import type { Process } from "../host/process.js";
import { PersonError } from "../sim/person-error.js";
import type { Step } from "../sim/step.js";
import {
  VFIO_DEVICE_SET_IRQS,
  VFIO_IRQ_SET_ACTION_TRIGGER,
  VFIO_IRQ_SET_DATA_EVENTFD,
  VFIO_PCI_CONFIG_REGION_INDEX,
  VFIO_PCI_INTX_IRQ_INDEX,
  VFIO_PCI_MSI_IRQ_INDEX,
  VFIO_PCI_MSIX_IRQ_INDEX,
  vfio_irq_set,
} from "../uapi/vfio.js";
import type { Arguments } from "./arguments.js";
import { must } from "./must.js";
import { type OpenDevice, VfioDevice } from "./vfio.js";

/** What the board counts as a function's interrupts: its pin first, where it has one, then its vectors. */
export interface PciInterrupts {
  readonly pins: 0 | 1;
  readonly vectors: "msi" | "msix";
}

const CONFIG = VFIO_PCI_CONFIG_REGION_INDEX * 2 ** 40;
/** Vectors that one SET_IRQS sets: the arguments are a page. */
const MOST_VECTORS = 1000;

/** What {@link AssignedDevice.assign} calls the descriptor of a function with these interrupts by. */
export function openPciFunction(interrupts: PciInterrupts): OpenDevice {
  return (process, fd, args) => new VfioPciFunction(process, fd, args, interrupts);
}

/** An assigned PCI function. */
export class VfioPciFunction extends VfioDevice {
  constructor(
    process: Process,
    fd: number,
    args: Arguments,
    readonly interrupts: PciInterrupts,
  ) {
    super(process, fd, args);
  }

  protected override indexOf(interrupt: number): number {
    if (interrupt < this.interrupts.pins) return VFIO_PCI_INTX_IRQ_INDEX;
    return this.interrupts.vectors === "msix" ? VFIO_PCI_MSIX_IRQ_INDEX : VFIO_PCI_MSI_IRQ_INDEX;
  }

  protected override startOf(interrupt: number): number {
    return Math.max(0, interrupt - this.interrupts.pins);
  }

  /**
   * What the guest's driver does by its configuration writes: memory and bus mastering on, and, for vectors, as many as
   * will be used enabled at once, without a signal yet (vfio.md 10.4; static MSI-X takes no more later).
   */
  override *prepare(interrupts: readonly number[]): Step<void> {
    must(yield* this.writeRegister(CONFIG + Pci.COMMAND, 2, Command.MEMORY | Command.MASTER), "write of COMMAND");
    const last = Math.max(...interrupts);
    if (last < this.interrupts.pins) return;
    const count = this.startOf(last) + 1;
    checkVectors(count);
    const result = yield* this.enableVectors(count);
    if (result !== 0) throw new PersonError(noVectors(count));
  }

  /** Vectors 0 to `count` - 1, without a signal yet. 0; how many the host has; or a negative errno. @param count at most what {@link checkVectors} takes */
  *enableVectors(count: number): Step<number> {
    const { view } = this.args;
    const size = vfio_irq_set.size + 4 * count;
    vfio_irq_set.argsz.set(view, size);
    vfio_irq_set.flags.set(view, VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER);
    vfio_irq_set.index.set(view, this.indexOf(this.interrupts.pins));
    vfio_irq_set.start.set(view, 0);
    vfio_irq_set.count.set(view, count);
    for (let i = 0; i < count; i++) view.setInt32(vfio_irq_set.size + 4 * i, -1, true);
    return yield* this.call(VFIO_DEVICE_SET_IRQS, size);
  }
}

/** @throws PersonError for more than one SET_IRQS takes */
export function checkVectors(count: number): void {
  if (count > MOST_VECTORS) throw new PersonError(`vector ${count - 1} is beyond the ${MOST_VECTORS} that virq's VMM enables: ask for lower ones`);
}

/** What a person reads whose vectors the host cannot have. */
export const noVectors = (count: number): string => `the host has no ${count} interrupts left for messages: ask for lower vectors`;
