import type { Process } from "../../../host/process.js";
import type { XenHypervisor } from "../../../host/xen/hypervisor.js";
import type { XenMsiDomain } from "../../../host/xen/msi-domain.js";
import type { PirqTarget } from "../../../host/xen/physical-irqs.js";
import { guarded } from "../../../sim/access.js";
import type { Mutex } from "../../../sim/lock.js";
import type { Step } from "../../../sim/step.js";
import { EINVAL, ENOTTY, EPERM, ESRCH } from "../../../uapi/errno.js";
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
import { DOMID_INVALID, VFIO_IRQ_NOTIFY_EVTCHN, vfio_irq_evtchn, vfio_irq_guest_msi } from "../../../uapi/vfio-xen.js";
import { UserArgument } from "../../../host/user-argument.js";
import type { IrqSet } from "../../set-irqs.js";
import { NO_IRQS } from "../pci/mode.js";
import type { TableAccess } from "../pci/msi.js";
import type { PciDevice } from "../../../host/pci/pci-device.js";
import type { NotifyRequest } from "./notify.js";

/** What gflags can say (xen/include/public/domctl.h, XEN_DOMCTL_VMSI_X86_*): destination, its mode, delivery, trigger, unmasked. */
const VMSI_X86_FLAGS = 0x1_f3ff;

const evtchn = new UserArgument(vfio_irq_evtchn.size);
const guestMsi = new UserArgument(vfio_irq_guest_msi.size);

/** One vector that leads past the host: the hypervisor's interrupt, and where it goes. */
interface Binding {
  readonly pirq: number;
  readonly target: PirqTarget;
}

/**
 * Interrupts that the guest owns (vfio.md 21.4, 21.5): a physical interrupt of the hypervisor's is bound to an event channel or
 * to a vector of the guest's, and no handler of the host's runs. Everything is acknowledged in the guest. Under igate.
 */
export class XenIrqs {
  /** The index in use, or NO_IRQS. */
  private active = NO_IRQS;
  private linePirq = -1;
  private readonly bindings = new Map<number, Binding>();

  constructor(
    private readonly xen: XenHypervisor,
    private readonly msi: XenMsiDomain,
    private readonly pci: PciDevice,
    private readonly access: TableAccess,
    /** The guest that has the device: its interrupts are bound to vectors and event channels of that one alone. */
    private readonly guest: number,
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
    if (request.kind === VFIO_IRQ_NOTIFY_EVTCHN) return yield* this.bindChannel(process, at, vector, pirq);
    return yield* this.bindVector(process, at, vector, pirq);
  }

  /** The vector's own pirq, or 0 to be told it; of MSI there is no table that the hypervisor could watch. */
  private *bindVector(process: Process, at: number, vector: number, pirq: number): Step<number> {
    const { view } = guestMsi;
    if (!guestMsi.copyIn(process, at)) return -EINVAL;
    const wanted = vfio_irq_guest_msi.pirq.get(view);
    if (wanted !== 0 && wanted !== pirq) return -EINVAL;
    if (vfio_irq_guest_msi.gflags.get(view) & ~VMSI_X86_FLAGS) return -EINVAL;
    if (this.active === VFIO_PCI_MSI_IRQ_INDEX && vfio_irq_guest_msi.gtable.getNumber(view) !== 0) return -EINVAL;
    const result = yield* this.bind(vector, pirq, { kind: "guest", domain: this.guest, vector: vfio_irq_guest_msi.gvec.get(view) });
    if (result === 0) process.memory.setU32(at + vfio_irq_guest_msi.pirq.offset, pirq);
    return result;
  }

  private *bindChannel(process: Process, at: number, vector: number, pirq: number): Step<number> {
    if (!evtchn.copyIn(process, at)) return -EINVAL;
    const domain = vfio_irq_evtchn.domid.get(evtchn.view);
    const wanted = vfio_irq_evtchn.port.get(evtchn.view);
    if (domain === DOMID_INVALID) return 0;
    // What the device of one guest tells is no other guest's to hear.
    if (domain !== this.guest) return this.xen.hasDomain(domain) ? -EPERM : -ESRCH;
    const { channels } = this.xen;
    const port = wanted === 0 ? yield* channels.bind(domain) : yield* channels.bindPort(domain, wanted);
    if (port < 0) return port;
    process.memory.setU32(at + vfio_irq_evtchn.port.offset, port);
    return yield* this.bind(vector, pirq, { kind: "evtchn", domain, port });
  }

  private *bind(vector: number, pirq: number, target: PirqTarget): Step<number> {
    this.bindings.set(vector, { pirq, target });
    const result = yield* this.xen.pirqs.bind(pirq, target);
    if (result !== 0) return result;
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
    const binding = this.bindings.get(vector);
    if (binding === undefined) return;
    this.bindings.delete(vector);
    if (this.active !== VFIO_PCI_INTX_IRQ_INDEX) yield* this.setMasked(vector, true);
    const { pirq, target } = binding;
    yield* this.xen.pirqs.bind(pirq, null);
    if (target.kind === "evtchn") yield* this.xen.channels.close(target.domain, target.port);
  }

  /** All ports closed, all interrupts given back. */
  private *release(): Step<void> {
    for (let vector = 0; this.bindings.size > 0; vector++) yield* this.drop(vector);
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
    // Without a port there is no mask bit either: the guest's own controller has it.
    const error = action === VFIO_IRQ_SET_ACTION_TRIGGER ? -EINVAL : -ENOTTY;
    for (let vector = start; vector < start + count; vector++) if (this.channelOf(vector) === null) return error;
    for (let vector = start; vector < start + count; vector++) {
      const channel = this.channelOf(vector);
      if (channel === null || (dataType === VFIO_IRQ_SET_DATA_BOOL && request.element(process, vector - start) === 0)) continue;
      if (action === VFIO_IRQ_SET_ACTION_TRIGGER) yield* this.xen.channels.send(channel.domain, channel.port);
      else yield* this.xen.channels.setMasked(channel.domain, channel.port, action === VFIO_IRQ_SET_ACTION_MASK);
    }
    return 0;
  }

  private channelOf(vector: number): { readonly domain: number; readonly port: number } | null {
    const target = this.bindings.get(vector)?.target;
    return target?.kind === "evtchn" ? target : null;
  }
}
guarded(XenIrqs, (irqs) => irqs.igate, "active", "linePirq", "bindings");
