import { logOfVectors } from "../../../arch/pci/config-registers.js";
import { eventfdContextOf, type EventfdContext } from "../../../host/eventfd.js";
import { IrqBypassProducer } from "../../../host/irqbypass.js";
import { type IrqAction, IrqReturn } from "../../../host/irq/types.js";
import type { Host } from "../../../host/machine.js";
import type { PciDevice } from "../../../host/pci/pci-device.js";
import type { Process } from "../../../host/process.js";
import { Ev } from "../../../sim/event.js";
import { Lifetime } from "../../../sim/lifetime.js";
import type { Step } from "../../../sim/step.js";
import { EINVAL } from "../../../uapi/errno.js";
import { VFIO_IRQ_SET_DATA_BOOL, VFIO_IRQ_SET_DATA_EVENTFD, VFIO_IRQ_SET_DATA_NONE, VFIO_PCI_MSI_IRQ_INDEX, VFIO_PCI_MSIX_IRQ_INDEX } from "../../../uapi/vfio.js";
import type { IrqSet } from "../../set-irqs.js";
import { NO_IRQS, type PciIrqMode } from "./mode.js";

/** Memory decode forced on while the host touches the MSI-X table, and the memory lock held (vfio.md 10.3). */
export interface TableAccess {
  /** The command register as it was. */
  lockAndEnable(): Step<number>;
  unlockAndRestore(command: number): Step<void>;
  /** May MSI-X gain vectors while it is enabled? */
  readonly growsMsix: boolean;
}

/** One vector that signals an eventfd. Its irq action: every message one signal, nothing masked, nothing merged. */
class MsiContext extends IrqBypassProducer implements IrqAction {
  readonly lifetime: Lifetime;

  constructor(
    private readonly host: Host,
    private readonly deviceName: string,
    readonly vector: number,
    irq: number,
    readonly trigger: EventfdContext,
  ) {
    super(irq);
    this.lifetime = new Lifetime("context of vector", vector);
    this.lifetime.spans(this);
  }

  *handler(): Step<number> {
    this.lifetime.touch();
    this.host.sim.emit(Ev.vfio_trigger, this.deviceName, this.vector);
    yield* this.trigger.signal();
    return IrqReturn.HANDLED;
  }
}

/** MSI and MSI-X of a function (vfio.md 10). igate is held by every caller. */
export class MsiIrqs {
  /** log2 of the vectors that MSI was enabled with, rounded up: what the virtual capability offers (13.6). */
  qmax = 0;
  /** By vector. */
  private contexts: (MsiContext | null)[] = [];
  /** What each vector's handler is called, once it had one. */
  private readonly names: string[] = [];

  constructor(
    private readonly host: Host,
    private readonly pci: PciDevice,
    private readonly mode: PciIrqMode,
    private readonly table: TableAccess,
    /** Devices whose INTx must stay off: the end of their messages clears DisINTx. */
    private readonly keepsIntxOff: () => boolean,
  ) {}

  /** 0, a negative errno, or, of an enabling call, the number of vectors that the host had to give. */
  *setTrigger(process: Process, request: IrqSet): Step<number> {
    const mode = yield* this.mode.get();
    const { index, start, count, dataType } = request;
    if (mode === index && count === 0 && dataType === VFIO_IRQ_SET_DATA_NONE) {
      yield* this.disable();
      return 0;
    }
    if (mode !== index && mode !== NO_IRQS) return -EINVAL;
    if (dataType === VFIO_IRQ_SET_DATA_EVENTFD) {
      if (mode === index) return yield* this.setBlock(process, request);
      const result = yield* this.enable(index, start + count);
      if (result !== 0) return result;
      const block = yield* this.setBlock(process, request);
      if (block !== 0) yield* this.disable();
      return block;
    }
    if (mode !== index) return -EINVAL;
    for (let i = 0; i < count; i++) {
      const context = this.contexts[start + i] ?? null;
      if (context === null || (dataType === VFIO_IRQ_SET_DATA_BOOL && request.element(process, i) === 0)) continue;
      yield* context.trigger.signal();
    }
    return 0;
  }

  /** 10.3: fewer vectors than asked for are given back, and their number is the answer; the mode stays (23.12). */
  private *enable(index: number, vectors: number): Step<number> {
    const kind = index === VFIO_PCI_MSIX_IRQ_INDEX ? "msix" : "msi";
    const command = yield* this.table.lockAndEnable();
    const result = yield* this.pci.vectors.allocate(kind, 1, vectors);
    if (result !== vectors) {
      if (result > 0 && !this.host.sim.hazards.keepFewerVectors) yield* this.pci.vectors.free();
      yield* this.table.unlockAndRestore(command);
      return result;
    }
    yield* this.table.unlockAndRestore(command);
    yield* this.mode.set(index);
    if (index === VFIO_PCI_MSI_IRQ_INDEX) this.qmax = logOfVectors(vectors);
    return 0;
  }

  /** 10.4: a failure at a vector tears down everything from `start` up to it, what stood there before as well (23.11). */
  private *setBlock(process: Process, request: IrqSet): Step<number> {
    const { start, count } = request;
    for (let i = 0; i < count; i++) {
      const result = yield* this.setVector(process, start + i, request.element(process, i));
      if (result === 0) continue;
      yield* this.undo(start, start + i);
      return result;
    }
    return 0;
  }

  /** Upwards: an index that counts down below vector 0 by an unsigned number never ends (Linux 6578ed85c7d6, in review). */
  private *undo(start: number, failed: number): Step<void> {
    const { hazards } = this.host.sim;
    if (hazards.undoDownwards) yield* this.undoDownwards(start, failed);
    for (let vector = hazards.undoFailedOnly ? failed : start; vector <= failed; vector++) yield* this.clearVector(vector);
  }

  private *undoDownwards(start: number, failed: number): Step<void> {
    for (let vector = failed; vector >= start; vector = (vector - 1) >>> 0) {
      yield* this.mode.get();
      yield* this.clearVector(vector);
    }
  }

  private *setVector(process: Process, vector: number, fd: number): Step<number> {
    yield* this.clearVector(vector);
    if (fd < 0) return 0;
    let irq = this.pci.vectors.irqOf(vector);
    if (irq < 0) {
      const result = yield* this.allocateOne(vector);
      if (result < 0) return result;
      irq = this.pci.vectors.irqOf(vector);
    }
    const trigger = eventfdContextOf(process, fd);
    return typeof trigger === "number" ? trigger : yield* this.connect(vector, irq, trigger);
  }

  private *allocateOne(vector: number): Step<number> {
    if (!this.table.growsMsix) return -EINVAL;
    const command = yield* this.table.lockAndEnable();
    const result = yield* this.pci.vectors.allocateAt(vector);
    yield* this.table.unlockAndRestore(command);
    return result;
  }

  private *connect(vector: number, irq: number, trigger: EventfdContext): Step<number> {
    const context = new MsiContext(this.host, this.pci.name, vector, irq, trigger);
    const command = yield* this.table.lockAndEnable();
    // A reset behind the driver's back may have taken the message away.
    yield* this.pci.vectors.rewrite(vector);
    const result = yield* this.host.requestIrq(irq, context, 0, this.nameOf(vector), context);
    yield* this.table.unlockAndRestore(command);
    if (result !== 0) {
      yield* trigger.put();
      context.lifetime.free();
      return result;
    }
    // Without a bypass the eventfd delivers: a refusal is no failure (10.7).
    yield* this.host.irqBypass.registerProducer(context, trigger);
    this.contexts[vector] = context;
    return 0;
  }

  private nameOf(vector: number): string {
    return (this.names[vector] ??= `vfio-msi[${vector}](${this.pci.name})`);
  }

  /** The vector's interrupt stays allocated until the mode ends. */
  private *clearVector(vector: number): Step<void> {
    const context = this.contexts[vector] ?? null;
    if (context === null) return;
    this.contexts[vector] = null;
    yield* this.host.irqBypass.unregisterProducer(context);
    const command = yield* this.table.lockAndEnable();
    yield* this.host.freeIrq(context.irq, context);
    yield* this.table.unlockAndRestore(command);
    yield* context.trigger.put();
    context.lifetime.free();
  }

  /** 10.6. INTx is not enabled again by this. */
  *disable(): Step<void> {
    for (let vector = 0; vector < this.contexts.length; vector++) yield* this.clearVector(vector);
    this.contexts = [];
    const command = yield* this.table.lockAndEnable();
    yield* this.pci.vectors.free();
    yield* this.table.unlockAndRestore(command);
    if (this.keepsIntxOff()) yield* this.pci.setIntx(false);
    yield* this.mode.set(NO_IRQS);
  }

  /** The vectors that signal something, for tests and reports. */
  installed(): readonly number[] {
    return this.contexts.flatMap((context, vector) => (context === null ? [] : [vector]));
  }
}
