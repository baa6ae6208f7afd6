import type { Process } from "../../../host/process.js";
import type { XenHypervisor } from "../../../host/xen/hypervisor.js";
import type { XenMsiDomain } from "../../../host/xen/msi-domain.js";
import { guarded } from "../../../sim/access.js";
import type { Mutex } from "../../../sim/lock.js";
import type { Step } from "../../../sim/step.js";
import { EINVAL, ENOTTY } from "../../../uapi/errno.js";
import {
  VFIO_IRQ_SET_ACTION_MASK,
  VFIO_IRQ_SET_ACTION_TRIGGER,
  VFIO_IRQ_SET_ACTION_UNMASK,
  VFIO_IRQ_SET_DATA_BOOL,
  VFIO_IRQ_SET_DATA_EVENTFD,
  VFIO_PCI_INTX_IRQ_INDEX,
  VFIO_PCI_MSIX_IRQ_INDEX,
  VFIO_PCI_MSI_IRQ_INDEX,
} from "../../../uapi/vfio.js";
import type { Notification } from "../../notify-backend.js";
import type { IrqSet } from "../../set-irqs.js";
import { NO_IRQS } from "../pci/mode.js";
import type { TableAccess } from "../pci/msi.js";
import type { PciDevice } from "../../../host/pci/pci-device.js";
import type { NotifyRequest } from "./notify.js";

/**
 * Interrupts that the guest owns (vfio.md 21.4, 21.5): a physical interrupt of the hypervisor's is bound to an event channel or
 * to a vector of the guest's, and no handler of the host's runs. Everything is acknowledged in the guest. Under igate.
 */
export class XenIrqs {
  /** The index in use, or NO_IRQS. */
  private active = NO_IRQS;
  private linePirq = -1;
  private readonly notifications = new Map<number, Notification>();

  constructor(
    private readonly xen: XenHypervisor,
    private readonly msi: XenMsiDomain,
    private readonly pci: PciDevice,
    private readonly access: TableAccess,
    readonly igate: Mutex,
  ) {}

  /** igate held. */
  uses(index: number): boolean {
    return this.active === index;
  }

  /** igate held: is an index in use? */
  get isInUse(): boolean {
    return this.active !== NO_IRQS;
  }

  /** igate held: SET_IRQ_NOTIFY for kinds other than eventfd; `isHostOwned`: an eventfd has another index, or this one. */
  *setNotify(process: Process, request: NotifyRequest, isHostOwned: boolean): Step<number> {
    if (isHostOwned) return -EINVAL;
    const { index, start, count } = request;
    if (count === 0) {
      if (this.active !== index || start !== 0) return -EINVAL;
      yield* this.release();
      return 0;
    }
    if (this.active !== NO_IRQS && this.active !== index) return -EINVAL;
    const isFirst = this.active === NO_IRQS;
    if (isFirst) {
      const granted = yield* this.enable(index, start + count);
      if (granted !== 0) return granted;
    }
    for (let vector = start; vector < start + count; vector++) {
      const result = yield* this.set(process, request, vector);
      if (result === 0) continue;
      for (let undone = start; undone <= vector; undone++) yield* this.drop(undone);
      if (isFirst) yield* this.release();
      return result;
    }
    return 0;
  }

  /** 0; a smaller number of vectors that there would be; or a negative errno. */
  private *enable(index: number, count: number): Step<number> {
    if (index === VFIO_PCI_INTX_IRQ_INDEX) {
      const pirq = yield* this.xen.pirqs.mapLine(this.pci.name);
      if (pirq < 0) return pirq;
      this.linePirq = pirq;
      yield* this.pci.setIntx(true);
      this.active = index;
      return 0;
    }
    const command = yield* this.access.lockAndEnable();
    const granted = yield* this.pci.vectors.allocate(index === VFIO_PCI_MSIX_IRQ_INDEX ? "msix" : "msi", 1, count);
    if (granted >= 0 && granted < count) yield* this.pci.vectors.free();
    yield* this.access.unlockAndRestore(command);
    if (granted < count) return granted;
    this.active = index;
    return 0;
  }

  /** What was there goes first, as it does of eventfds. */
  private *set(process: Process, request: NotifyRequest, vector: number): Step<number> {
    yield* this.drop(vector);
    const at = request.dataAddress + (vector - request.start) * request.elementSize;
    const pirq = this.active === VFIO_PCI_INTX_IRQ_INDEX ? this.linePirq : this.msi.pirqOf(this.pci.vectors.irqOf(vector));
    if (pirq < 0) return -EINVAL;
    const notification = yield* request.backend.attach(process, at, { index: this.active, pirq });
    if (notification === null) return 0;
    if (typeof notification === "number") return notification;
    this.notifications.set(vector, notification);
    if (this.active !== VFIO_PCI_INTX_IRQ_INDEX) yield* this.setMasked(vector, false);
    return 0;
  }

  /** The function's own mask of a vector, where it has one: the hypervisor opens it for as long as somebody wants it. */
  private *setMasked(vector: number, isMasked: boolean): Step<void> {
    const command = yield* this.access.lockAndEnable();
    yield* this.pci.vectors.setMasked(vector, isMasked);
    yield* this.access.unlockAndRestore(command);
  }

  private *drop(vector: number): Step<void> {
    const notification = this.notifications.get(vector);
    if (notification === undefined) return;
    this.notifications.delete(vector);
    if (this.active !== VFIO_PCI_INTX_IRQ_INDEX) yield* this.setMasked(vector, true);
    yield* notification.detach();
  }

  /** All ports closed, all interrupts given back. */
  private *release(): Step<void> {
    for (let vector = 0; this.notifications.size > 0; vector++) yield* this.drop(vector);
    if (this.active === VFIO_PCI_INTX_IRQ_INDEX) yield* this.xen.pirqs.unmap(this.linePirq);
    else if (this.active === VFIO_PCI_MSI_IRQ_INDEX || this.active === VFIO_PCI_MSIX_IRQ_INDEX) yield* this.pci.vectors.free();
    this.active = NO_IRQS;
  }

  *disable(): Step<void> {
    yield* this.igate.lock();
    yield* this.release();
    yield* this.igate.unlock();
  }

  /** igate held: SET_IRQS without descriptors on an index in use: loopback, the mask bit of its ports, and the end of it. */
  *setIrqs(process: Process, request: IrqSet): Step<number> {
    const { action, dataType, start, count } = request;
    const isKnown = action === VFIO_IRQ_SET_ACTION_TRIGGER || action === VFIO_IRQ_SET_ACTION_MASK || action === VFIO_IRQ_SET_ACTION_UNMASK;
    if (!isKnown || dataType === VFIO_IRQ_SET_DATA_EVENTFD) return -ENOTTY;
    if (action === VFIO_IRQ_SET_ACTION_TRIGGER && count === 0) {
      if (start !== 0 || dataType === VFIO_IRQ_SET_DATA_BOOL) return -EINVAL;
      yield* this.release();
      return 0;
    }
    const isTrigger = action === VFIO_IRQ_SET_ACTION_TRIGGER;
    // Without a port there is no mask bit either: the guest's own controller has it.
    for (let vector = start; vector < start + count; vector++) if (!this.can(vector, isTrigger)) return isTrigger ? -EINVAL : -ENOTTY;
    for (let vector = start; vector < start + count; vector++) {
      const notification = this.notifications.get(vector);
      if (notification === undefined || (dataType === VFIO_IRQ_SET_DATA_BOOL && request.element(process, vector - start) === 0)) continue;
      if (!isTrigger && notification.setMasked) yield* notification.setMasked(action === VFIO_IRQ_SET_ACTION_MASK);
      else if (isTrigger && notification.signal) yield* notification.signal();
    }
    return 0;
  }

  private can(vector: number, isTrigger: boolean): boolean {
    const notification = this.notifications.get(vector);
    return (isTrigger ? notification?.signal : notification?.setMasked) !== undefined;
  }
}
guarded(XenIrqs, (irqs) => irqs.igate, "active", "linePirq", "notifications");
