import type { Process } from "../../host/process.js";
import { UserArgument } from "../../host/user-argument.js";
import type { Step } from "../../sim/step.js";
import { E2BIG, EFAULT, EINVAL, ENOTTY, EOVERFLOW } from "../../uapi/errno.js";
import {
  VFIO_DEVICE_FEATURE_GET as GET,
  VFIO_DEVICE_FEATURE_SET as SET,
  vfio_device_feature_dma_logging_control,
  vfio_device_feature_dma_logging_range,
  vfio_device_feature_dma_logging_report,
} from "../../uapi/vfio.js";
import type { VfioDevice } from "../device.js";
import { checkFeature, type FeatureCall } from "../feature-call.js";
import { LAST_IOVA } from "../iommu/iova-ranges.js";
import type { LogRange } from "./dma-log.js";

// The features of DMA logging (vfio.md 15.4).

const PAGE = 4096n;
const MAX_RANGES = 256;
const control = new UserArgument(vfio_device_feature_dma_logging_control.size);
const report = new UserArgument(vfio_device_feature_dma_logging_report.size);
const range = new UserArgument(vfio_device_feature_dma_logging_range.size);

/** The granule that the device chose, 4 KiB, is written back. */
export function* loggingStart(device: VfioDevice, call: FeatureCall): Step<number> {
  const { dmaLog } = device;
  if (dmaLog === null) return -ENOTTY;
  const layout = vfio_device_feature_dma_logging_control;
  const check = checkFeature(call, SET, layout.size);
  if (check <= 0) return check;
  if (!control.copyIn(call.process, call.address)) return -EFAULT;
  const count = layout.num_ranges.get(control.view);
  if (count === 0) return -EINVAL;
  if (count > MAX_RANGES) return -E2BIG;
  const ranges = readRanges(call.process, layout.ranges.getNumber(control.view), count, layout.page_size.getBig(control.view));
  if (typeof ranges === "number") return ranges;
  const result = yield* dmaLog.start(ranges);
  if (result !== 0) return result;
  if (!call.process.memory.isWritable(call.address, 8)) {
    yield* dmaLog.stop();
    return -EFAULT;
  }
  call.process.memory.setU64(call.address, Number(PAGE));
  return 0;
}

/** In array order: -EFAULT, -EINVAL for what is not aligned, -EOVERFLOW, -EINVAL for an overlap with an earlier one. */
function readRanges(process: Process, address: number, count: number, pageSize: bigint): LogRange[] | number {
  const { iova, length, size } = vfio_device_feature_dma_logging_range;
  const ranges: LogRange[] = [];
  for (let i = 0; i < count; i++) {
    if (!range.copyIn(process, address + i * size)) return -EFAULT;
    const start = iova.getBig(range.view);
    const bytes = length.getBig(range.view);
    if (((start | bytes) & BigInt.asUintN(64, pageSize - 1n)) !== 0n) return -EINVAL;
    if (start + bytes > LAST_IOVA) return -EOVERFLOW;
    const next = { start, end: start + bytes };
    if (ranges.some((each) => each.start < next.end && next.start < each.end)) return -EINVAL;
    ranges.push(next);
  }
  return ranges;
}

export function* loggingStop(device: VfioDevice, call: FeatureCall): Step<number> {
  const { dmaLog } = device;
  if (dmaLog === null) return -ENOTTY;
  const check = checkFeature(call, SET, 0);
  return check <= 0 ? check : yield* dmaLog.stop();
}

/** One bit a granule, or'ed into the caller's u64 words; what is reported is clean again. */
export function* loggingReport(device: VfioDevice, call: FeatureCall): Step<number> {
  const { dmaLog } = device;
  if (dmaLog === null) return -ENOTTY;
  const layout = vfio_device_feature_dma_logging_report;
  const check = checkFeature(call, GET, layout.size);
  if (check <= 0) return check;
  const { process } = call;
  if (!report.copyIn(process, call.address)) return -EFAULT;
  const granule = layout.page_size.getBig(report.view);
  if (granule < PAGE || (granule & (granule - 1n)) !== 0n) return -EINVAL;
  const iova = layout.iova.getBig(report.view);
  const length = layout.length.getBig(report.view);
  const bitmap = layout.bitmap.getNumber(report.view);
  if (iova + length > LAST_IOVA) return -EOVERFLOW;
  const bytes = Number((length / granule + 63n) / 64n) * 8;
  if (!process.memory.isWritable(bitmap, bytes)) return -EFAULT;
  const pages = yield* dmaLog.take(iova, length);
  if (typeof pages === "number") return pages;
  for (const page of pages) {
    const bit = Number((BigInt(page) * PAGE - iova) / granule);
    const at = bitmap + Math.floor(bit / 8);
    if (bit >= 0 && bit < bytes * 8) process.memory.setU8(at, process.memory.getU8(at) | (1 << bit % 8));
  }
  return 0;
}
