import type { Process } from "../host/process.js";
import { EFAULT, EINVAL } from "../uapi/errno.js";
import {
  VFIO_IRQ_SET_ACTION_TYPE_MASK,
  VFIO_IRQ_SET_DATA_BOOL,
  VFIO_IRQ_SET_DATA_EVENTFD,
  VFIO_IRQ_SET_DATA_NONE,
  VFIO_IRQ_SET_DATA_TYPE_MASK,
  vfio_irq_set,
} from "../uapi/vfio.js";
import { UserArgument } from "../host/user-argument.js";

const KNOWN_FLAGS = VFIO_IRQ_SET_DATA_TYPE_MASK | VFIO_IRQ_SET_ACTION_TYPE_MASK;
const header = new UserArgument(vfio_irq_set.size);

/** A request that passed the validation. */
export class IrqSet {
  /** One of VFIO_IRQ_SET_DATA_*. */
  dataType = 0;
  /** The action bits as they came: none or several lead to no handler. */
  action = 0;
  index = 0;
  start = 0;
  count = 0;
  /** Where the data begin in the caller's memory. */
  dataAddress = 0;

  /**
   * SET_IRQS's validation, in its order (vfio.md 7.5): 0, -EFAULT or -EINVAL.
   * @param countOf interrupts of an index below `indexes`
   */
  decode(process: Process, address: number, indexes: number, countOf: (index: number) => number): number {
    if (!header.copyIn(process, address, vfio_irq_set.size)) return -EFAULT;
    const { view } = header;
    const argsz = vfio_irq_set.argsz.get(view);
    const flags = vfio_irq_set.flags.get(view);
    this.index = vfio_irq_set.index.get(view);
    this.start = vfio_irq_set.start.get(view);
    this.count = vfio_irq_set.count.get(view);
    if (argsz < vfio_irq_set.size || this.index >= indexes) return -EINVAL;
    if (this.count >= 0xffff_ffff - this.start || (flags & ~KNOWN_FLAGS) !== 0) return -EINVAL;
    const max = countOf(this.index);
    if (this.start >= max || this.start + this.count > max) return -EINVAL;
    this.dataType = flags & VFIO_IRQ_SET_DATA_TYPE_MASK;
    this.action = flags & VFIO_IRQ_SET_ACTION_TYPE_MASK;
    const size = elementSize(this.dataType);
    if (size < 0 || argsz - vfio_irq_set.size < this.count * size) return -EINVAL;
    this.dataAddress = address + vfio_irq_set.size;
    return process.memory.isReadable(this.dataAddress, this.count * size) ? 0 : -EFAULT;
  }

  /** DATA_BOOL's element, or DATA_EVENTFD's descriptor. */
  element(process: Process, i: number): number {
    if (this.dataType === VFIO_IRQ_SET_DATA_BOOL) return process.memory.getU8(this.dataAddress + i);
    return process.memory.getU32(this.dataAddress + 4 * i) | 0;
  }
}

function elementSize(dataType: number): number {
  if (dataType === VFIO_IRQ_SET_DATA_NONE) return 0;
  if (dataType === VFIO_IRQ_SET_DATA_BOOL) return 1;
  return dataType === VFIO_IRQ_SET_DATA_EVENTFD ? 4 : -1;
}
