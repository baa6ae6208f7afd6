import type { Process } from "../../host/process.js";
import type { Step } from "../../sim/step.js";
import { EACCES, EFAULT, EINVAL } from "../../uapi/errno.js";
import {
  VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP,
  VFIO_IOMMU_DIRTY_PAGES_FLAG_START,
  VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP,
  vfio_bitmap,
  vfio_iommu_type1_dirty_bitmap,
  vfio_iommu_type1_dirty_bitmap_get,
} from "../../uapi/vfio.js";
import { UserArgument } from "../../host/user-argument.js";
import { LAST_IOVA } from "./iova-ranges.js";
import type { DmaSpace, Type1Dma } from "./type1-dma.js";
import type { Type1Instance } from "./type1-instance.js";

/** Bytes: 2^31 bits. */
export const MAX_BITMAP_BYTES = 2n ** 28n;

const header = vfio_iommu_type1_dirty_bitmap;
const range = vfio_iommu_type1_dirty_bitmap_get;
const argument = new UserArgument(header.size + range.size);

/** A bitmap in the caller's memory: one bit a page, 64-bit words. */
export interface Bitmap {
  readonly pageSize: bigint;
  /** Bytes. */
  readonly size: bigint;
  readonly address: number;
}

export function decodeBitmap(view: DataView, base: number): Bitmap {
  return { pageSize: vfio_bitmap.pgsize.getBig(view, base), size: vfio_bitmap.size_.getBig(view, base), address: vfio_bitmap.data.getNumber(view, base) };
}

/** Has it a bit for each page of so many bytes, and no more bytes than the maximum? */
export function isBitmapLargeEnough({ pageSize, size }: Bitmap, bytes: bigint): boolean {
  const lowestBit = pageSize & -pageSize;
  const pages = lowestBit === 0n ? 0n : bytes / lowestBit;
  return pages > 0n && size > 0n && size <= MAX_BITMAP_BYTES && size >= ((pages + 63n) / 64n) * 8n;
}

/** All pages of a mapping are dirty, always: nothing says which ones the device wrote (vfio.md 17.7). False: EFAULT. */
export function markDirty(process: Process, { pageSize, address }: Bitmap, base: bigint, dma: Type1Dma): boolean {
  const first = Number((dma.iova - base) / pageSize);
  const count = Number(dma.size / pageSize);
  if (!process.memory.isWritable(address + Math.floor(first / 8), Math.ceil((first + count) / 8) - Math.floor(first / 8))) return false;
  for (let bit = first; bit < first + count; bit++) {
    const at = address + Math.floor(bit / 8);
    process.memory.setU8(at, process.memory.getU8(at) | (1 << bit % 8));
  }
  return true;
}

/** DIRTY_PAGES (vfio.md 17.7): 0, -EACCES on v1, -EINVAL, -EFAULT. */
export function* dirtyPages(instance: Type1Instance, process: Process, address: number): Step<number> {
  if (!instance.isV2) return -EACCES;
  const { view } = argument;
  if (!argument.copyIn(process, address, header.size)) return -EFAULT;
  const argsz = header.argsz.get(view);
  const flags = header.flags.get(view);
  if (argsz < header.size) return -EINVAL;
  if (flags === VFIO_IOMMU_DIRTY_PAGES_FLAG_START || flags === VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP) {
    yield* instance.lock.lock();
    instance.tracksDirtyPages = flags === VFIO_IOMMU_DIRTY_PAGES_FLAG_START;
    yield* instance.lock.unlock();
    return 0;
  }
  if (flags !== VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP || argsz < header.size + range.size) return -EINVAL;
  if (!argument.copyIn(process, address, header.size + range.size)) return -EFAULT;
  const iova = range.iova.getBig(view, header.size);
  const size = range.size_.getBig(view, header.size);
  const bitmap = decodeBitmap(view, header.size + range.bitmap.offset);
  if (iova + size - 1n > LAST_IOVA || !isBitmapLargeEnough(bitmap, size)) return -EINVAL;
  yield* instance.lock.lock();
  const result = report(instance, process, { iova, size, bitmap });
  yield* instance.lock.unlock();
  return result;
}

function report({ unit, tracksDirtyPages, dmas }: DmaSpace, process: Process, wanted: { iova: bigint; size: bigint; bitmap: Bitmap }): number {
  const { iova, size, bitmap } = wanted;
  if (!tracksDirtyPages || bitmap.pageSize !== unit || ((iova | size) & (unit - 1n)) !== 0n || dmas.isCut(iova, size)) return -EINVAL;
  for (const dma of dmas.in(iova, iova + size)) if (!markDirty(process, bitmap, iova, dma)) return -EFAULT;
  return 0;
}
