// linux/iommufd.h: requests and structures of /dev/iommu that VFIO's users need (vfio.md 6, 19). Each begins with its size.
import { _IO } from "./ioctl.js";
import { struct, u16, u32, u64 } from "./struct.js";
import { VFIO_TYPE } from "./vfio.js";

export const IOMMUFD_CMD_BASE = 0x80;
const request = (n: number): number => _IO(VFIO_TYPE, IOMMUFD_CMD_BASE + n);

export const IOMMU_DESTROY = request(0);
export const IOMMU_IOAS_ALLOC = request(1);
export const IOMMU_IOAS_ALLOW_IOVAS = request(2);
export const IOMMU_IOAS_COPY = request(3);
export const IOMMU_IOAS_IOVA_RANGES = request(4);
export const IOMMU_IOAS_MAP = request(5);
export const IOMMU_IOAS_UNMAP = request(6);
export const IOMMU_OPTION = request(7);
export const IOMMU_VFIO_IOAS = request(8);
export const IOMMU_HWPT_ALLOC = request(9);
export const IOMMU_GET_HW_INFO = request(10);
export const IOMMU_HWPT_SET_DIRTY_TRACKING = request(11);
export const IOMMU_HWPT_GET_DIRTY_BITMAP = request(12);

export const iommu_destroy = struct("iommu_destroy", 8, { size_: u32(0), id: u32(4) });
export const iommu_ioas_alloc = struct("iommu_ioas_alloc", 12, { size_: u32(0), flags: u32(4), out_ioas_id: u32(8) });

/** `last` is inclusive. */
export const iommu_iova_range = struct("iommu_iova_range", 16, { start: u64(0), last: u64(8) });
/** `allowed_iovas` points to `num_iovas` iommu_iova_range. */
export const iommu_ioas_iova_ranges = struct("iommu_ioas_iova_ranges", 32, {
  size_: u32(0),
  ioas_id: u32(4),
  num_iovas: u32(8),
  reserved: u32(12),
  allowed_iovas: u64(16),
  out_iova_alignment: u64(24),
});
export const iommu_ioas_allow_iovas = struct("iommu_ioas_allow_iovas", 24, {
  size_: u32(0),
  ioas_id: u32(4),
  num_iovas: u32(8),
  reserved: u32(12),
  allowed_iovas: u64(16),
});

export const IOMMU_IOAS_MAP_FIXED_IOVA = 1 << 0;
export const IOMMU_IOAS_MAP_WRITEABLE = 1 << 1;
export const IOMMU_IOAS_MAP_READABLE = 1 << 2;
/** `iova` goes in with FIXED_IOVA, and comes out. */
export const iommu_ioas_map = struct("iommu_ioas_map", 40, {
  size_: u32(0),
  flags: u32(4),
  ioas_id: u32(8),
  reserved: u32(12),
  user_va: u64(16),
  length: u64(24),
  iova: u64(32),
});
export const iommu_ioas_copy = struct("iommu_ioas_copy", 40, {
  size_: u32(0),
  flags: u32(4),
  dst_ioas_id: u32(8),
  src_ioas_id: u32(12),
  length: u64(16),
  dst_iova: u64(24),
  src_iova: u64(32),
});
/** 0 and 2^64 - 1 mean all; `length` comes out as the bytes unmapped. */
export const iommu_ioas_unmap = struct("iommu_ioas_unmap", 24, { size_: u32(0), ioas_id: u32(4), iova: u64(8), length: u64(16) });

export const IOMMU_OPTION_RLIMIT_MODE = 0;
export const IOMMU_OPTION_HUGE_PAGES = 1;
export const IOMMU_OPTION_OP_SET = 0;
export const IOMMU_OPTION_OP_GET = 1;
export const iommu_option = struct("iommu_option", 24, {
  size_: u32(0),
  option_id: u32(4),
  op: u16(8),
  reserved: u16(10),
  object_id: u32(12),
  val64: u64(16),
});

export const IOMMU_VFIO_IOAS_GET = 0;
export const IOMMU_VFIO_IOAS_SET = 1;
export const IOMMU_VFIO_IOAS_CLEAR = 2;
export const iommu_vfio_ioas = struct("iommu_vfio_ioas", 12, { size_: u32(0), ioas_id: u32(4), op: u16(8), reserved: u16(10) });

export const IOMMU_HWPT_ALLOC_NEST_PARENT = 1 << 0;
export const IOMMU_HWPT_ALLOC_DIRTY_TRACKING = 1 << 1;
export const IOMMU_HWPT_DATA_NONE = 0;
/** From `data_type` on it may be left away. `pt_id` names an address space. */
export const iommu_hwpt_alloc = struct(
  "iommu_hwpt_alloc",
  48,
  { size_: u32(0), flags: u32(4), dev_id: u32(8), pt_id: u32(12), out_hwpt_id: u32(16), reserved: u32(20), data_type: u32(24), data_len: u32(28), data_uptr: u64(32), fault_id: u32(40), reserved2: u32(44) },
  24,
);

export const IOMMU_HW_INFO_TYPE_NONE = 0;
export const IOMMU_HW_CAP_DIRTY_TRACKING = 1 << 0;
/** `data_uptr` points to `data_len` bytes for what is the hardware's own; `out_capabilities` may be left away. */
export const iommu_hw_info = struct(
  "iommu_hw_info",
  40,
  { size_: u32(0), flags: u32(4), dev_id: u32(8), data_len: u32(12), data_uptr: u64(16), out_data_type: u32(24), reserved: u32(28), out_capabilities: u64(32) },
  32,
);

export const IOMMU_HWPT_DIRTY_TRACKING_ENABLE = 1 << 0;
export const iommu_hwpt_set_dirty_tracking = struct("iommu_hwpt_set_dirty_tracking", 16, { size_: u32(0), flags: u32(4), hwpt_id: u32(8), reserved: u32(12) });

export const IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR = 1 << 0;
/** `data` points to a bit for each `page_size` bytes, in words of 64. */
export const iommu_hwpt_get_dirty_bitmap = struct("iommu_hwpt_get_dirty_bitmap", 48, {
  size_: u32(0),
  hwpt_id: u32(4),
  flags: u32(8),
  reserved: u32(12),
  iova: u64(16),
  length: u64(24),
  page_size: u64(32),
  data: u64(40),
});
