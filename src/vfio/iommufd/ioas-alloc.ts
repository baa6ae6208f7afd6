import type { RangeList } from "../../host/range-list.js";
import { EINVAL, ENOSPC, EOVERFLOW } from "../../uapi/errno.js";
import { type IovaRange, isInside, LAST_IOVA } from "../iommu/iova-ranges.js";
import type { IoasArea } from "./ioas-area.js";

const PAGE = 4096n;
const WHOLE: readonly IovaRange[] = [{ start: PAGE, end: LAST_IOVA - PAGE }];

type Areas = RangeList<bigint, IoasArea>;

/** What an address is looked for: `near` gives its place in a page, and the alignment that large pages like. */
export interface IovaWish {
  readonly near: bigint;
  readonly length: bigint;
  /** Of the address space. */
  readonly alignment: bigint;
}

export function isAllowed(ranges: readonly IovaRange[], iova: bigint, length: bigint): boolean {
  return isInside(ranges, iova, length);
}

/**
 * The lowest address that is free, allowed and not reserved, never 0 (iopt_alloc_iova): as aligned as the memory is, but not
 * more than the length. -EOVERFLOW, -EINVAL, -ENOSPC.
 */
export function allocateIova(ranges: readonly IovaRange[], allowed: readonly IovaRange[], taken: Areas, wish: IovaWish): bigint {
  const { near, length } = wish;
  if (length === 0n || length >= LAST_IOVA / 2n) return BigInt(-EOVERFLOW);
  let alignment = 1n;
  while (alignment < length) alignment <<= 1n;
  if (near !== 0n && (near & -near) < alignment) alignment = near & -near;
  if (alignment < wish.alignment) return BigInt(-EINVAL);
  for (const wide of allowed.length > 0 ? allowed : WHOLE)
    for (const range of ranges) {
      const start = wide.start > range.start ? wide.start : range.start;
      const end = wide.end < range.end ? wide.end : range.end;
      const found = firstFree(start, end, taken, { length, alignment, inPage: near % PAGE });
      if (found >= 0n) return found;
    }
  return BigInt(-ENOSPC);
}

function firstFree(start: bigint, end: bigint, taken: Areas, fit: { length: bigint; alignment: bigint; inPage: bigint }): bigint {
  const place = (from: bigint): bigint => ((from + fit.alignment - 1n) & -fit.alignment) | fit.inPage;
  let at = place(start);
  for (const area of taken.in(at, end)) {
    if (area.iova >= at + fit.length) break;
    if (area.iova + area.length > at) at = place(area.iova + area.length);
  }
  return at + fit.length - 1n <= end ? at : -1n;
}
