import { File } from "../../host/file.js";
import type { Process } from "../../host/process.js";
import { UserArgument } from "../../host/user-argument.js";
import type { Step } from "../../sim/step.js";
import { EFAULT, EINVAL, ENOTTY } from "../../uapi/errno.js";
import { VFIO_DMA_MAP_FLAG_READ, VFIO_DMA_MAP_FLAG_WRITE, VFIO_IOMMU_MAP_DMA, VFIO_IOMMU_UNMAP_DMA } from "../../uapi/vfio.js";
import { VFIO_IOMMU_TAKE_FAULT } from "../../uapi/vfio-fault.js";
import * as draft from "../../uapi/vfio-draft.js";
import type { VfioContainer } from "../container.js";
import { commonRanges } from "../iommu/iova-ranges.js";
import type { AddressSpace } from "./address-space.js";
import type { Draft2011 } from "./group-file.js";

const PAGE = 4096n;
const FLAGS = 4;
const READ_WRITE = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;
const argument = new UserArgument(draft.draft_iommu_info.size);

/** An address space, opened: MAP_DMA and UNMAP_DMA are laid out as today's. */
export class DraftIommuFile extends File {
  readonly kind = "vfio-draft-iommu";

  constructor(
    private readonly vfio: Draft2011,
    private readonly space: AddressSpace,
  ) {
    super();
  }

  override *ioctl(process: Process, request: number, address: number): Step<number> {
    if (request === draft.DRAFT_IOMMU_GET_INFO) return yield* this.getInfo(process, address);
    if (request === draft.DRAFT_IOMMU_MAP_DMA) return yield* this.forward(process, VFIO_IOMMU_MAP_DMA, address, READ_WRITE);
    if (request === draft.DRAFT_IOMMU_UNMAP_DMA) return yield* this.forward(process, VFIO_IOMMU_UNMAP_DMA, address, 0);
    if (request === VFIO_IOMMU_TAKE_FAULT) return yield* this.takeFault(process, address);
    return -ENOTTY;
  }

  /**
   * What came later by flags is not there yet: -EINVAL. They are looked at last: nobody changes them between here and where the
   * request copies them in.
   */
  private *forward(process: Process, request: number, address: number, known: number): Step<number> {
    const container = yield* this.container();
    const instance = container === null ? null : yield* container.iommu();
    if (instance === null) return -EINVAL;
    if (!process.memory.isReadable(address, FLAGS + 4)) return -EFAULT;
    if ((process.memory.getU32(address + FLAGS) & ~known) !== 0) return -EINVAL;
    return yield* instance.ioctl(process, request, address);
  }

  /** virq's own request, laid out as a container's. */
  private *takeFault(process: Process, address: number): Step<number> {
    const container = yield* this.container();
    return container === null ? -EINVAL : yield* container.ioctl(process, VFIO_IOMMU_TAKE_FAULT, address);
  }

  private *container(): Step<VfioContainer | null> {
    yield* this.vfio.lock.lock();
    const { container } = this.space;
    yield* this.vfio.lock.unlock();
    return container;
  }

  private *getInfo(process: Process, address: number): Step<number> {
    const layout = draft.draft_iommu_info;
    const { view } = argument;
    if (!argument.copyIn(process, address)) return -EFAULT;
    const given = layout.argsz.get(view);
    if (given < layout.size) return -EINVAL;
    yield* this.vfio.lock.lock();
    const groups = this.space.groups.map((group) => group.core.iommuGroup);
    yield* this.vfio.lock.unlock();
    const ranges = commonRanges(groups, []);
    layout.argsz.set(view, given);
    layout.flags.set(view, 0);
    layout.iova_max.setBig(view, ranges.at(-1)?.end ?? 0n);
    layout.iova_min.setBig(view, ranges[0]?.start ?? 0n);
    layout.pgsize_bitmap.setBig(view, groups.reduce((common, group) => common & group.pageSizes, -PAGE & 0xffff_ffff_ffff_ffffn));
    return argument.copyOut(process, address) ? 0 : -EFAULT;
  }

  override *release(): Step<void> {
    yield* this.vfio.lock.lock();
    this.space.files--;
    yield* this.space.dissolve();
    yield* this.vfio.lock.unlock();
  }
}
