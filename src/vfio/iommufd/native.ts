import type { Process } from "../../host/process.js";
import { UserArgument } from "../../host/user-argument.js";
import type { Step } from "../../sim/step.js";
import { E2BIG, EBUSY, EFAULT, EINVAL, EMSGSIZE, ENODEV, ENOENT, ENOTTY, EOPNOTSUPP, EOVERFLOW, EPERM } from "../../uapi/errno.js";
import * as uapi from "../../uapi/iommufd.js";
import { type IovaRange, LAST_IOVA } from "../iommu/iova-ranges.js";
import type { IommufdContext } from "./context.js";
import { allocHwpt, getDirtyBitmap, hardwareInfo, setDirtyTracking } from "./hwpt.js";
import { type IoasArea, newPages } from "./ioas-area.js";
import type { Ioas, IoasRequest } from "./ioas.js";
import { type Handler, respond } from "./request.js";

// The requests of /dev/iommu itself (vfio.md 19; drivers/iommu/iommufd/{main,ioas,vfio_compat}.c).

/** More ranges than this in one call are out of memory. */
const MAX_RANGES = 1024;
const MAP_FLAGS = uapi.IOMMU_IOAS_MAP_FIXED_IOVA | uapi.IOMMU_IOAS_MAP_WRITEABLE | uapi.IOMMU_IOAS_MAP_READABLE;
const ACCESS_FLAGS = uapi.IOMMU_IOAS_MAP_WRITEABLE | uapi.IOMMU_IOAS_MAP_READABLE;

interface Request {
  /** Bytes of the structure, and of its part that has to be there. */
  readonly size: number;
  readonly least?: number;
  readonly handle: Handler;
}

const HANDLERS: ReadonlyMap<number, Request> = new Map<number, Request>([
  [uapi.IOMMU_DESTROY, { size: uapi.iommu_destroy.size, handle: destroy }],
  [uapi.IOMMU_IOAS_ALLOC, { size: uapi.iommu_ioas_alloc.size, handle: allocIoas }],
  [uapi.IOMMU_IOAS_ALLOW_IOVAS, { size: uapi.iommu_ioas_allow_iovas.size, handle: allowIovas }],
  [uapi.IOMMU_IOAS_COPY, { size: uapi.iommu_ioas_copy.size, handle: copy }],
  [uapi.IOMMU_IOAS_IOVA_RANGES, { size: uapi.iommu_ioas_iova_ranges.size, handle: iovaRanges }],
  [uapi.IOMMU_IOAS_MAP, { size: uapi.iommu_ioas_map.size, handle: map }],
  [uapi.IOMMU_IOAS_UNMAP, { size: uapi.iommu_ioas_unmap.size, handle: unmap }],
  [uapi.IOMMU_OPTION, { size: uapi.iommu_option.size, handle: option }],
  [uapi.IOMMU_VFIO_IOAS, { size: uapi.iommu_vfio_ioas.size, handle: vfioIoas }],
  [uapi.IOMMU_HWPT_ALLOC, { size: uapi.iommu_hwpt_alloc.size, least: uapi.iommu_hwpt_alloc.minsz, handle: allocHwpt }],
  [uapi.IOMMU_GET_HW_INFO, { size: uapi.iommu_hw_info.size, least: uapi.iommu_hw_info.minsz, handle: hardwareInfo }],
  [uapi.IOMMU_HWPT_SET_DIRTY_TRACKING, { size: uapi.iommu_hwpt_set_dirty_tracking.size, handle: setDirtyTracking }],
  [uapi.IOMMU_HWPT_GET_DIRTY_BITMAP, { size: uapi.iommu_hwpt_get_dirty_bitmap.size, handle: getDirtyBitmap }],
]);

/** The size in front must be the structure's at least; what is beyond it must be 0: -EINVAL, -E2BIG, -EFAULT, -ENOTTY. */
export function* nativeIoctl(context: IommufdContext, process: Process, request: number, address: number): Step<number> {
  const handler = HANDLERS.get(request);
  if (handler === undefined) return -ENOTTY;
  const { size, least = size, handle } = handler;
  const { memory } = process;
  if (!memory.isReadable(address, 4)) return -EFAULT;
  const given = memory.getU32(address);
  if (given < least) return -EINVAL;
  if (!memory.isReadable(address, given)) return -EFAULT;
  for (let i = size; i < given; i++) if (memory.getU8(address + i) !== 0) return -E2BIG;
  const argument = new UserArgument(size);
  if (!argument.copyIn(process, address, Math.min(given, size))) return -EFAULT;
  yield* context.lock.lock();
  const result = yield* handle(context, process, argument, address);
  yield* context.lock.unlock();
  return result;
}

function* destroy(context: IommufdContext, _process: Process, { view }: UserArgument): Step<number> {
  const id = uapi.iommu_destroy.id.get(view);
  const object = context.find(id);
  if (object === null) return -ENOENT;
  if (object.kind === "hwpt") return (yield* context.destroyHwpt(id)) ? 0 : -EBUSY;
  if (object.kind !== "ioas") return -EBUSY;
  const { ioas } = object;
  yield* ioas.lock.lock();
  const isFree = !ioas.isAttached;
  if (isFree) yield* ioas.unmap(0n, LAST_IOVA, { bytes: 0n });
  yield* ioas.lock.unlock();
  if (isFree) context.destroy(id);
  return isFree ? 0 : -EBUSY;
}

function* allocIoas(context: IommufdContext, process: Process, argument: UserArgument, address: number): Step<number> {
  const { flags, out_ioas_id } = uapi.iommu_ioas_alloc;
  if (flags.get(argument.view) !== 0) return -EOPNOTSUPP;
  const ioas = context.newIoas();
  out_ioas_id.set(argument.view, ioas.id);
  const result = respond(process, argument, address);
  if (result !== 0) context.destroy(ioas.id);
  return result;
}

function* allowIovas(context: IommufdContext, process: Process, { view }: UserArgument): Step<number> {
  const layout = uapi.iommu_ioas_allow_iovas;
  if (layout.reserved.get(view) !== 0) return -EOPNOTSUPP;
  const ioas = context.ioas(layout.ioas_id.get(view));
  if (ioas === null) return -ENOENT;
  const ranges = readRanges(process, layout.allowed_iovas.getNumber(view), layout.num_iovas.get(view));
  if (typeof ranges === "number") return ranges;
  yield* ioas.lock.lock();
  const result = ioas.setAllowed(ranges);
  yield* ioas.lock.unlock();
  return result;
}

/** Ranges of more than one address that do not overlap; -EFAULT, -EINVAL. */
function readRanges(process: Process, address: number, count: number): IovaRange[] | number {
  const { size, start, last } = uapi.iommu_iova_range;
  const range = new UserArgument(size);
  const ranges: IovaRange[] = [];
  for (let i = 0; i < count; i++) {
    if (i >= MAX_RANGES || !range.copyIn(process, address + i * size)) return -EFAULT;
    const next = { start: start.getBig(range.view), end: last.getBig(range.view) };
    if (next.start >= next.end || ranges.some((each) => each.start <= next.end && next.start <= each.end)) return -EINVAL;
    ranges.push(next);
  }
  return ranges.sort((a, b) => (a.start < b.start ? -1 : 1));
}

function* iovaRanges(context: IommufdContext, process: Process, argument: UserArgument, address: number): Step<number> {
  const { view } = argument;
  const layout = uapi.iommu_ioas_iova_ranges;
  const { size, start, last } = uapi.iommu_iova_range;
  if (layout.reserved.get(view) !== 0) return -EOPNOTSUPP;
  const ioas = context.ioas(layout.ioas_id.get(view));
  if (ioas === null) return -ENOENT;
  yield* ioas.lock.lock();
  const { ranges, alignment } = ioas;
  yield* ioas.lock.unlock();
  const room = layout.num_iovas.get(view);
  const at = layout.allowed_iovas.getNumber(view);
  const range = new UserArgument(size);
  for (let i = 0; i < Math.min(room, ranges.length); i++) {
    start.setBig(range.view, ranges[i].start);
    last.setBig(range.view, ranges[i].end);
    if (!range.copyOut(process, at + i * size)) return -EFAULT;
  }
  layout.num_iovas.set(view, ranges.length);
  layout.out_iova_alignment.setBig(view, alignment);
  const result = respond(process, argument, address);
  return result === 0 && ranges.length > room ? -EMSGSIZE : result;
}

/** What MAP and COPY ask of the flags, after the numbers; null: -EINVAL. */
function requestOf(flags: number, iova: bigint, length: bigint): IoasRequest | null {
  if ((flags & ACCESS_FLAGS) === 0) return null;
  const isFixed = (flags & uapi.IOMMU_IOAS_MAP_FIXED_IOVA) !== 0;
  return { iova: isFixed ? iova : null, length, isReadable: (flags & uapi.IOMMU_IOAS_MAP_READABLE) !== 0, isWritable: (flags & uapi.IOMMU_IOAS_MAP_WRITEABLE) !== 0 };
}

function* map(context: IommufdContext, process: Process, argument: UserArgument, address: number): Step<number> {
  const { view } = argument;
  const layout = uapi.iommu_ioas_map;
  const flags = layout.flags.get(view);
  if ((flags & ~MAP_FLAGS) !== 0 || layout.reserved.get(view) !== 0) return -EOPNOTSUPP;
  const iova = layout.iova.getBig(view);
  const length = layout.length.getBig(view);
  if (iova === LAST_IOVA || length === LAST_IOVA) return -EOVERFLOW;
  const request = requestOf(flags, iova, length);
  if (request === null) return -EINVAL;
  const ioas = context.ioas(layout.ioas_id.get(view));
  if (ioas === null) return -ENOENT;
  const vaddr = layout.user_va.getBig(view);
  const pages = newPages(process, vaddr, length, request.isWritable);
  if (typeof pages === "number") return pages;
  yield* ioas.lock.lock();
  const result = yield* ioas.map(pages, 0n, request);
  yield* ioas.lock.unlock();
  if (result !== 0) return result;
  layout.iova.setBig(view, request.iova ?? 0n);
  return respond(process, argument, address);
}

/** The parts are mapped one behind the other; the last that fails takes the others with it. */
function* copy(context: IommufdContext, process: Process, argument: UserArgument, address: number): Step<number> {
  const { view } = argument;
  const layout = uapi.iommu_ioas_copy;
  const flags = layout.flags.get(view);
  if ((flags & ~MAP_FLAGS) !== 0) return -EOPNOTSUPP;
  const [length, from, to] = [layout.length.getBig(view), layout.src_iova.getBig(view), layout.dst_iova.getBig(view)];
  if ([length, from, to].includes(LAST_IOVA)) return -EOVERFLOW;
  const request = requestOf(flags, to, length);
  if (request === null) return -EINVAL;
  const source = context.ioas(layout.src_ioas_id.get(view));
  if (source === null) return -ENOENT;
  yield* source.lock.lock();
  const parts = source.slices(from, length);
  yield* source.lock.unlock();
  if (typeof parts === "number") return parts;
  const target = context.ioas(layout.dst_ioas_id.get(view));
  if (target === null) return -ENOENT;
  if (request.isWritable && parts.some((part) => !part.pages.isWritable)) return -EPERM;
  const result = yield* mapParts(target, parts, request);
  if (result !== 0) return result;
  layout.dst_iova.setBig(view, request.iova ?? 0n);
  return respond(process, argument, address);
}

function* mapParts(target: Ioas, parts: readonly IoasArea[], request: IoasRequest): Step<number> {
  yield* target.lock.lock();
  // One place for all of them: what the first finds may have no room behind it.
  const start = request.iova ?? target.place(parts[0].pages, parts[0].offset, request.length);
  let result = start < 0n ? Number(start) : 0;
  let done = 0n;
  for (let i = 0; i < parts.length && result === 0; i++) {
    result = yield* target.map(parts[i].pages, parts[i].offset, { ...request, iova: start + done, length: parts[i].length });
    if (result === 0) done += parts[i].length;
  }
  if (result === 0) request.iova = start;
  else if (done > 0n) yield* target.unmap(start, start + done - 1n, { bytes: 0n });
  yield* target.lock.unlock();
  return result;
}

function* unmap(context: IommufdContext, process: Process, argument: UserArgument, address: number): Step<number> {
  const { view } = argument;
  const layout = uapi.iommu_ioas_unmap;
  const ioas = context.ioas(layout.ioas_id.get(view));
  if (ioas === null) return -ENOENT;
  const iova = layout.iova.getBig(view);
  const length = layout.length.getBig(view);
  const isAll = iova === 0n && length === LAST_IOVA;
  if (!isAll && (iova === LAST_IOVA || length === LAST_IOVA)) return -EOVERFLOW;
  if (length === 0n) return -EINVAL;
  if (!isAll && iova + length - 1n > LAST_IOVA) return -EOVERFLOW;
  const unmapped = { bytes: 0n };
  yield* ioas.lock.lock();
  const result = yield* ioas.unmap(iova, isAll ? LAST_IOVA : iova + length - 1n, unmapped);
  yield* ioas.lock.unlock();
  if (result !== 0 && !(isAll && result === -ENOENT)) return result;
  layout.length.setBig(view, unmapped.bytes);
  return respond(process, argument, address);
}

function* option(context: IommufdContext, process: Process, argument: UserArgument, address: number): Step<number> {
  const { view } = argument;
  const layout = uapi.iommu_option;
  if (layout.reserved.get(view) !== 0) return -EOPNOTSUPP;
  const id = layout.option_id.get(view);
  const op = layout.op.get(view);
  const value = layout.val64.getBig(view);
  let result = -EOPNOTSUPP;
  if (id === uapi.IOMMU_OPTION_RLIMIT_MODE) result = rlimitMode(context, process, op, value, argument);
  else if (id === uapi.IOMMU_OPTION_HUGE_PAGES) result = yield* hugePages(context, op, value, argument);
  return result === 0 ? respond(process, argument, address) : result;
}

/** virq counts locked memory by process in either mode. */
function rlimitMode(context: IommufdContext, process: Process, op: number, value: bigint, { view }: UserArgument): number {
  const layout = uapi.iommu_option;
  if (layout.object_id.get(view) !== 0) return -EOPNOTSUPP;
  if (op === uapi.IOMMU_OPTION_OP_GET) {
    layout.val64.setBig(view, context.countsByProcess ? 1n : 0n);
    return 0;
  }
  if (op !== uapi.IOMMU_OPTION_OP_SET) return -EOPNOTSUPP;
  if (!process.capabilities.has("SYS_RESOURCE")) return -EPERM;
  if (!context.isEmpty) return -EBUSY;
  if (value > 1n) return -EINVAL;
  context.countsByProcess = value === 1n;
  return 0;
}

function* hugePages(context: IommufdContext, op: number, value: bigint, { view }: UserArgument): Step<number> {
  const layout = uapi.iommu_option;
  const ioas = context.ioas(layout.object_id.get(view));
  if (ioas === null) return -ENOENT;
  if (op !== uapi.IOMMU_OPTION_OP_GET && op !== uapi.IOMMU_OPTION_OP_SET) return -EOPNOTSUPP;
  if (op === uapi.IOMMU_OPTION_OP_SET && value > 1n) return -EINVAL;
  yield* ioas.lock.lock();
  let result = 0;
  if (op === uapi.IOMMU_OPTION_OP_GET) layout.val64.setBig(view, ioas.usesLargePages ? 1n : 0n);
  else result = ioas.setLargePages(value === 1n);
  yield* ioas.lock.unlock();
  return result;
}

function* vfioIoas(context: IommufdContext, process: Process, argument: UserArgument, address: number): Step<number> {
  const { view } = argument;
  const layout = uapi.iommu_vfio_ioas;
  if (layout.reserved.get(view) !== 0) return -EOPNOTSUPP;
  switch (layout.op.get(view)) {
    case uapi.IOMMU_VFIO_IOAS_GET: {
      const { compatIoas } = context;
      if (compatIoas === null) return -ENODEV;
      layout.ioas_id.set(view, compatIoas.id);
      return respond(process, argument, address);
    }
    case uapi.IOMMU_VFIO_IOAS_SET: {
      const ioas = context.ioas(layout.ioas_id.get(view));
      if (ioas === null) return -ENOENT;
      context.compatIoas = ioas;
      return 0;
    }
    case uapi.IOMMU_VFIO_IOAS_CLEAR:
      context.compatIoas = null;
      return 0;
    default:
      return -EOPNOTSUPP;
  }
}
