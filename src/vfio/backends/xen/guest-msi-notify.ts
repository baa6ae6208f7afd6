import type { Process } from "../../../host/process.js";
import { UserArgument } from "../../../host/user-argument.js";
import type { XenHypervisor } from "../../../host/xen/hypervisor.js";
import type { Step } from "../../../sim/step.js";
import { EINVAL } from "../../../uapi/errno.js";
import { VFIO_PCI_INTX_IRQ_INDEX, VFIO_PCI_MSI_IRQ_INDEX } from "../../../uapi/vfio.js";
import { VFIO_IRQ_INFO_NOTIFY_GUEST_MSI, VFIO_IRQ_NOTIFY_GUEST_MSI, vfio_irq_guest_msi } from "../../../uapi/vfio-xen.js";
import type { Notification, NotifiedInterrupt, NotifyBackend } from "../../notify-backend.js";

/** What gflags can say (xen/include/public/domctl.h, XEN_DOMCTL_VMSI_X86_*): destination, its mode, delivery, trigger, unmasked. */
const VMSI_X86_FLAGS = 0x1_f3ff;

const element = new UserArgument(vfio_irq_guest_msi.size);

/** Physical interrupts that become a vector of the guest's own controller (bind_pt_irq; vfio.md 21.4): nobody outside is told. */
export class GuestMsiNotify implements NotifyBackend {
  readonly kind = "guest_msi";
  readonly flag = VFIO_IRQ_NOTIFY_GUEST_MSI;
  readonly infoFlag = VFIO_IRQ_INFO_NOTIFY_GUEST_MSI;
  readonly elementSize = vfio_irq_guest_msi.size;

  constructor(
    private readonly xen: XenHypervisor,
    /** The guest that has the device. */
    private readonly guest: number,
  ) {}

  /** A line is no message: bind_pt_irq takes it as another type, which no kind of SET_IRQ_NOTIFY is. */
  suits(index: number): boolean {
    return index !== VFIO_PCI_INTX_IRQ_INDEX;
  }

  /** The vector's own pirq, or 0 to be told it; of MSI there is no table that the hypervisor could watch. */
  *attach(process: Process, address: number, { index, pirq }: NotifiedInterrupt): Step<Notification | null | number> {
    const { view } = element;
    if (!element.copyIn(process, address)) return -EINVAL;
    const wanted = vfio_irq_guest_msi.pirq.get(view);
    if (wanted !== 0 && wanted !== pirq) return -EINVAL;
    if (vfio_irq_guest_msi.gflags.get(view) & ~VMSI_X86_FLAGS) return -EINVAL;
    if (index === VFIO_PCI_MSI_IRQ_INDEX && vfio_irq_guest_msi.gtable.getNumber(view) !== 0) return -EINVAL;
    const { pirqs } = this.xen;
    const result = yield* pirqs.bind(pirq, { kind: "guest", domain: this.guest, vector: vfio_irq_guest_msi.gvec.get(view) });
    if (result !== 0) return result;
    process.memory.setU32(address + vfio_irq_guest_msi.pirq.offset, pirq);
    return new VectorNotification(this.xen, pirq);
  }
}

class VectorNotification implements Notification {
  constructor(
    private readonly xen: XenHypervisor,
    private readonly pirq: number,
  ) {}

  *detach(): Step<void> {
    yield* this.xen.pirqs.bind(this.pirq, null);
  }
}
