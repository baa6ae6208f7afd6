import type { Step } from "../sim/step.js";
import { EAGAIN, EOPNOTSUPP } from "../uapi/errno.js";
import {
  VFIO_DEVICE_GET_IRQ_INFO,
  VFIO_DEVICE_GET_REGION_INFO,
  VFIO_DEVICE_SET_IRQS,
  VFIO_GROUP_GET_DEVICE_FD,
  VFIO_GROUP_SET_CONTAINER,
  VFIO_IOMMU_MAP_DMA,
  VFIO_IOMMU_SPAPR_TCE_GET_INFO,
  VFIO_IOMMU_UNMAP_DMA,
  VFIO_IRQ_INFO_EVENTFD,
  VFIO_IRQ_SET_ACTION_MASK,
  VFIO_IOMMU_SPAPR_REGISTER_MEMORY,
  VFIO_IRQ_SET_ACTION_TRIGGER,
  VFIO_IRQ_SET_ACTION_UNMASK,
  VFIO_IRQ_SET_DATA_EVENTFD,
  VFIO_IRQ_SET_DATA_NONE,
  VFIO_SET_IOMMU,
  vfio_iommu_spapr_register_memory,
  vfio_iommu_spapr_tce_info,
  vfio_iommu_type1_dma_map,
  vfio_iommu_type1_dma_unmap,
  vfio_irq_info,
  vfio_irq_set,
  vfio_region_info,
} from "../uapi/vfio.js";
import type { Process } from "../host/process.js";
import type { Arguments } from "./arguments.js";
import { Descriptor } from "./descriptor.js";

const DMA_READ_WRITE = 3;
/** Of a device that is being reset again and again, the last answer is the answer. */
const OPEN_TRIES = 100;

/** A window of DMA addresses, bytes. */
export interface DmaWindow {
  readonly start: number;
  readonly size: number;
}

/** What to call a device's descriptor by: as its bus counts interrupts. */
export type OpenDevice = (process: Process, fd: number, args: Arguments) => VfioDeviceClient;

/** `/dev/vfio/vfio`, as its client has it: a descriptor, whose container the kernel keeps (vfio/container.ts). */
export class VfioContainerClient extends Descriptor {
  *setIommu(type: number): Step<number> {
    return yield* this.process.ioctl(this.fd, VFIO_SET_IOMMU, type);
  }

  /** @param access VFIO_DMA_MAP_FLAG_*: what devices may do */
  *mapDma(iova: number, size: number, userAddress: number, access = DMA_READ_WRITE): Step<number> {
    const { view } = this.args;
    const layout = vfio_iommu_type1_dma_map;
    layout.argsz.set(view, layout.size);
    layout.flags.set(view, access);
    layout.vaddr.setNumber(view, userAddress);
    layout.iova.setNumber(view, iova);
    layout.size_.setNumber(view, size);
    return yield* this.call(VFIO_IOMMU_MAP_DMA, layout.size);
  }

  *unmapDma(iova: number, size: number): Step<number> {
    const { view } = this.args;
    const layout = vfio_iommu_type1_dma_unmap;
    this.args.clear(layout.size);
    layout.argsz.set(view, layout.size);
    layout.iova.setNumber(view, iova);
    layout.size_.setNumber(view, size);
    return yield* this.call(VFIO_IOMMU_UNMAP_DMA, layout.size);
  }

  /** SPAPR: the window that a container has from the beginning, or a negative errno. */
  *defaultWindow(): Step<DmaWindow | number> {
    const { view } = this.args;
    const layout = vfio_iommu_spapr_tce_info;
    this.args.clear(layout.minsz);
    layout.argsz.set(view, layout.minsz);
    const result = yield* this.call(VFIO_IOMMU_SPAPR_TCE_GET_INFO, layout.minsz);
    if (result < 0) return result;
    this.args.load(layout.minsz);
    return { start: layout.dma32_window_start.get(view), size: layout.dma32_window_size.get(view) };
  }

  /** SPAPR, version 2: memory that entries of the windows may lead to. */
  *registerMemory(userAddress: number, size: number): Step<number> {
    const { view } = this.args;
    const layout = vfio_iommu_spapr_register_memory;
    this.args.clear(layout.size);
    layout.argsz.set(view, layout.size);
    layout.vaddr.setNumber(view, userAddress);
    layout.size_.setNumber(view, size);
    return yield* this.call(VFIO_IOMMU_SPAPR_REGISTER_MEMORY, layout.size);
  }
}

/** `/dev/vfio/N`, as its client has it. */
export class VfioGroupClient extends Descriptor {
  *setContainer(container: number): Step<number> {
    this.args.view.setInt32(0, container, true);
    return yield* this.call(VFIO_GROUP_SET_CONTAINER, 4);
  }

  /** The device's descriptor, or a negative errno. While somebody else resets the device it is asked for again (vfio.md 22.3). */
  *deviceFd(name: string): Step<number> {
    for (let i = 0; i < name.length; i++) this.args.view.setUint8(i, name.charCodeAt(i));
    this.args.view.setUint8(name.length, 0);
    let result = -EAGAIN;
    for (let tries = 0; tries < OPEN_TRIES && result === -EAGAIN; tries++) result = yield* this.call(VFIO_GROUP_GET_DEVICE_FD, name.length + 1);
    return result;
  }
}

/** One register region of a device as GET_REGION_INFO tells it. */
export interface RegionInfo {
  readonly flags: number;
  readonly size: number;
  /** Offset of the region in the device file. */
  readonly offset: number;
}

/** An assigned device, as its client has it. */
export class VfioDeviceClient extends Descriptor {
  /** VFIO's index of an interrupt, as the board counts them, and its place there. */
  protected indexOf(interrupt: number): number {
    return interrupt;
  }
  protected startOf(_interrupt: number): number {
    return 0;
  }

  /** GET_IRQ_INFO's flags of each index that was asked for. */
  private readonly flags = new Map<number, number>();

  /** What has to be done before interrupts are wired. @param interrupts those that will be, as the board counts them */
  *prepare(interrupts: readonly number[]): Step<void> {
    for (let i = 0; i < interrupts.length; i++) yield* this.flagsOf(interrupts[i]);
  }

  /** After {@link prepare}: how many vectors those interrupts need, where the host has not so many for us; else 0. */
  lacks(_interrupts: readonly number[]): number {
    return 0;
  }

  /** As {@link irqFlags}, asked for once. */
  protected *flagsOf(interrupt: number): Step<number> {
    const index = this.indexOf(interrupt);
    let flags = this.flags.get(index);
    if (flags === undefined) {
      flags = yield* this.irqFlags(interrupt);
      this.flags.set(index, flags);
    }
    return flags;
  }

  /** Can it be told by an eventfd? What is acknowledged in the guest alone is told to nobody outside (vfio.md 21.2, 6). */
  *signals(interrupt: number): Step<boolean> {
    const flags = yield* this.flagsOf(interrupt);
    return flags < 0 || (flags & VFIO_IRQ_INFO_EVENTFD) !== 0;
  }

  /** The answer, or a negative errno. */
  *regionInfo(index: number): Step<RegionInfo | number> {
    const { view } = this.args;
    vfio_region_info.argsz.set(view, vfio_region_info.size);
    vfio_region_info.index.set(view, index);
    const result = yield* this.call(VFIO_DEVICE_GET_REGION_INFO, vfio_region_info.size);
    if (result < 0) return result;
    this.args.load(vfio_region_info.size);
    return {
      flags: vfio_region_info.flags.get(view),
      size: vfio_region_info.size_.getNumber(view),
      offset: vfio_region_info.offset.getNumber(view),
    };
  }

  /** VFIO_IRQ_INFO_* flags of an interrupt, or a negative errno. */
  *irqFlags(index: number): Step<number> {
    const { view } = this.args;
    vfio_irq_info.argsz.set(view, vfio_irq_info.size);
    vfio_irq_info.index.set(view, this.indexOf(index));
    const result = yield* this.call(VFIO_DEVICE_GET_IRQ_INFO, vfio_irq_info.size);
    if (result < 0) return result;
    this.args.load(vfio_irq_info.size);
    return vfio_irq_info.flags.get(view);
  }

  /** The eventfd that the device's interrupt signals; -1 takes it away. -EOPNOTSUPP where it signals none: {@link signals}. */
  *setTrigger(index: number, eventfd: number): Step<number> {
    if (!(yield* this.signals(index))) return -EOPNOTSUPP;
    return yield* this.setEventfd(VFIO_IRQ_SET_ACTION_TRIGGER, index, eventfd);
  }

  /** An eventfd whose signal unmasks the interrupt: a resamplefd. */
  *setUnmaskEventfd(index: number, eventfd: number): Step<number> {
    return yield* this.setEventfd(VFIO_IRQ_SET_ACTION_UNMASK, index, eventfd);
  }

  *unmask(index: number): Step<number> {
    return yield* this.act(VFIO_IRQ_SET_ACTION_UNMASK, index);
  }

  *mask(index: number): Step<number> {
    return yield* this.act(VFIO_IRQ_SET_ACTION_MASK, index);
  }

  private *act(action: number, index: number): Step<number> {
    this.layOut(VFIO_IRQ_SET_DATA_NONE | action, index, vfio_irq_set.size);
    return yield* this.call(VFIO_DEVICE_SET_IRQS, vfio_irq_set.size);
  }

  /** Ends an index with all its vectors: by a count of 0 and by nothing else (vfio.md 8.6, 10.2). */
  *disable(index: number): Step<number> {
    this.layOut(VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER, index, vfio_irq_set.size);
    vfio_irq_set.start.set(this.args.view, 0);
    if (!this.process.sim.hazards.endByCount) vfio_irq_set.count.set(this.args.view, 0);
    return yield* this.call(VFIO_DEVICE_SET_IRQS, vfio_irq_set.size);
  }

  private *setEventfd(action: number, index: number, eventfd: number): Step<number> {
    this.layOut(VFIO_IRQ_SET_DATA_EVENTFD | action, index, vfio_irq_set.size + 4);
    this.args.view.setInt32(vfio_irq_set.size, eventfd, true);
    return yield* this.call(VFIO_DEVICE_SET_IRQS, vfio_irq_set.size + 4);
  }

  private layOut(flags: number, index: number, size: number): void {
    const { view } = this.args;
    vfio_irq_set.argsz.set(view, size);
    vfio_irq_set.flags.set(view, flags);
    vfio_irq_set.index.set(view, this.indexOf(index));
    vfio_irq_set.start.set(view, this.startOf(index));
    vfio_irq_set.count.set(view, 1);
  }

  /** A read of device registers through the kernel, as a trapping VMM does it: the value, or a negative errno. */
  *readRegister(fileOffset: number, size: number): Step<number> {
    const result = yield* this.process.read(this.fd, this.args.address, size, fileOffset);
    if (result < 0) return result;
    this.args.load(4);
    return this.args.view.getUint32(0, true);
  }

  *writeRegister(fileOffset: number, size: number, value: number): Step<number> {
    this.args.view.setInt32(0, value | 0, true);
    this.args.store(4);
    return yield* this.process.write(this.fd, this.args.address, size, fileOffset);
  }
}
