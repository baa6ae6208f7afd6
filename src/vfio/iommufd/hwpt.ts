import type { Process } from "../../host/process.js";
import { UserArgument } from "../../host/user-argument.js";
import type { Step } from "../../sim/step.js";
import { EFAULT, EINVAL, ENOENT, EOPNOTSUPP, EOVERFLOW } from "../../uapi/errno.js";
import * as uapi from "../../uapi/iommufd.js";
import { LAST_IOVA } from "../iommu/iova-ranges.js";
import type { IommufdContext } from "./context.js";
import type { DirtyRange } from "./ioas.js";
import { respond } from "./request.js";

// Page tables that a user makes, and which of their pages devices wrote (drivers/iommu/iommufd/{hw_pagetable,io_pagetable}.c).

/** Bytes of a user's buffer that are zeroed. */
const ZEROES = new Uint8Array(4096);

/**
 * HWPT_ALLOC: a page table of an address space for a device's IOMMU, with all of its areas: -ENOENT for no device, -EINVAL for
 * what is no address space (nested tables are not modelled), -EOPNOTSUPP for a flag that is unknown or that the IOMMU cannot.
 */
export function* allocHwpt(context: IommufdContext, process: Process, argument: UserArgument, address: number): Step<number> {
  const layout = uapi.iommu_hwpt_alloc;
  const { view } = argument;
  const flags = layout.flags.get(view);
  if (layout.reserved.get(view) !== 0) return -EOPNOTSUPP;
  const hasData = layout.data_type.get(view) !== uapi.IOMMU_HWPT_DATA_NONE;
  if (hasData !== (layout.data_len.get(view) !== 0)) return -EINVAL;
  const device = context.find(layout.dev_id.get(view));
  if (device?.kind !== "device") return -ENOENT;
  const ioas = context.ioas(layout.pt_id.get(view));
  if (ioas === null) return -EINVAL;
  const { group } = device.device;
  const isTracked = (flags & uapi.IOMMU_HWPT_ALLOC_DIRTY_TRACKING) !== 0;
  if ((flags & ~uapi.IOMMU_HWPT_ALLOC_DIRTY_TRACKING) !== 0 || hasData || (isTracked && !group.tracksDirty)) return -EOPNOTSUPP;
  const hwpt = yield* context.newHwpt(ioas, group, isTracked);
  if (typeof hwpt === "number") return hwpt;
  layout.out_hwpt_id.set(view, hwpt.id);
  const result = respond(process, argument, address);
  if (result !== 0) yield* context.destroyHwpt(hwpt.id);
  return result;
}

/** GET_HW_INFO: of virq's IOMMUs nothing but whether they tell dirty pages. -EOPNOTSUPP, -ENOENT, -EFAULT. */
export function* hardwareInfo(context: IommufdContext, process: Process, argument: UserArgument, address: number): Step<number> {
  const layout = uapi.iommu_hw_info;
  const { view } = argument;
  if (layout.flags.get(view) !== 0 || layout.reserved.get(view) !== 0) return -EOPNOTSUPP;
  const device = context.find(layout.dev_id.get(view));
  if (device?.kind !== "device") return -ENOENT;
  const room = layout.data_len.get(view);
  const data = layout.data_uptr.getNumber(view);
  if (room > 0 && !process.memory.isWritable(data, room)) return -EFAULT;
  for (let done = 0; done < room; done += ZEROES.length) process.memory.copyOut(data + done, ZEROES, Math.min(ZEROES.length, room - done));
  layout.data_len.set(view, 0);
  layout.out_data_type.set(view, uapi.IOMMU_HW_INFO_TYPE_NONE);
  layout.out_capabilities.setBig(view, device.device.group.tracksDirty ? BigInt(uapi.IOMMU_HW_CAP_DIRTY_TRACKING) : 0n);
  return respond(process, argument, address);
}

/** HWPT_SET_DIRTY_TRACKING: 0, on or off already too; -EOPNOTSUPP for a table that was not made for it, -ENOENT. */
export function* setDirtyTracking(context: IommufdContext, _process: Process, { view }: UserArgument): Step<number> {
  const { flags, hwpt_id } = uapi.iommu_hwpt_set_dirty_tracking;
  const wanted = flags.get(view);
  if ((wanted & ~uapi.IOMMU_HWPT_DIRTY_TRACKING_ENABLE) !== 0) return -EOPNOTSUPP;
  const object = context.find(hwpt_id.get(view));
  if (object?.kind !== "hwpt") return -ENOENT;
  if (!object.hwpt.isTracked) return -EOPNOTSUPP;
  yield* object.hwpt.domain.setDirtyTracking((wanted & uapi.IOMMU_HWPT_DIRTY_TRACKING_ENABLE) !== 0);
  return 0;
}

/**
 * HWPT_GET_DIRTY_BITMAP: sets a bit for each page of `page_size` that was written since the last call, and forgets it unless it is
 * told not to: 0, -EOPNOTSUPP, -ENOENT, -EOVERFLOW, -EINVAL for what is not of whole pages, not all mapped, or not tracked, -EFAULT.
 */
export function* getDirtyBitmap(context: IommufdContext, process: Process, { view }: UserArgument): Step<number> {
  const layout = uapi.iommu_hwpt_get_dirty_bitmap;
  const flags = layout.flags.get(view);
  if ((flags & ~uapi.IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR) !== 0 || layout.reserved.get(view) !== 0) return -EOPNOTSUPP;
  const object = context.find(layout.hwpt_id.get(view));
  if (object?.kind !== "hwpt") return -ENOENT;
  if (!object.hwpt.isTracked) return -EOPNOTSUPP;
  const range = { iova: layout.iova.getBig(view), length: layout.length.getBig(view), keeps: (flags & uapi.IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR) !== 0 };
  const pageSize = layout.page_size.getBig(view);
  const bitmap = layout.data.getNumber(view);
  const { ioas, hwpt } = object;
  yield* ioas.lock.lock();
  let result = check(range, pageSize, ioas.alignment);
  if (result === 0) {
    const pages = yield* ioas.takeDirty(hwpt, range, () => process.memory.isWritable(bitmap, Number((range.length / pageSize + 63n) / 64n) * 8));
    result = typeof pages === "number" ? pages : 0;
    if (typeof pages !== "number") for (const { iova, length } of pages) mark(process, bitmap, { range, pageSize, iova, length });
  }
  yield* ioas.lock.unlock();
  return result;
}

function check({ iova, length }: DirtyRange, pageSize: bigint, alignment: bigint): number {
  const end = iova + length;
  if (length === 0n) return iova === 0n ? -EINVAL : -EOVERFLOW;
  if (end - 1n > LAST_IOVA) return -EOVERFLOW;
  if (((iova | end) & (alignment - 1n)) !== 0n || pageSize === 0n) return -EINVAL;
  return ((iova | end) & (pageSize - 1n)) !== 0n ? -EINVAL : 0;
}

interface DirtyRun {
  readonly range: DirtyRange;
  readonly pageSize: bigint;
  readonly iova: bigint;
  readonly length: bigint;
}

function mark({ memory }: Process, bitmap: number, { range, pageSize, iova, length }: DirtyRun): void {
  const first = Number((iova - range.iova) / pageSize);
  const last = Number((iova + length - 1n - range.iova) / pageSize);
  for (let bit = first; bit <= last; bit++) {
    const at = bitmap + (bit >>> 3);
    memory.setU8(at, memory.getU8(at) | (1 << (bit & 7)));
  }
}
