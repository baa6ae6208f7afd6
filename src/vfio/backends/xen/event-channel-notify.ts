import type { Process } from "../../../host/process.js";
import { UserArgument } from "../../../host/user-argument.js";
import type { XenHypervisor } from "../../../host/xen/hypervisor.js";
import type { Step } from "../../../sim/step.js";
import { EINVAL, EPERM, ESRCH } from "../../../uapi/errno.js";
import { DOMID_INVALID, VFIO_IRQ_INFO_NOTIFY_EVTCHN, VFIO_IRQ_NOTIFY_EVTCHN, vfio_irq_evtchn } from "../../../uapi/vfio-xen.js";
import type { Notification, NotifiedInterrupt, NotifyBackend } from "../../notify-backend.js";

const element = new UserArgument(vfio_irq_evtchn.size);

/** Physical interrupts bound to event channels of the guest (vfio.md 21.4). */
export class EventChannelNotify implements NotifyBackend {
  readonly kind = "evtchn";
  readonly flag = VFIO_IRQ_NOTIFY_EVTCHN;
  readonly infoFlag = VFIO_IRQ_INFO_NOTIFY_EVTCHN;
  readonly elementSize = vfio_irq_evtchn.size;

  constructor(
    private readonly xen: XenHypervisor,
    /** The guest that has the device. */
    private readonly guest: number,
  ) {}

  suits(): boolean {
    return true;
  }

  /** Port 0: a new one, which the user is told. */
  *attach(process: Process, address: number, { pirq }: NotifiedInterrupt): Step<Notification | null | number> {
    if (!element.copyIn(process, address)) return -EINVAL;
    const domain = vfio_irq_evtchn.domid.get(element.view);
    const wanted = vfio_irq_evtchn.port.get(element.view);
    if (domain === DOMID_INVALID) return null;
    // What the device of one guest tells is no other guest's to hear.
    if (domain !== this.guest) return this.xen.hasDomain(domain) ? -EPERM : -ESRCH;
    const { channels, pirqs } = this.xen;
    const port = wanted === 0 ? yield* channels.bind(domain) : yield* channels.bindPort(domain, wanted);
    if (port < 0) return port;
    process.memory.setU32(address + vfio_irq_evtchn.port.offset, port);
    const channel = new ChannelNotification(this.xen, pirq, domain, port);
    const result = yield* pirqs.bind(pirq, { kind: "evtchn", domain, port });
    if (result === 0) return channel;
    yield* channel.detach();
    return result;
  }
}

class ChannelNotification implements Notification {
  constructor(
    private readonly xen: XenHypervisor,
    private readonly pirq: number,
    private readonly domain: number,
    private readonly port: number,
  ) {}

  *signal(): Step<void> {
    yield* this.xen.channels.send(this.domain, this.port);
  }

  *setMasked(isMasked: boolean): Step<void> {
    yield* this.xen.channels.setMasked(this.domain, this.port, isMasked);
  }

  *detach(): Step<void> {
    yield* this.xen.pirqs.bind(this.pirq, null);
    yield* this.xen.channels.close(this.domain, this.port);
  }
}
