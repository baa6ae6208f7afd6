// linux/vfio.h: requests, flags and structures (vfio.md 3, 15.1). Data that follows a structure begins at its `size`.
import { _IO } from "./ioctl.js";
import { bytes, s32, struct, u16, u32, u64, u8 } from "./struct.js";

export const VFIO_TYPE = 0x3b;
export const VFIO_BASE = 100;
export const VFIO_API_VERSION = 0;

// --- Requests: no size, no direction; a number used twice is told apart by the file it is issued on ---

const request = (n: number): number => _IO(VFIO_TYPE, VFIO_BASE + n);

// Container.
export const VFIO_GET_API_VERSION = request(0);
export const VFIO_CHECK_EXTENSION = request(1);
export const VFIO_SET_IOMMU = request(2);
// Group.
export const VFIO_GROUP_GET_STATUS = request(3);
export const VFIO_GROUP_SET_CONTAINER = request(4);
export const VFIO_GROUP_UNSET_CONTAINER = request(5);
export const VFIO_GROUP_GET_DEVICE_FD = request(6);
// Device.
export const VFIO_DEVICE_GET_INFO = request(7);
export const VFIO_DEVICE_GET_REGION_INFO = request(8);
export const VFIO_DEVICE_GET_IRQ_INFO = request(9);
export const VFIO_DEVICE_SET_IRQS = request(10);
export const VFIO_DEVICE_RESET = request(11);
export const VFIO_DEVICE_GET_PCI_HOT_RESET_INFO = request(12);
export const VFIO_DEVICE_PCI_HOT_RESET = request(13);
export const VFIO_DEVICE_QUERY_GFX_PLANE = request(14);
export const VFIO_DEVICE_GET_GFX_DMABUF = request(15);
export const VFIO_DEVICE_IOEVENTFD = request(16);
export const VFIO_DEVICE_FEATURE = request(17);
// Device opened as a character device.
export const VFIO_DEVICE_BIND_IOMMUFD = request(18);
export const VFIO_DEVICE_ATTACH_IOMMUFD_PT = request(19);
export const VFIO_DEVICE_DETACH_IOMMUFD_PT = request(20);
// Migration data file.
export const VFIO_MIG_GET_PRECOPY_INFO = request(21);
// Container with a backend.
export const VFIO_IOMMU_GET_INFO = request(12);
export const VFIO_IOMMU_SPAPR_TCE_GET_INFO = request(12);
export const VFIO_IOMMU_MAP_DMA = request(13);
export const VFIO_IOMMU_UNMAP_DMA = request(14);
export const VFIO_IOMMU_ENABLE = request(15);
export const VFIO_IOMMU_DISABLE = request(16);
export const VFIO_IOMMU_DIRTY_PAGES = request(17);
export const VFIO_IOMMU_SPAPR_REGISTER_MEMORY = request(17);
export const VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY = request(18);
export const VFIO_IOMMU_SPAPR_TCE_CREATE = request(19);
export const VFIO_IOMMU_SPAPR_TCE_REMOVE = request(20);
export const VFIO_EEH_PE_OP = request(21);

// --- Extensions, also the arguments of VFIO_SET_IOMMU ---

export const VFIO_TYPE1_IOMMU = 1;
export const VFIO_SPAPR_TCE_IOMMU = 2;
export const VFIO_TYPE1v2_IOMMU = 3;
export const VFIO_DMA_CC_IOMMU = 4;
export const VFIO_EEH = 5;
export const VFIO_TYPE1_NESTING_IOMMU = 6;
export const VFIO_SPAPR_TCE_v2_IOMMU = 7;
export const VFIO_NOIOMMU_IOMMU = 8;
export const VFIO_UNMAP_ALL = 9;
export const VFIO_UPDATE_VADDR = 10;
/** virq's own: "XEN" (vfio.md 3.2). */
export const VFIO_XEN_IOMMU = 0x58454e;

// --- Group and device ---

export const vfio_group_status = struct("vfio_group_status", 8, { argsz: u32(0), flags: u32(4) });
export const VFIO_GROUP_FLAGS_VIABLE = 1 << 0;
export const VFIO_GROUP_FLAGS_CONTAINER_SET = 1 << 1;

export const vfio_device_info = struct(
  "vfio_device_info",
  24,
  { argsz: u32(0), flags: u32(4), num_regions: u32(8), num_irqs: u32(12), cap_offset: u32(16), pad: u32(20) },
  16,
);
export const VFIO_DEVICE_FLAGS_RESET = 1 << 0;
export const VFIO_DEVICE_FLAGS_PCI = 1 << 1;
export const VFIO_DEVICE_FLAGS_PLATFORM = 1 << 2;
export const VFIO_DEVICE_FLAGS_AMBA = 1 << 3;
export const VFIO_DEVICE_FLAGS_CCW = 1 << 4;
export const VFIO_DEVICE_FLAGS_AP = 1 << 5;
export const VFIO_DEVICE_FLAGS_FSL_MC = 1 << 6;
export const VFIO_DEVICE_FLAGS_CAPS = 1 << 7;
export const VFIO_DEVICE_FLAGS_CDX = 1 << 8;

/** Sizes of atomic operations that may meet memory of the device's: of its physical function's, for a virtual one. */
export const VFIO_DEVICE_INFO_CAP_PCI_ATOMIC_COMP = 5;
export const vfio_device_info_cap_pci_atomic_comp = struct("vfio_device_info_cap_pci_atomic_comp", 16, {
  header: bytes(0, 8),
  flags: u32(8),
  reserved: u32(12),
});
export const VFIO_PCI_ATOMIC_COMP32 = 1 << 0;
export const VFIO_PCI_ATOMIC_COMP64 = 1 << 1;
export const VFIO_PCI_ATOMIC_COMP128 = 1 << 2;

export const vfio_region_info = struct("vfio_region_info", 32, {
  argsz: u32(0),
  flags: u32(4),
  index: u32(8),
  cap_offset: u32(12),
  size_: u64(16),
  offset: u64(24),
});
export const VFIO_REGION_INFO_FLAG_READ = 1 << 0;
export const VFIO_REGION_INFO_FLAG_WRITE = 1 << 1;
export const VFIO_REGION_INFO_FLAG_MMAP = 1 << 2;
export const VFIO_REGION_INFO_FLAG_CAPS = 1 << 3;

/** `next` counts from the start of the info structure; 0 ends the chain. */
export const vfio_info_cap_header = struct("vfio_info_cap_header", 8, { id: u16(0), version: u16(2), next: u32(4) });

export const VFIO_REGION_INFO_CAP_SPARSE_MMAP = 1;
export const vfio_region_info_cap_sparse_mmap = struct("vfio_region_info_cap_sparse_mmap", 16, {
  header: bytes(0, 8),
  nr_areas: u32(8),
  reserved: u32(12),
});
export const vfio_region_sparse_mmap_area = struct("vfio_region_sparse_mmap_area", 16, { offset: u64(0), size_: u64(8) });

export const VFIO_REGION_INFO_CAP_TYPE = 2;
export const vfio_region_info_cap_type = struct("vfio_region_info_cap_type", 16, {
  header: bytes(0, 8),
  type: u32(8),
  subtype: u32(12),
});
/** With this bit the low 16 bits of `type` are a PCI vendor. */
export const VFIO_REGION_TYPE_PCI_VENDOR_TYPE = 0x8000_0000;
export const VFIO_REGION_TYPE_PCI_VENDOR_MASK = 0xffff;
/** Header only. */
export const VFIO_REGION_INFO_CAP_MSIX_MAPPABLE = 3;

export const vfio_irq_info = struct("vfio_irq_info", 16, { argsz: u32(0), flags: u32(4), index: u32(8), count: u32(12) });
export const VFIO_IRQ_INFO_EVENTFD = 1 << 0;
export const VFIO_IRQ_INFO_MASKABLE = 1 << 1;
export const VFIO_IRQ_INFO_AUTOMASKED = 1 << 2;
export const VFIO_IRQ_INFO_NORESIZE = 1 << 3;

/** Followed by `count` u8 (DATA_BOOL) or s32 (DATA_EVENTFD). */
export const vfio_irq_set = struct("vfio_irq_set", 20, {
  argsz: u32(0),
  flags: u32(4),
  index: u32(8),
  start: u32(12),
  count: u32(16),
});
export const VFIO_IRQ_SET_DATA_NONE = 1 << 0;
export const VFIO_IRQ_SET_DATA_BOOL = 1 << 1;
export const VFIO_IRQ_SET_DATA_EVENTFD = 1 << 2;
export const VFIO_IRQ_SET_ACTION_MASK = 1 << 3;
export const VFIO_IRQ_SET_ACTION_UNMASK = 1 << 4;
export const VFIO_IRQ_SET_ACTION_TRIGGER = 1 << 5;
export const VFIO_IRQ_SET_DATA_TYPE_MASK = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_DATA_BOOL | VFIO_IRQ_SET_DATA_EVENTFD;
export const VFIO_IRQ_SET_ACTION_TYPE_MASK =
  VFIO_IRQ_SET_ACTION_MASK | VFIO_IRQ_SET_ACTION_UNMASK | VFIO_IRQ_SET_ACTION_TRIGGER;

// --- PCI ---

export const VFIO_PCI_BAR0_REGION_INDEX = 0;
export const VFIO_PCI_BAR1_REGION_INDEX = 1;
export const VFIO_PCI_BAR2_REGION_INDEX = 2;
export const VFIO_PCI_BAR3_REGION_INDEX = 3;
export const VFIO_PCI_BAR4_REGION_INDEX = 4;
export const VFIO_PCI_BAR5_REGION_INDEX = 5;
export const VFIO_PCI_ROM_REGION_INDEX = 6;
export const VFIO_PCI_CONFIG_REGION_INDEX = 7;
export const VFIO_PCI_VGA_REGION_INDEX = 8;
/** Device-specific regions begin here. */
export const VFIO_PCI_NUM_REGIONS = 9;
/** File offset of a region = index << 40. */
export const VFIO_PCI_OFFSET_SHIFT = 40;

export const VFIO_PCI_INTX_IRQ_INDEX = 0;
export const VFIO_PCI_MSI_IRQ_INDEX = 1;
export const VFIO_PCI_MSIX_IRQ_INDEX = 2;
export const VFIO_PCI_ERR_IRQ_INDEX = 3;
export const VFIO_PCI_REQ_IRQ_INDEX = 4;
export const VFIO_PCI_NUM_IRQS = 5;

/** Followed by `count` vfio_pci_dependent_device. */
export const vfio_pci_hot_reset_info = struct("vfio_pci_hot_reset_info", 12, { argsz: u32(0), flags: u32(4), count: u32(8) });
/** With FLAG_DEV_ID the first word is a `devid`. */
export const vfio_pci_dependent_device = struct("vfio_pci_dependent_device", 8, {
  group_id: u32(0),
  devid: u32(0),
  segment: u16(4),
  bus: u8(6),
  devfn: u8(7),
});
export const VFIO_PCI_HOT_RESET_FLAG_DEV_ID = 1 << 0;
export const VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED = 1 << 1;
export const VFIO_PCI_DEVID_OWNED = 0;
/** -1, as the u32 that `devid` holds. */
export const VFIO_PCI_DEVID_NOT_OWNED = 0xffff_ffff;

/** Followed by `count` s32 group descriptors. */
export const vfio_pci_hot_reset = struct("vfio_pci_hot_reset", 12, { argsz: u32(0), flags: u32(4), count: u32(8) });

export const vfio_device_ioeventfd = struct(
  "vfio_device_ioeventfd",
  32,
  { argsz: u32(0), flags: u32(4), offset: u64(8), data: u64(16), fd: s32(24), reserved: u32(28) },
  28,
);
export const VFIO_DEVICE_IOEVENTFD_8 = 1 << 0;
export const VFIO_DEVICE_IOEVENTFD_16 = 1 << 1;
export const VFIO_DEVICE_IOEVENTFD_32 = 1 << 2;
export const VFIO_DEVICE_IOEVENTFD_64 = 1 << 3;
export const VFIO_DEVICE_IOEVENTFD_SIZE_MASK = 0xf;

// --- iommufd ---

export const vfio_device_bind_iommufd = struct(
  "vfio_device_bind_iommufd",
  24,
  { argsz: u32(0), flags: u32(4), iommufd: s32(8), out_devid: u32(12), token_uuid_ptr: u64(16) },
  16,
);
export const VFIO_DEVICE_BIND_FLAG_TOKEN = 1 << 0;
/** `pt_id` goes in and comes out. */
export const vfio_device_attach_iommufd_pt = struct(
  "vfio_device_attach_iommufd_pt",
  16,
  { argsz: u32(0), flags: u32(4), pt_id: u32(8), pasid: u32(12) },
  12,
);
export const VFIO_DEVICE_ATTACH_PASID = 1 << 0;
export const vfio_device_detach_iommufd_pt = struct(
  "vfio_device_detach_iommufd_pt",
  12,
  { argsz: u32(0), flags: u32(4), pasid: u32(8) },
  8,
);
export const VFIO_DEVICE_DETACH_PASID = 1 << 0;

export * from "./vfio-feature.js";
export * from "./vfio-iommu.js";
