import { CapId, Command, Msi, Pci } from "../arch/pci/config-registers.js";
import type { PciFunction } from "../device/pci/function.js";
import type { Process } from "../host/process.js";
import type { Step } from "../sim/step.js";
import { ENOSPC, EOPNOTSUPP } from "../uapi/errno.js";
import {
  VFIO_DEVICE_SET_IRQS,
  VFIO_IRQ_INFO_NORESIZE,
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
import { type OpenDevice, VfioDeviceClient } from "./vfio.js";

/** What the board counts as a function's interrupts: its pin first, where it has one, then its vectors. */
export interface PciInterrupts {
  readonly pins: 0 | 1;
  readonly vectors: "msi" | "msix";
}

const CONFIG = VFIO_PCI_CONFIG_REGION_INDEX * 2 ** 40;
/** Vectors that one SET_IRQS sets: the arguments are a page. */
const MOST_VECTORS = 1000;
const NOTHING = -1;

/** What {@link AssignedDevice.assign} calls the descriptor of a function with these interrupts by. */
export function openPciFunction(interrupts: PciInterrupts): OpenDevice {
  return (process, fd, args) => new VfioPciClient(process, fd, args, interrupts);
}

/** How a function's interrupts are counted, and how many there are. */
export function interruptsOf(fn: PciFunction): PciInterrupts & { readonly count: number } {
  const pins = fn.peek(Pci.INT_PIN, 1) === 0 ? 0 : 1;
  if (fn.msix !== null) return { pins, vectors: "msix", count: pins + fn.msix.vectors };
  const msi = fn.capability(CapId.MSI);
  const vectors = msi === 0 ? 0 : 1 << ((fn.peek(msi + Msi.FLAGS, 2) & Msi.QMASK) >> Msi.QMASK_SHIFT);
  return { pins, vectors: "msi", count: pins + vectors };
}

/**
 * An assigned PCI function. Its pin, MSI and MSI-X exclude each other: wiring an interrupt of one kind ends the other, as when
 * a guest's driver turns its messages on or off.
 */
export class VfioPciClient extends VfioDeviceClient {
  /** VFIO's index that is on, or {@link NOTHING}. */
  private active = NOTHING;
  /** What each vector that the host has enabled signals; {@link NOTHING} where that is nobody yet. */
  private eventfds: number[] = [];

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

  override lacks(interrupts: readonly number[]): number {
    const vectors = this.vectorsFor(interrupts);
    return vectors > this.eventfds.length ? vectors : 0;
  }

  /** How many vectors have to be enabled for these interrupts. */
  private vectorsFor(interrupts: readonly number[]): number {
    let vectors = 0;
    for (let i = 0; i < interrupts.length; i++) vectors = Math.max(vectors, interrupts[i] - this.interrupts.pins + 1);
    return vectors;
  }

  /**
   * What the guest's driver does by its configuration writes: memory and bus mastering on, and, for vectors, as many as
   * will be used enabled at once, without a signal yet (vfio.md 10.4; static MSI-X takes no more later). The host may have
   * fewer, or none, and then the pin is left: {@link lacks}.
   */
  override *prepare(interrupts: readonly number[]): Step<void> {
    must(yield* this.writeRegister(CONFIG + Pci.COMMAND, 2, Command.MEMORY | Command.MASTER), "write of COMMAND");
    yield* super.prepare(interrupts);
    const vectors = this.vectorsFor(interrupts);
    const first = this.interrupts.pins;
    if (vectors > 0 && (yield* this.signals(first))) yield* this.enable(this.indexOf(first), vectors);
  }

  /** Beside what SET_IRQS answers: -ENOSPC where the host has no vector for the interrupt. */
  override *setTrigger(interrupt: number, eventfd: number): Step<number> {
    const index = this.indexOf(interrupt);
    if (!(yield* this.signals(interrupt))) return -EOPNOTSUPP;
    if (this.active !== NOTHING && this.active !== index) {
      if (eventfd < 0) return 0;
      const ended = yield* this.end();
      if (ended !== 0) return ended;
    }
    if (index === VFIO_PCI_INTX_IRQ_INDEX) {
      const result = yield* super.setTrigger(interrupt, eventfd);
      if (result === 0) this.active = index;
      return result;
    }
    return yield* this.setVector(interrupt, eventfd);
  }

  /** As QEMU does it (22.2): nothing on vector 0 of MSI-X first; then a vector of its own, or all anew where the index does not grow. */
  private *setVector(interrupt: number, eventfd: number): Step<number> {
    const vector = this.startOf(interrupt);
    if (this.active === NOTHING) {
      const result = yield* this.enable(this.indexOf(interrupt), this.interrupts.vectors === "msix" ? 1 : vector + 1);
      if (result < 0) return result;
    }
    const isFixed = ((yield* this.flagsOf(interrupt)) & VFIO_IRQ_INFO_NORESIZE) !== 0;
    if (vector >= this.eventfds.length && isFixed) {
      const granted = yield* this.enableAnew(interrupt, vector + 1);
      if (granted <= vector) return granted < 0 ? granted : -ENOSPC;
    }
    const result = yield* super.setTrigger(interrupt, eventfd);
    if (result !== 0) return result;
    while (this.eventfds.length <= vector) this.eventfds.push(NOTHING);
    this.eventfds[vector] = eventfd;
    return 0;
  }

  private *enableAnew(interrupt: number, count: number): Step<number> {
    const kept = this.eventfds;
    const ended = yield* this.end();
    return ended === 0 ? yield* this.enable(this.indexOf(interrupt), count, kept) : ended;
  }

  /** How many vectors the host has enabled of `count`, which signal `eventfds`: it may have fewer (10.3). Or a negative errno, and none. */
  private *enable(index: number, count: number, eventfds: readonly number[] = []): Step<number> {
    let wanted = count;
    for (;;) {
      const all = Array.from({ length: wanted }, (_, vector) => eventfds[vector] ?? NOTHING);
      const result = yield* this.enableAll(index, all);
      if (result < 0) return result;
      if (result === 0) return wanted;
      if (result >= wanted) throw new Error(`VFIO_DEVICE_SET_IRQS has ${result} vectors, and refuses ${wanted}`);
      wanted = result;
    }
  }

  /** As many, or none: 0; how many the host has; or a negative errno. */
  private *enableAll(index: number, eventfds: number[]): Step<number> {
    const result = yield* this.setAll(index, eventfds);
    if (result !== 0) return result;
    this.active = index;
    this.eventfds = eventfds;
    return 0;
  }

  /** Vectors 0 to `count` - 1, without a signal yet. 0; how many the host has; or a negative errno. */
  *enableVectors(count: number): Step<number> {
    return yield* this.enableAll(this.indexOf(this.interrupts.pins), Array.from({ length: count }, () => NOTHING));
  }

  /** The highest first: the call that enables an index is told by it how many there will be. */
  private *setAll(index: number, eventfds: readonly number[]): Step<number> {
    const { view } = this.args;
    for (let end = eventfds.length; end > 0; end -= MOST_VECTORS) {
      const start = Math.max(0, end - MOST_VECTORS);
      const size = vfio_irq_set.size + 4 * (end - start);
      vfio_irq_set.argsz.set(view, size);
      vfio_irq_set.flags.set(view, VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER);
      vfio_irq_set.index.set(view, index);
      vfio_irq_set.start.set(view, start);
      vfio_irq_set.count.set(view, end - start);
      for (let i = start; i < end; i++) view.setInt32(vfio_irq_set.size + 4 * (i - start), eventfds[i], true);
      const result = yield* this.call(VFIO_DEVICE_SET_IRQS, size);
      if (result !== 0) return result;
    }
    return 0;
  }

  /** What is on is off: {@link disable} of any interrupt of its index. */
  private *end(): Step<number> {
    return yield* this.disable(this.active === VFIO_PCI_INTX_IRQ_INDEX ? 0 : this.interrupts.pins);
  }

  override *disable(interrupt: number): Step<number> {
    const result = yield* super.disable(interrupt);
    if (result !== 0 || this.indexOf(interrupt) !== this.active) return result;
    this.active = NOTHING;
    this.eventfds = [];
    return 0;
  }
}

/** What a person reads whose vectors the host cannot have. */
export const noVectors = (count: number): string => `the host has no ${count} interrupts left for messages: ask for lower vectors`;
