import { File } from "../../host/file.js";
import type { Process } from "../../host/process.js";
import { UserArgument } from "../../host/user-argument.js";
import type { Step } from "../../sim/step.js";
import { EFAULT, EINVAL, ENOTTY } from "../../uapi/errno.js";
import * as uapi from "../../uapi/vfio.js";
import * as draft from "../../uapi/vfio-draft.js";
import type { VfioPciDevice } from "../backends/pci/device.js";
import type { VfioDevicePathFile } from "../device-file.js";
import { IrqSet } from "../set-irqs.js";
import type { DraftGroup } from "./address-space.js";
import type { Draft2011 } from "./group-file.js";

const HEADER = draft.draft_irq_eventfds.size;
const WORD = 4;
const argument = new UserArgument(HEADER);

/** No descriptor stands behind it: what a count of 0 means to the unmask. */
class NoDescriptor extends IrqSet {
  override element(): number {
    return -1;
  }
}

/** A PCI function, opened: the draft's requests, answered by the core's. */
export class DraftDeviceFile extends File {
  readonly kind = "vfio-draft-device";

  constructor(
    private readonly vfio: Draft2011,
    private readonly group: DraftGroup,
    private readonly device: VfioPciDevice,
    private readonly file: VfioDevicePathFile,
  ) {
    super();
  }

  override *ioctl(process: Process, request: number, address: number): Step<number> {
    switch (request) {
      case draft.DRAFT_DEVICE_GET_INFO:
        return yield* this.getInfo(process, address);
      case draft.DRAFT_DEVICE_GET_REGION_INFO:
        return yield* this.getRegionInfo(process, address);
      case draft.DRAFT_DEVICE_GET_IRQ_INFO:
        return yield* this.getIrqInfo(process, address);
      case draft.DRAFT_DEVICE_SET_IRQ_EVENTFDS:
        return yield* this.setEventfds(process, address);
      case draft.DRAFT_DEVICE_UNMASK_IRQ:
        return yield* this.unmask(process, address);
      case draft.DRAFT_DEVICE_SET_UNMASK_IRQ_EVENTFDS:
        return yield* this.setUnmaskEventfd(process, address);
      case draft.DRAFT_DEVICE_RESET:
        return yield* this.device.handle(process, uapi.VFIO_DEVICE_RESET, 0);
      default:
        return -ENOTTY;
    }
  }

  /** The core's answer in as many bytes as the draft has; then `change` makes it the draft's. */
  private *infoOf(process: Process, address: number, request: number, size: number): Step<number> {
    const { memory } = process;
    if (!memory.isReadable(address, size)) return -EFAULT;
    const given = memory.getU32(address);
    if (given < size) return -EINVAL;
    if (!memory.isWritable(address, size)) return -EFAULT;
    memory.setU32(address, size);
    const result = yield* this.device.handle(process, request, address);
    memory.setU32(address, given);
    return result;
  }

  private *getInfo(process: Process, address: number): Step<number> {
    const { flags, num_regions, num_irqs, size } = draft.draft_device_info;
    const result = yield* this.infoOf(process, address, uapi.VFIO_DEVICE_GET_INFO, size);
    if (result !== 0) return result;
    const { memory } = process;
    memory.setU32(address + flags.offset, memory.getU32(address + flags.offset) & (uapi.VFIO_DEVICE_FLAGS_RESET | uapi.VFIO_DEVICE_FLAGS_PCI));
    memory.setU32(address + num_regions.offset, draft.DRAFT_PCI_NUM_REGIONS);
    memory.setU32(address + num_irqs.offset, draft.DRAFT_PCI_NUM_IRQS);
    return 0;
  }

  private *getRegionInfo(process: Process, address: number): Step<number> {
    const { flags, index, resv, size_, size } = draft.draft_region_info;
    const { memory } = process;
    if (memory.isReadable(address, size) && memory.getU32(address + index.offset) >= draft.DRAFT_PCI_NUM_REGIONS) return -EINVAL;
    const result = yield* this.infoOf(process, address, uapi.VFIO_DEVICE_GET_REGION_INFO, size);
    if (result !== 0) return result;
    const given = memory.getU32(address + flags.offset);
    const isReadOnly = memory.getU32(address + size_.offset) !== 0 && (given & uapi.VFIO_REGION_INFO_FLAG_WRITE) === 0;
    const isMappable = (given & uapi.VFIO_REGION_INFO_FLAG_MMAP) !== 0;
    memory.setU32(address + flags.offset, (isMappable ? draft.DRAFT_REGION_INFO_MMAP : 0) | (isReadOnly ? draft.DRAFT_REGION_INFO_RO : 0));
    memory.setU32(address + resv.offset, 0);
    return 0;
  }

  private *getIrqInfo(process: Process, address: number): Step<number> {
    const { flags, index, count, size } = draft.draft_irq_info;
    const { memory } = process;
    if (memory.isReadable(address, size) && memory.getU32(address + index.offset) >= draft.DRAFT_PCI_NUM_IRQS) return -EINVAL;
    const result = yield* this.infoOf(process, address, uapi.VFIO_DEVICE_GET_IRQ_INFO, size);
    if (result !== 0) return result;
    const isLevel = memory.getU32(address + index.offset) === uapi.VFIO_PCI_INTX_IRQ_INDEX && memory.getU32(address + count.offset) > 0;
    memory.setU32(address + flags.offset, isLevel ? draft.DRAFT_IRQ_INFO_LEVEL : 0);
    return 0;
  }

  /** argsz, flags, index, and the word behind them, which all three requests on interrupts have; a negative errno. */
  private header(process: Process, address: number): { readonly argsz: number; readonly index: number; readonly last: number } | number {
    const { argsz, flags, index, count, size } = draft.draft_irq_eventfds;
    const { view } = argument;
    if (!argument.copyIn(process, address)) return -EFAULT;
    if (argsz.get(view) < size || flags.get(view) !== 0) return -EINVAL;
    return { argsz: argsz.get(view), index: index.get(view), last: count.get(view) };
  }

  private *setEventfds(process: Process, address: number): Step<number> {
    const given = this.header(process, address);
    if (typeof given === "number") return given;
    const { argsz, index, last: count } = given;
    if (index >= draft.DRAFT_PCI_NUM_IRQS || count > (yield* this.device.irqCount(index))) return -EINVAL;
    if (argsz < HEADER + WORD * count) return -EINVAL;
    const dataAddress = address + HEADER;
    if (!process.memory.isReadable(dataAddress, WORD * count)) return -EFAULT;
    const dataType = count === 0 ? uapi.VFIO_IRQ_SET_DATA_NONE : uapi.VFIO_IRQ_SET_DATA_EVENTFD;
    return yield* this.device.irqs.run(process, requestOf(new IrqSet(), { dataType, action: uapi.VFIO_IRQ_SET_ACTION_TRIGGER, index, count, dataAddress }));
  }

  private *unmask(process: Process, address: number): Step<number> {
    const given = this.header(process, address);
    if (typeof given === "number") return given;
    if (given.index !== uapi.VFIO_PCI_INTX_IRQ_INDEX || given.last !== 0) return -EINVAL;
    const request = { dataType: uapi.VFIO_IRQ_SET_DATA_NONE, action: uapi.VFIO_IRQ_SET_ACTION_UNMASK, index: given.index, count: 1, dataAddress: 0 };
    return yield* this.device.irqs.run(process, requestOf(new IrqSet(), request));
  }

  private *setUnmaskEventfd(process: Process, address: number): Step<number> {
    const given = this.header(process, address);
    if (typeof given === "number") return given;
    const { argsz, index, last: count } = given;
    if (index !== uapi.VFIO_PCI_INTX_IRQ_INDEX || count > 1 || argsz < HEADER + WORD * count) return -EINVAL;
    const dataAddress = address + HEADER;
    if (!process.memory.isReadable(dataAddress, WORD * count)) return -EFAULT;
    const request = { dataType: uapi.VFIO_IRQ_SET_DATA_EVENTFD, action: uapi.VFIO_IRQ_SET_ACTION_UNMASK, index, count: 1, dataAddress };
    return yield* this.device.irqs.run(process, requestOf(count === 0 ? new NoDescriptor() : new IrqSet(), request));
  }

  override *read(process: Process, address: number, length: number, offset: number | null): Step<number> {
    return yield* this.file.read(process, address, length, offset);
  }

  override *write(process: Process, address: number, length: number, offset: number | null): Step<number> {
    return yield* this.file.write(process, address, length, offset);
  }

  override *mmap(process: Process, length: number, offset: number, isShared: boolean): Step<number> {
    return yield* this.file.mmap(process, length, offset, isShared);
  }

  override *release(): Step<void> {
    yield* this.vfio.lock.lock();
    yield* this.file.put();
    this.group.devices--;
    yield* this.group.space.dissolve();
    yield* this.vfio.lock.unlock();
  }
}

function requestOf(request: IrqSet, parts: Partial<IrqSet>): IrqSet {
  return Object.assign(request, parts);
}
