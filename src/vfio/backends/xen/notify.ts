import type { Process } from "../../../host/process.js";
import { UserArgument } from "../../../host/user-argument.js";
import { EFAULT, EINVAL } from "../../../uapi/errno.js";
import {
  VFIO_IRQ_NOTIFY_EVENTFD,
  VFIO_IRQ_NOTIFY_EVTCHN,
  VFIO_IRQ_NOTIFY_GUEST_MSI,
  VFIO_IRQ_NOTIFY_KIND_MASK,
  vfio_irq_evtchn,
  vfio_irq_guest_msi,
  vfio_irq_notify,
} from "../../../uapi/vfio-xen.js";

/** What an index can tell its user by. None at all: everything is acknowledged in the guest, and nobody outside is told. */
export type NotifyKind = "eventfd" | "evtchn" | "guest_msi";

const KINDS: ReadonlyMap<number, { readonly name: NotifyKind; readonly size: number }> = new Map([
  [VFIO_IRQ_NOTIFY_EVENTFD, { name: "eventfd", size: 4 }],
  [VFIO_IRQ_NOTIFY_EVTCHN, { name: "evtchn", size: vfio_irq_evtchn.size }],
  [VFIO_IRQ_NOTIFY_GUEST_MSI, { name: "guest_msi", size: vfio_irq_guest_msi.size }],
]);

const header = new UserArgument(vfio_irq_notify.size);

/** A SET_IRQ_NOTIFY that passed the validation. */
export interface NotifyRequest {
  readonly kind: number;
  readonly index: number;
  readonly start: number;
  readonly count: number;
  readonly elementSize: number;
  readonly dataAddress: number;
}

/** SET_IRQS's validation for elements of any kind (vfio.md 7.5, 21.4): the request, -EFAULT or -EINVAL. */
export function decodeNotify(process: Process, address: number, counts: readonly number[], offers: (index: number) => readonly NotifyKind[]): NotifyRequest | number {
  const layout = vfio_irq_notify;
  const { view } = header;
  if (!header.copyIn(process, address)) return -EFAULT;
  const argsz = layout.argsz.get(view);
  const kind = layout.flags.get(view);
  const index = layout.index.get(view);
  const start = layout.start.get(view);
  const count = layout.count.get(view);
  const elementSize = layout.element_size.get(view);
  if (argsz < layout.size || index >= counts.length || count >= 0xffff_ffff - start) return -EINVAL;
  if ((kind & ~VFIO_IRQ_NOTIFY_KIND_MASK) !== 0) return -EINVAL;
  const max = counts[index];
  if (start >= max || start + count > max) return -EINVAL;
  const known = KINDS.get(kind);
  if (known === undefined || known.size !== elementSize || !offers(index).includes(known.name)) return -EINVAL;
  if (argsz - layout.size < count * elementSize) return -EINVAL;
  const dataAddress = address + layout.size;
  return process.memory.isWritable(dataAddress, count * elementSize) ? { kind, index, start, count, elementSize, dataAddress } : -EFAULT;
}
