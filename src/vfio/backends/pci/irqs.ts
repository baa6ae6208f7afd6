import { guarded } from "../../../sim/access.js";
import { Ev } from "../../../sim/event.js";
import { Mutex } from "../../../sim/lock.js";
import type { Step } from "../../../sim/step.js";
import type { Process } from "../../../host/process.js";
import { ENOTTY } from "../../../uapi/errno.js";
import {
  VFIO_IRQ_SET_ACTION_MASK,
  VFIO_IRQ_SET_ACTION_TRIGGER,
  VFIO_IRQ_SET_ACTION_UNMASK,
  VFIO_PCI_ERR_IRQ_INDEX,
  VFIO_PCI_INTX_IRQ_INDEX,
  VFIO_PCI_MSI_IRQ_INDEX,
  VFIO_PCI_MSIX_IRQ_INDEX,
  VFIO_PCI_NUM_IRQS,
  VFIO_PCI_REQ_IRQ_INDEX,
} from "../../../uapi/vfio.js";
import { IrqSet } from "../../set-irqs.js";
import type { Vfio } from "../../vfio.js";
import { virqfdsOf } from "../../virqfd.js";
import type { VfioPciDevice } from "./device.js";
import { Intx, type IntxOptions } from "./intx.js";
import { PciIrqMode } from "./mode.js";
import { MsiIrqs } from "./msi.js";
import { NotifyIrq } from "./notify-irq.js";

const NOTICE = 10;

/** The interrupts of a function: SET_IRQS, whose handlers run under igate (vfio.md 7.5, 7.6). */
export class PciIrqs {
  readonly igate: Mutex;
  readonly mode = new PciIrqMode();
  readonly intx: Intx;
  readonly msi: MsiIrqs;
  readonly err: NotifyIrq;
  readonly req: NotifyIrq;
  /** INTx was masked by {@link suspend}, and is unmasked by {@link resume}. */
  private maskedByPower = false;
  private readonly request = new IrqSet();
  private readonly counts = new Int32Array(VFIO_PCI_NUM_IRQS);
  private readonly countOf = (index: number): number => this.counts[index];

  constructor(
    private readonly vfio: Vfio,
    private readonly device: VfioPciDevice,
    options: IntxOptions,
  ) {
    const { host } = vfio;
    this.igate = new Mutex(vfio.sim, "vfio_pci.igate");
    this.intx = new Intx(host, virqfdsOf(host), device.pci, this.mode, this.igate, options);
    this.msi = new MsiIrqs(host, device.pci, this.mode, device, () => device.isNointx);
    this.err = new NotifyIrq(this.igate, vfio.sim.hazards);
    this.req = new NotifyIrq(this.igate, vfio.sim.hazards);
  }

  *open(hasPci23: boolean): Step<void> {
    this.intx.hasPci23 = hasPci23;
    this.msi.qmax = 0;
    yield* this.mode.setVirqDisabled(false);
  }

  /** @param pin the virtual interrupt pin */
  *count(index: number, pin: number): Step<number> {
    if (index === VFIO_PCI_INTX_IRQ_INDEX) return pin === 0 ? 0 : 1;
    if (index === VFIO_PCI_MSI_IRQ_INDEX) return this.device.pci.vectors.msiCount;
    if (index === VFIO_PCI_MSIX_IRQ_INDEX) return this.device.pci.vectors.msixCount;
    return index === VFIO_PCI_REQ_IRQ_INDEX || this.device.isExpress ? 1 : 0;
  }

  *setIrqs(process: Process, address: number): Step<number> {
    yield* this.igate.lock();
    for (let index = 0; index < VFIO_PCI_NUM_IRQS; index++) this.counts[index] = yield* this.device.irqCount(index);
    const { request } = this;
    let result = request.decode(process, address, VFIO_PCI_NUM_IRQS, this.countOf);
    if (result === 0) result = yield* this.dispatch(process, request);
    yield* this.igate.unlock();
    return result;
  }

  /** A request that has been decoded and checked by whoever calls. */
  *run(process: Process, request: IrqSet): Step<number> {
    yield* this.igate.lock();
    const result = yield* this.dispatch(process, request);
    yield* this.igate.unlock();
    return result;
  }

  /** {@link run} with igate held. */
  *dispatch(process: Process, request: IrqSet): Step<number> {
    const { index, action } = request;
    if (action === VFIO_IRQ_SET_ACTION_TRIGGER) return yield* this.setTrigger(process, request);
    if (index !== VFIO_PCI_INTX_IRQ_INDEX) return -ENOTTY;
    if (action === VFIO_IRQ_SET_ACTION_MASK) return yield* this.intx.setMask(process, request);
    return action === VFIO_IRQ_SET_ACTION_UNMASK ? yield* this.intx.setUnmask(process, request) : -ENOTTY;
  }

  private *setTrigger(process: Process, request: IrqSet): Step<number> {
    switch (request.index) {
      case VFIO_PCI_INTX_IRQ_INDEX:
        return yield* this.intx.setTrigger(process, request);
      case VFIO_PCI_ERR_IRQ_INDEX:
        return yield* this.err.setTrigger(process, request);
      case VFIO_PCI_REQ_IRQ_INDEX:
        return yield* this.req.setTrigger(process, request);
      default:
        return yield* this.msi.setTrigger(process, request);
    }
  }

  /** Last close: whatever is in use ends; on return nothing is signalled any more (23.13). */
  *disable(): Step<void> {
    yield* this.igate.lock();
    const mode = yield* this.mode.get();
    if (mode === VFIO_PCI_INTX_IRQ_INDEX) yield* this.intx.disable();
    else if (mode === VFIO_PCI_MSI_IRQ_INDEX || mode === VFIO_PCI_MSIX_IRQ_INDEX) yield* this.msi.disable();
    yield* this.igate.unlock();
  }

  *releaseNotifiers(): Step<void> {
    yield* this.igate.lock();
    yield* this.err.release();
    yield* this.req.release();
    yield* this.igate.unlock();
  }

  /** The edges of the user's DisINTx (8.8): clearing it also undoes a mask by ioctl or handler. */
  *setIntxDisabled(isDisabled: boolean): Step<void> {
    if (isDisabled === (yield* this.mode.isVirqDisabled())) return;
    yield* this.mode.setVirqDisabled(isDisabled);
    if (isDisabled) yield* this.maskIntx();
    else yield* this.unmaskIntx();
  }

  /** True: it was not masked before. */
  *maskIntx(): Step<boolean> {
    yield* this.igate.lock();
    const hasChanged = yield* this.intx.mask();
    yield* this.igate.unlock();
    return hasChanged;
  }

  *unmaskIntx(): Step<void> {
    if (this.vfio.sim.hazards.configWriteOutsideGate) return yield* this.intx.unmask();
    yield* this.igate.lock();
    yield* this.intx.unmask();
    yield* this.igate.unlock();
  }

  /** The host suspends the device: INTx is masked, and that is remembered only where it was in use and not masked before (23.10). */
  *suspend(): Step<void> {
    this.maskedByPower = (yield* this.mode.get()) === VFIO_PCI_INTX_IRQ_INDEX && (yield* this.maskIntx());
  }

  *resume(): Step<void> {
    if (this.maskedByPower || this.vfio.sim.hazards.resumeUnmasks) yield* this.unmaskIntx();
    this.maskedByPower = false;
  }

  /** Before a reset: is DisINTx to be put back by {@link settleIntx}, and not as it was before? */
  *holdsIntx(): Step<boolean> {
    return this.intx.hasPci23 && !this.vfio.sim.hazards.restoreCommandWhole && (yield* this.mode.get()) === VFIO_PCI_INTX_IRQ_INDEX;
  }

  /** After it, memory locks given back. */
  *settleIntx(): Step<void> {
    if (this.vfio.sim.hazards.restoreCommandWhole) return;
    yield* this.igate.lock();
    if (yield* this.intx.settle()) yield* this.intx.signal();
    yield* this.igate.unlock();
  }

  /** The host asks for the device back (5.5), for the `count`-th time. */
  *requestDevice(count: number): Step<void> {
    yield* this.igate.lock();
    const isTold = yield* this.req.notify();
    yield* this.igate.unlock();
    const { sim } = this.vfio;
    if (isTold && count > 0 && count % NOTICE === 0) sim.emit(Ev.irq_warning, 0, `${this.device.name}: relaying device request to user (#${count})`);
    if (!isTold && count === 0) sim.emit(Ev.irq_warning, 0, `${this.device.name}: no device request channel registered, blocked until released by user`);
  }

  /** An uncorrectable error that the port above reports (11): the user decides, and the host can recover. */
  *reportError(): Step<void> {
    yield* this.igate.lock();
    yield* this.err.notify();
    yield* this.igate.unlock();
  }
}
guarded(PciIrqs, (irqs) => irqs.igate, "request", "counts");
