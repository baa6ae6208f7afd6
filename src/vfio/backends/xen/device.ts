import type { Process } from "../../../host/process.js";
import { UserArgument } from "../../../host/user-argument.js";
import type { XenHypervisor } from "../../../host/xen/hypervisor.js";
import type { XenMsiDomain } from "../../../host/xen/msi-domain.js";
import type { Step } from "../../../sim/step.js";
import { EINVAL, ENOTTY } from "../../../uapi/errno.js";
import {
  VFIO_DEVICE_GET_IRQ_INFO,
  VFIO_DEVICE_SET_IRQS,
  VFIO_IRQ_INFO_AUTOMASKED,
  VFIO_IRQ_INFO_EVENTFD,
  VFIO_IRQ_INFO_MASKABLE,
  VFIO_IRQ_SET_ACTION_TRIGGER,
  VFIO_IRQ_SET_DATA_EVENTFD,
  VFIO_PCI_MSIX_IRQ_INDEX,
  VFIO_PCI_NUM_IRQS,
  vfio_irq_info,
} from "../../../uapi/vfio.js";
import { VFIO_DEVICE_SET_IRQ_NOTIFY } from "../../../uapi/vfio-xen.js";
import type { NotifyBackend } from "../../notify-backend.js";
import { IrqSet } from "../../set-irqs.js";
import { type PciDeviceParts, VfioPciDevice } from "../pci/device.js";
import type { VfioPciOptions } from "../pci/options.js";
import { NO_IRQS } from "../pci/mode.js";
import { XenIrqs } from "./irqs.js";
import { EventChannelNotify } from "./event-channel-notify.js";
import { GuestMsiNotify } from "./guest-msi-notify.js";
import { decodeNotify, type NotifyOffer } from "./notify.js";

export interface VfioXenPciOptions extends VfioPciOptions {
  readonly xen: XenHypervisor;
  readonly msi: XenMsiDomain;
  /** The guest that has the device. */
  readonly guest: number;
  /** Ways of telling beside eventfds. Default: event channels, and vectors of the guest. */
  readonly backends?: readonly NotifyBackend[];
  /** The kinds by which INTx, MSI and MSI-X each can tell: "eventfd", or a backend's. Default: all of the backends'. */
  readonly notify?: (index: number) => readonly string[];
}

const HOST_OWNED: NotifyOffer = { hasEventfd: true, backends: [] };
const info = new UserArgument(vfio_irq_info.size);

/**
 * A function that vfio-xen-pci holds (vfio.md 21.4): vfio-pci in everything but its interrupts, which the hypervisor brings to the
 * guest. ERR and REQ are the host's own, and eventfds.
 */
export class VfioXenPciDevice extends VfioPciDevice {
  private readonly xenIrqs: XenIrqs;
  private readonly backends: readonly NotifyBackend[];
  private readonly notify: (index: number) => readonly string[];

  constructor(parts: PciDeviceParts, options: VfioXenPciOptions) {
    super(parts, options);
    this.xenIrqs = new XenIrqs(options.xen, options.msi, parts.pci, this, this.irqs.igate);
    this.backends = options.backends ?? [new EventChannelNotify(options.xen, options.guest), new GuestMsiNotify(options.xen, options.guest)];
    const all = this.backends.map(({ kind }) => kind);
    this.notify = options.notify ?? (() => all);
  }

  private offers(index: number): NotifyOffer {
    if (index > VFIO_PCI_MSIX_IRQ_INDEX) return HOST_OWNED;
    const kinds = this.notify(index);
    return { hasEventfd: kinds.includes("eventfd"), backends: this.backends.filter((each) => kinds.includes(each.kind) && each.suits(index)) };
  }

  protected override *closeDevice(): Step<void> {
    yield* this.xenIrqs.disable();
    yield* super.closeDevice();
  }

  protected override *ioctl(process: Process, request: number, address: number): Step<number> {
    switch (request) {
      case VFIO_DEVICE_GET_IRQ_INFO:
        return yield* this.getIrqInfo(process, address);
      case VFIO_DEVICE_SET_IRQS:
      case VFIO_DEVICE_SET_IRQ_NOTIFY:
        return yield* this.underGate(process, request, address);
      default:
        return yield* super.ioctl(process, request, address);
    }
  }

  /** As vfio-pci's, with the kinds of notification that there are; what the host does not handle it does not mask (21.4). */
  private *getIrqInfo(process: Process, address: number): Step<number> {
    const result = yield* super.ioctl(process, VFIO_DEVICE_GET_IRQ_INFO, address);
    if (result !== 0 || !info.copyIn(process, address)) return result;
    const { hasEventfd, backends } = this.offers(vfio_irq_info.index.get(info.view));
    let flags = vfio_irq_info.flags.get(info.view);
    if (!hasEventfd) flags &= ~(VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED);
    for (const { infoFlag } of backends) flags |= infoFlag;
    vfio_irq_info.flags.set(info.view, flags);
    process.memory.setU32(address + vfio_irq_info.flags.offset, flags);
    return 0;
  }

  private *countsOf(): Step<number[]> {
    const counts: number[] = [];
    for (let index = 0; index < VFIO_PCI_NUM_IRQS; index++) counts.push(yield* this.irqCount(index));
    return counts;
  }

  /** One hold of igate looks who has the interrupts and gives them: two calls at once would find nobody, and both take them (10.2). */
  private *underGate(process: Process, request: number, address: number): Step<number> {
    const { igate } = this.irqs;
    yield* igate.lock();
    const counts = yield* this.countsOf();
    const result = request === VFIO_DEVICE_SET_IRQS ? yield* this.setIrqs(process, address, counts) : yield* this.setIrqNotify(process, address, counts);
    yield* igate.unlock();
    return result;
  }

  /** Between the look and the act, where the rule of {@link underGate} is off. */
  private *betweenHolds(): Step<void> {
    if (!this.vfio.sim.hazards.typeOutsideGate) return;
    yield* this.irqs.igate.unlock();
    yield* this.irqs.igate.lock();
  }

  private *setIrqs(process: Process, address: number, counts: readonly number[]): Step<number> {
    const request = new IrqSet();
    const error = request.decode(process, address, VFIO_PCI_NUM_IRQS, (index) => counts[index]);
    if (error !== 0) return error;
    const { index } = request;
    if (this.xenIrqs.uses(index)) {
      const installs = request.action === VFIO_IRQ_SET_ACTION_TRIGGER && request.dataType === VFIO_IRQ_SET_DATA_EVENTFD;
      return installs ? -EINVAL : yield* this.xenIrqs.setIrqs(process, request);
    }
    if (!this.offers(index).hasEventfd) return request.action === VFIO_IRQ_SET_ACTION_TRIGGER ? -EINVAL : -ENOTTY;
    // One type of interrupt at a time, whoever is told (10.2).
    if (index <= VFIO_PCI_MSIX_IRQ_INDEX && this.xenIrqs.isInUse) return -EINVAL;
    yield* this.betweenHolds();
    return yield* this.irqs.dispatch(process, request);
  }

  /** A kind is changed only while nothing is installed (21.5). */
  private *setIrqNotify(process: Process, address: number, counts: readonly number[]): Step<number> {
    const notify = decodeNotify(process, address, counts, (index) => this.offers(index));
    if (typeof notify === "number") return notify;
    const { backend } = notify;
    if (backend !== null) {
      const mode = yield* this.irqs.mode.get();
      yield* this.betweenHolds();
      return yield* this.xenIrqs.setNotify(process, { ...notify, backend }, mode !== NO_IRQS);
    }
    if (notify.index <= VFIO_PCI_MSIX_IRQ_INDEX && this.xenIrqs.isInUse) return -EINVAL;
    const request = new IrqSet();
    Object.assign(request, { dataType: VFIO_IRQ_SET_DATA_EVENTFD, action: VFIO_IRQ_SET_ACTION_TRIGGER });
    request.index = notify.index;
    request.start = notify.start;
    request.count = notify.count;
    request.dataAddress = notify.dataAddress;
    return yield* this.irqs.dispatch(process, request);
  }
}
