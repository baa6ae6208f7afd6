import type { Process } from "../../../host/process.js";
import { UserArgument } from "../../../host/user-argument.js";
import { EFAULT, EINVAL } from "../../../uapi/errno.js";
import { VFIO_IRQ_NOTIFY_EVENTFD, VFIO_IRQ_NOTIFY_KIND_MASK, vfio_irq_notify } from "../../../uapi/vfio-xen.js";
import type { NotifyBackend } from "../../notify-backend.js";

const DESCRIPTOR_SIZE = 4;

/** What an index can tell its user by. Nothing at all: everything is acknowledged in the guest, and nobody outside is told. */
export interface NotifyOffer {
  readonly hasEventfd: boolean;
  readonly backends: readonly NotifyBackend[];
}

const header = new UserArgument(vfio_irq_notify.size);

/** A SET_IRQ_NOTIFY that passed the validation; `backend` null: by eventfds. */
export interface NotifyRequest<B = NotifyBackend> {
  readonly backend: B;
  readonly index: number;
  readonly start: number;
  readonly count: number;
  readonly elementSize: number;
  readonly dataAddress: number;
}

/** SET_IRQS's validation for elements of any kind (vfio.md 7.5, 21.4): the request, -EFAULT or -EINVAL. */
export function decodeNotify(process: Process, address: number, counts: readonly number[], offers: (index: number) => NotifyOffer): NotifyRequest<NotifyBackend | null> | number {
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
  const { hasEventfd, backends } = offers(index);
  const isEventfd = kind === VFIO_IRQ_NOTIFY_EVENTFD;
  const backend = isEventfd ? null : (backends.find(({ flag }) => flag === kind) ?? null);
  if (backend === null ? !isEventfd || !hasEventfd || elementSize !== DESCRIPTOR_SIZE : elementSize !== backend.elementSize) return -EINVAL;
  if (argsz - layout.size < count * elementSize) return -EINVAL;
  const dataAddress = address + layout.size;
  return process.memory.isWritable(dataAddress, count * elementSize) ? { backend, index, start, count, elementSize, dataAddress } : -EFAULT;
}
