import type { Process } from "../../host/process.js";
import type { Step } from "../../sim/step.js";
import { EFAULT, EINVAL, EOVERFLOW } from "../../uapi/errno.js";
import {
  VFIO_DMA_UNMAP_FLAG_ALL,
  VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP,
  VFIO_DMA_UNMAP_FLAG_VADDR,
  vfio_bitmap,
  vfio_iommu_type1_dma_unmap,
} from "../../uapi/vfio.js";
import { UserArgument } from "../../host/user-argument.js";
import { LAST_IOVA } from "./iova-ranges.js";
import type { DmaSpace, Type1Dma } from "./type1-dma.js";
import { type Bitmap, decodeBitmap, isBitmapLargeEnough, markDirty } from "./type1-dirty.js";

const KNOWN = VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP | VFIO_DMA_UNMAP_FLAG_ALL | VFIO_DMA_UNMAP_FLAG_VADDR;
const layout = vfio_iommu_type1_dma_unmap;
const argument = new UserArgument(layout.size + vfio_bitmap.size);

interface Request {
  readonly flags: number;
  readonly iova: bigint;
  readonly size: bigint;
  readonly bitmap: Bitmap | null;
}

/** UNMAP_DMA, checks in the order of vfio.md 17.6. The bytes unmapped are written back on success only. */
export function* unmapDma(instance: DmaSpace, process: Process, address: number): Step<number> {
  const request = decode(process, address);
  if (typeof request === "number") return request;
  yield* instance.lock.lock();
  const range = checkRange(instance, request);
  const unmapped = typeof range === "number" ? range : yield* walk(instance, process, request, range);
  yield* instance.lock.unlock();
  if (typeof unmapped === "number") return unmapped;
  if (!process.memory.isWritable(address + layout.size_.offset, 8)) return -EFAULT;
  layout.size_.setBig(argument.view, BigInt.asUintN(64, unmapped));
  process.memory.copyOut(address + layout.size_.offset, argument.bytes.subarray(layout.size_.offset, layout.size_.offset + 8));
  return 0;
}

function decode(process: Process, address: number): Request | number {
  const { view } = argument;
  if (!argument.copyIn(process, address, layout.size)) return -EFAULT;
  const argsz = layout.argsz.get(view);
  const flags = layout.flags.get(view);
  if (argsz < layout.size || (flags & ~KNOWN) !== 0) return -EINVAL;
  const wantsBitmap = (flags & VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP) !== 0;
  if (wantsBitmap && flags !== VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP) return -EINVAL;
  const iova = layout.iova.getBig(view);
  const size = layout.size_.getBig(view);
  if (!wantsBitmap) return { flags, iova, size, bitmap: null };
  if (argsz < layout.size + vfio_bitmap.size) return -EINVAL;
  if (!argument.copyIn(process, address, layout.size + vfio_bitmap.size)) return -EFAULT;
  const bitmap = decodeBitmap(view, layout.size);
  return isBitmapLargeEnough(bitmap, size) ? { flags, iova, size, bitmap } : -EINVAL;
}

interface Range {
  readonly iova: bigint;
  /** First address behind it; 2^64 at most. */
  readonly end: bigint;
}

function checkRange(instance: DmaSpace, { flags, iova, size, bitmap }: Request): Range | number {
  const { unit } = instance;
  if ((iova & (unit - 1n)) !== 0n) return -EINVAL;
  if ((flags & VFIO_DMA_UNMAP_FLAG_ALL) !== 0) return iova !== 0n || size !== 0n ? -EINVAL : { iova: 0n, end: LAST_IOVA + 1n };
  if (size === 0n || (size & (unit - 1n)) !== 0n) return -EINVAL;
  if (iova + size - 1n > LAST_IOVA) return -EOVERFLOW;
  if (bitmap !== null && (!instance.tracksDirtyPages || bitmap.pageSize !== unit)) return -EINVAL;
  return instance.isV2 && instance.dmas.isCut(iova, size) ? -EINVAL : { iova, end: iova + size };
}

/** The bytes unmapped, or a negative errno. */
function* walk(instance: DmaSpace, process: Process, { flags, bitmap }: Request, { iova, end }: Range): Step<bigint | number> {
  const { dmas } = instance;
  if ((flags & VFIO_DMA_UNMAP_FLAG_VADDR) !== 0) return invalidate(instance, iova, end);
  let unmapped = 0n;
  for (;;) {
    const dma = dmas.firstIn(iova, end);
    // v1: a mapping that begins before the range ends the walk; one that begins in it goes whole.
    if (dma === undefined || dma.iova < iova) break;
    if (bitmap !== null && !markDirty(process, bitmap, iova, dma)) return -EFAULT;
    unmapped += dma.size;
    yield* instance.remove(dma);
  }
  return unmapped;
}

/** Marks without unmapping; one that is marked already takes this call's marks back. */
function invalidate(instance: DmaSpace, iova: bigint, end: bigint): bigint | number {
  const marked: Type1Dma[] = [];
  let size = 0n;
  for (const dma of instance.dmas.in(iova, end)) {
    if (!instance.isV2 && dma.iova < iova) break;
    if (dma.hasInvalidVaddr) {
      for (const each of marked) each.hasInvalidVaddr = false;
      return -EINVAL;
    }
    dma.hasInvalidVaddr = true;
    marked.push(dma);
    size += dma.size;
  }
  return size;
}
