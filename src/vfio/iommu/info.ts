import type { Process } from "../../host/process.js";
import { EFAULT, EINVAL } from "../../uapi/errno.js";
import {
  VFIO_IOMMU_INFO_CAPS,
  VFIO_IOMMU_INFO_PGSIZES,
  VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE,
  VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION,
  VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL,
  vfio_info_cap_header,
  vfio_iommu_type1_info,
  vfio_iommu_type1_info_cap_iova_range,
  vfio_iommu_type1_info_cap_migration,
  vfio_iommu_type1_info_dma_avail,
  vfio_iova_range,
} from "../../uapi/vfio.js";
import { UserArgument } from "../../host/user-argument.js";
import { MAX_BITMAP_BYTES } from "./type1-dirty.js";
import type { IovaRange } from "./iova-ranges.js";

const layout = vfio_iommu_type1_info;
const argument = new UserArgument(layout.size);

/** What IOMMU_GET_INFO tells of an address space. */
export interface AddressSpaceInfo {
  readonly pageSizes: bigint;
  readonly ranges: readonly IovaRange[];
  /** Mappings that may still be made. */
  readonly available: number;
  /** Can dirty pages be asked for? */
  readonly tracksDirtyPages: boolean;
}

/** IOMMU_GET_INFO (vfio.md 17.4): page sizes, and a chain of capabilities where the caller has room for all of it. */
export function copyOutInfo(process: Process, address: number, info: AddressSpaceInfo): number {
  const chain = capabilities(info);
  const { view } = argument;
  if (!argument.copyIn(process, address, layout.minsz)) return -EFAULT;
  const given = layout.argsz.get(view);
  if (given < layout.minsz) return -EINVAL;
  const needed = layout.size + chain.byteLength;
  const fits = given >= needed;
  layout.argsz.set(view, fits ? given : needed);
  layout.flags.set(view, VFIO_IOMMU_INFO_PGSIZES | VFIO_IOMMU_INFO_CAPS);
  layout.iova_pgsizes.setBig(view, info.pageSizes);
  layout.cap_offset.set(view, fits ? layout.size : 0);
  layout.pad.set(view, 0);
  if (fits && !process.memory.copyOut(address + layout.size, new Uint8Array(chain))) return -EFAULT;
  return argument.copyOut(process, address, Math.min(given, layout.size)) ? 0 : -EFAULT;
}

/** Migration, mappings left, address ranges: each at a multiple of 8, `next` counted from the structure's start. */
function capabilities({ pageSizes, available, ranges, tracksDirtyPages }: AddressSpaceInfo): ArrayBuffer {
  const migration = vfio_iommu_type1_info_cap_migration;
  const avail = vfio_iommu_type1_info_dma_avail;
  const iova = vfio_iommu_type1_info_cap_iova_range;
  const availAt = tracksDirtyPages ? migration.size : 0;
  const iovaAt = availAt + Math.ceil(avail.size / 8) * 8;
  const chain = new ArrayBuffer(iovaAt + iova.size + ranges.length * vfio_iova_range.size);
  const view = new DataView(chain);
  if (tracksDirtyPages) {
    header(view, 0, VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION, availAt);
    migration.pgsize_bitmap.setBig(view, pageSizes & -pageSizes);
    migration.max_dirty_bitmap_size.setBig(view, MAX_BITMAP_BYTES);
  }
  header(view, availAt, VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, iovaAt);
  avail.avail.set(view, available, availAt);
  header(view, iovaAt, VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, 0);
  iova.nr_iovas.set(view, ranges.length, iovaAt);
  ranges.forEach((range, i) => {
    const at = iovaAt + iova.size + i * vfio_iova_range.size;
    vfio_iova_range.start.setBig(view, range.start, at);
    vfio_iova_range.end.setBig(view, range.end, at);
  });
  return chain;
}

function header(view: DataView, at: number, id: number, next: number): void {
  vfio_info_cap_header.id.set(view, id, at);
  vfio_info_cap_header.version.set(view, 1, at);
  vfio_info_cap_header.next.set(view, next === 0 ? 0 : layout.size + next, at);
}
