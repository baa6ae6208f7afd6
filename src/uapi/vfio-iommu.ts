// linux/vfio.h, second half: what a container with a backend understands (vfio.md 3.3). Requests are in vfio.ts.
import { bytes, struct, u32, u64 } from "./struct.js";

// --- type1 ---

export const vfio_iommu_type1_info = struct(
  "vfio_iommu_type1_info",
  24,
  { argsz: u32(0), flags: u32(4), iova_pgsizes: u64(8), cap_offset: u32(16), pad: u32(20) },
  16,
);
export const VFIO_IOMMU_INFO_PGSIZES = 1 << 0;
export const VFIO_IOMMU_INFO_CAPS = 1 << 1;

export const VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE = 1;
/** Followed by `nr_iovas` vfio_iova_range. */
export const vfio_iommu_type1_info_cap_iova_range = struct("vfio_iommu_type1_info_cap_iova_range", 16, {
  header: bytes(0, 8),
  nr_iovas: u32(8),
  reserved: u32(12),
});
/** `end` is inclusive. */
export const vfio_iova_range = struct("vfio_iova_range", 16, { start: u64(0), end: u64(8) });

export const VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION = 2;
export const vfio_iommu_type1_info_cap_migration = struct("vfio_iommu_type1_info_cap_migration", 32, {
  header: bytes(0, 8),
  flags: u32(8),
  pgsize_bitmap: u64(16),
  max_dirty_bitmap_size: u64(24),
});

export const VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL = 3;
/** In a chain the next element begins at a multiple of 8. */
export const vfio_iommu_type1_info_dma_avail = struct("vfio_iommu_type1_info_dma_avail", 12, { header: bytes(0, 8), avail: u32(8) });

export const vfio_iommu_type1_dma_map = struct("vfio_iommu_type1_dma_map", 32, {
  argsz: u32(0),
  flags: u32(4),
  vaddr: u64(8),
  iova: u64(16),
  size_: u64(24),
});
export const VFIO_DMA_MAP_FLAG_READ = 1 << 0;
export const VFIO_DMA_MAP_FLAG_WRITE = 1 << 1;
export const VFIO_DMA_MAP_FLAG_VADDR = 1 << 2;

/** With GET_DIRTY_BITMAP a vfio_bitmap follows; `size_` comes back as the bytes unmapped. */
export const vfio_iommu_type1_dma_unmap = struct("vfio_iommu_type1_dma_unmap", 24, {
  argsz: u32(0),
  flags: u32(4),
  iova: u64(8),
  size_: u64(16),
});
export const VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP = 1 << 0;
export const VFIO_DMA_UNMAP_FLAG_ALL = 1 << 1;
export const VFIO_DMA_UNMAP_FLAG_VADDR = 1 << 2;

/** `size_` is the bitmap's, in bytes. */
export const vfio_bitmap = struct("vfio_bitmap", 24, { pgsize: u64(0), size_: u64(8), data: u64(16) });

/** With FLAG_GET_BITMAP a vfio_iommu_type1_dirty_bitmap_get follows. */
export const vfio_iommu_type1_dirty_bitmap = struct("vfio_iommu_type1_dirty_bitmap", 8, { argsz: u32(0), flags: u32(4) });
export const VFIO_IOMMU_DIRTY_PAGES_FLAG_START = 1 << 0;
export const VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP = 1 << 1;
export const VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP = 1 << 2;
/** `bitmap` is a vfio_bitmap. */
export const vfio_iommu_type1_dirty_bitmap_get = struct("vfio_iommu_type1_dirty_bitmap_get", 40, {
  iova: u64(0),
  size_: u64(8),
  bitmap: bytes(16, 24),
});

// --- SPAPR TCE ---

export const vfio_iommu_spapr_tce_info = struct(
  "vfio_iommu_spapr_tce_info",
  32,
  {
    argsz: u32(0),
    flags: u32(4),
    dma32_window_start: u32(8),
    dma32_window_size: u32(12),
    ddw: { pgsizes: u64(16), max_dynamic_windows_supported: u32(24), levels: u32(28) },
  },
  16,
);
export const VFIO_IOMMU_SPAPR_INFO_DDW = 1 << 0;

export const vfio_iommu_spapr_register_memory = struct("vfio_iommu_spapr_register_memory", 24, {
  argsz: u32(0),
  flags: u32(4),
  vaddr: u64(8),
  size_: u64(16),
});

/** `start_addr` comes out. */
export const vfio_iommu_spapr_tce_create = struct("vfio_iommu_spapr_tce_create", 40, {
  argsz: u32(0),
  flags: u32(4),
  page_shift: u32(8),
  window_size: u64(16),
  levels: u32(24),
  start_addr: u64(32),
});

export const vfio_iommu_spapr_tce_remove = struct("vfio_iommu_spapr_tce_remove", 16, {
  argsz: u32(0),
  flags: u32(4),
  start_addr: u64(8),
});
