import type { Process } from "../../host/process.js";
import { UserArgument } from "../../host/user-argument.js";
import type { Step } from "../../sim/step.js";
import { EFAULT, EINVAL, ENODEV, ENOENT, ENOTTY, EOVERFLOW } from "../../uapi/errno.js";
import * as uapi from "../../uapi/vfio.js";
import { type IovaRange, LAST_IOVA } from "../iommu/iova-ranges.js";
import { copyOutInfo } from "../iommu/info.js";
import type { IommufdContext } from "./context.js";
import { newPages } from "./ioas-area.js";
import type { Ioas } from "./ioas.js";

// What a VFIO user finds on an iommufd that it takes for a container (vfio.md 19; drivers/iommu/iommufd/vfio_compat.c).

const READ_WRITE = uapi.VFIO_DMA_MAP_FLAG_READ | uapi.VFIO_DMA_MAP_FLAG_WRITE;
/** No limit but memory: the kernel says as much (-1), for clients that look. */
const ENDLESS = 0xffff_ffff;
const mapArgument = new UserArgument(uapi.vfio_iommu_type1_dma_map.size);
const unmapArgument = new UserArgument(uapi.vfio_iommu_type1_dma_unmap.size);

export function* compatIoctl(context: IommufdContext, process: Process, request: number, argument: number): Step<number> {
  switch (request) {
    case uapi.VFIO_GET_API_VERSION:
      return uapi.VFIO_API_VERSION;
    case uapi.VFIO_CHECK_EXTENSION:
      return yield* checkExtension(context, argument);
    case uapi.VFIO_SET_IOMMU:
      return yield* setIommu(context, argument);
    case uapi.VFIO_IOMMU_GET_INFO:
      return yield* getInfo(context, process, argument);
    case uapi.VFIO_IOMMU_MAP_DMA:
      return yield* mapDma(context, process, argument);
    case uapi.VFIO_IOMMU_UNMAP_DMA:
      return yield* unmapDma(context, process, argument);
    default:
      return -ENOTTY;
  }
}

/** The compat address space, held, or null. */
function* lockIoas(context: IommufdContext): Step<Ioas | null> {
  yield* context.lock.lock();
  const ioas = context.compatIoas;
  if (ioas !== null) yield* ioas.lock.lock();
  yield* context.lock.unlock();
  return ioas;
}

function* checkExtension(context: IommufdContext, extension: number): Step<number> {
  if (extension !== uapi.VFIO_DMA_CC_IOMMU) {
    const is = extension === uapi.VFIO_TYPE1_IOMMU || extension === uapi.VFIO_TYPE1v2_IOMMU || extension === uapi.VFIO_UNMAP_ALL;
    return is ? 1 : 0;
  }
  const ioas = yield* lockIoas(context);
  if (ioas === null) return -ENODEV;
  const enforces = ioas.enforcesCoherency;
  yield* ioas.lock.unlock();
  return enforces ? 1 : 0;
}

/** Version 1 may cut areas when it unmaps, which large pages could not be. */
function* setIommu(context: IommufdContext, type: number): Step<number> {
  if (type !== uapi.VFIO_TYPE1_IOMMU && type !== uapi.VFIO_TYPE1v2_IOMMU) return -EINVAL;
  const ioas = yield* lockIoas(context);
  if (ioas === null) return -ENODEV;
  const result = type === uapi.VFIO_TYPE1_IOMMU ? ioas.setLargePages(false) : 0;
  yield* ioas.lock.unlock();
  return result;
}

function* getInfo(context: IommufdContext, process: Process, address: number): Step<number> {
  const layout = uapi.vfio_iommu_type1_info;
  if (!process.memory.isReadable(address, layout.minsz)) return -EFAULT;
  if (process.memory.getU32(address) < layout.minsz) return -EINVAL;
  const ioas = yield* lockIoas(context);
  if (ioas === null) return -ENODEV;
  const ranges: readonly IovaRange[] = ioas.ranges;
  const { pageSizes } = ioas;
  yield* ioas.lock.unlock();
  return copyOutInfo(process, address, { pageSizes, ranges, available: ENDLESS, tracksDirtyPages: false });
}

function* mapDma(context: IommufdContext, process: Process, address: number): Step<number> {
  const { argsz, flags, vaddr, iova, size_, size } = uapi.vfio_iommu_type1_dma_map;
  const { view } = mapArgument;
  if (!mapArgument.copyIn(process, address)) return -EFAULT;
  const given = flags.get(view);
  if (argsz.get(view) < size || (given & ~READ_WRITE) !== 0) return -EINVAL;
  const length = size_.getBig(view);
  const isWritable = (given & uapi.VFIO_DMA_MAP_FLAG_WRITE) !== 0;
  const request = { iova: iova.getBig(view), length, isReadable: (given & uapi.VFIO_DMA_MAP_FLAG_READ) !== 0, isWritable };
  const start = vaddr.getBig(view);
  const ioas = yield* lockIoas(context);
  if (ioas === null) return -ENODEV;
  const pages = newPages(process, start, length, isWritable);
  const result = typeof pages === "number" ? pages : yield* ioas.map(pages, 0n, request);
  yield* ioas.lock.unlock();
  return result;
}

/** The bytes unmapped are written back whatever the unmap's own result is, as the kernel does. */
function* unmapDma(context: IommufdContext, process: Process, address: number): Step<number> {
  const { argsz, flags, iova, size_, size } = uapi.vfio_iommu_type1_dma_unmap;
  const { view } = unmapArgument;
  if (!unmapArgument.copyIn(process, address)) return -EFAULT;
  const given = flags.get(view);
  if (argsz.get(view) < size || (given & ~uapi.VFIO_DMA_UNMAP_FLAG_ALL) !== 0) return -EINVAL;
  const start = iova.getBig(view);
  const length = size_.getBig(view);
  const ioas = yield* lockIoas(context);
  if (ioas === null) return -ENODEV;
  const unmapped = { bytes: 0n };
  const isAll = given !== 0;
  let error = isAll && (start !== 0n || length !== 0n) ? -EINVAL : 0;
  if (!isAll && !ioas.usesLargePages) error = ioas.cut(start + length) || ioas.cut(start);
  const result = error === 0 ? yield* unmapRange(ioas, isAll, start, length, unmapped) : error;
  yield* ioas.lock.unlock();
  if (error !== 0) return error;
  if (!process.memory.isWritable(address + size_.offset, 8)) return -EFAULT;
  process.memory.setU64(address + size_.offset, Number(unmapped.bytes));
  return result;
}

function* unmapRange(ioas: Ioas, isAll: boolean, start: bigint, length: bigint, unmapped: { bytes: bigint }): Step<number> {
  if (isAll) {
    const result = yield* ioas.unmap(0n, LAST_IOVA, unmapped);
    return result === -ENOENT ? 0 : result;
  }
  if (length === 0n) return -EINVAL;
  if (start + length - 1n > LAST_IOVA) return -EOVERFLOW;
  return yield* ioas.unmap(start, start + length - 1n, unmapped);
}
