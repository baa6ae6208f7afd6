import type { IommuDomain } from "../../host/iommu/domain.js";
import type { IommuGroup, ReservedRegion } from "../../host/iommu/group.js";

/** Addresses that user mappings may lie in; `end` is inclusive. */
export interface IovaRange {
  readonly start: bigint;
  readonly end: bigint;
}

export const LAST_IOVA = 0xffff_ffff_ffff_ffffn;

/** What no user mapping may cover (vfio.md 20.2): of the direct ones, those that may be relaxed do not count. */
export function excludes(region: ReservedRegion): boolean {
  return region.kind !== "direct-relaxable";
}

/**
 * The ranges that all groups and the domains they share allow: the common aperture without the reserved regions, ascending. A
 * domain keeps the aperture that it was made with, whoever of its groups stays (vfio_iommu_aper_expand).
 */
export function commonRanges(groups: readonly IommuGroup[], domains: readonly IommuDomain[]): IovaRange[] {
  const end = [...groups, ...domains].reduce((least, { apertureEnd }) => (apertureEnd < least ? apertureEnd : least), LAST_IOVA);
  let ranges: IovaRange[] = [{ start: 0n, end }];
  for (const group of groups) for (const region of group.reserved.filter(excludes)) ranges = ranges.flatMap((range) => without(range, region));
  return ranges;
}

/** Would a group that joins lose what is mapped, to the end of its aperture or to what it reserves (host-irq.md K24)? */
export function collides(mapped: readonly { readonly iova: bigint; readonly size: bigint }[], { apertureEnd, reserved }: Pick<IommuGroup, "apertureEnd" | "reserved">): boolean {
  const taken = reserved.filter(excludes);
  return mapped.some(({ iova, size }) => iova + size - 1n > apertureEnd || taken.some((region) => iova <= region.end && region.start < iova + size));
}

function without(range: IovaRange, hole: IovaRange): IovaRange[] {
  if (hole.end < range.start || hole.start > range.end) return [range];
  const parts: IovaRange[] = [];
  if (hole.start > range.start) parts.push({ start: range.start, end: hole.start - 1n });
  if (hole.end < range.end) parts.push({ start: hole.end + 1n, end: range.end });
  return parts;
}

/** Does [iova, iova + size) lie inside of one range? */
export function isInside(ranges: readonly IovaRange[], iova: bigint, size: bigint): boolean {
  return ranges.some((range) => iova >= range.start && iova + size - 1n <= range.end);
}
