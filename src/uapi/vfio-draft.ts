// The interface that was proposed in December 2011 (vfio.md 21.6; "VFIO core framework", the vfio.h of the series): no
// containers, groups merge by their files. Requests count from the same base as today's and mean something else.
import { _IO } from "./ioctl.js";
import { struct, u32, u64 } from "./struct.js";
import { VFIO_BASE, VFIO_TYPE } from "./vfio.js";

const request = (n: number): number => _IO(VFIO_TYPE, VFIO_BASE + n);

export const DRAFT_GROUP_GET_INFO = request(0);
export const DRAFT_GROUP_MERGE = request(1);
export const DRAFT_GROUP_UNMERGE = request(2);
export const DRAFT_GROUP_GET_IOMMU_FD = request(3);
export const DRAFT_GROUP_GET_DEVICE_FD = request(4);
export const DRAFT_IOMMU_GET_INFO = request(5);
export const DRAFT_IOMMU_MAP_DMA = request(6);
export const DRAFT_IOMMU_UNMAP_DMA = request(7);
export const DRAFT_DEVICE_GET_INFO = request(8);
export const DRAFT_DEVICE_GET_REGION_INFO = request(9);
export const DRAFT_DEVICE_GET_IRQ_INFO = request(10);
export const DRAFT_DEVICE_SET_IRQ_EVENTFDS = request(11);
export const DRAFT_DEVICE_UNMASK_IRQ = request(12);
export const DRAFT_DEVICE_SET_UNMASK_IRQ_EVENTFDS = request(13);
export const DRAFT_DEVICE_RESET = request(14);

export const draft_group_info = struct("vfio_group_info", 8, { argsz: u32(0), flags: u32(4) });
export const DRAFT_GROUP_FLAGS_VIABLE = 1 << 0;
/** An address space is open: it is its opener's. */
export const DRAFT_GROUP_FLAGS_MM_LOCKED = 1 << 1;

export const draft_iommu_info = struct("vfio_iommu_info", 32, { argsz: u32(0), flags: u32(4), iova_max: u64(8), iova_min: u64(16), pgsize_bitmap: u64(24) });
export const draft_device_info = struct("vfio_device_info", 16, { argsz: u32(0), flags: u32(4), num_regions: u32(8), num_irqs: u32(12) });

export const draft_region_info = struct("vfio_region_info", 32, { argsz: u32(0), flags: u32(4), index: u32(8), resv: u32(12), size_: u64(16), offset: u64(24) });
export const DRAFT_REGION_INFO_MMAP = 1 << 0;
export const DRAFT_REGION_INFO_RO = 1 << 1;

export const draft_irq_info = struct("vfio_irq_info", 16, { argsz: u32(0), flags: u32(4), index: u32(8), count: u32(12) });
export const DRAFT_IRQ_INFO_LEVEL = 1 << 0;

/** Followed by `count` descriptors; -1 unsets one, no descriptors disable the index. */
export const draft_irq_eventfds = struct("vfio_irq_eventfds", 16, { argsz: u32(0), flags: u32(4), index: u32(8), count: u32(12) });
export const draft_unmask_irq = struct("vfio_unmask_irq", 16, { argsz: u32(0), flags: u32(4), index: u32(8), subindex: u32(12) });

/** Regions and interrupts that the draft counts: no VGA, no ERR, no REQ. */
export const DRAFT_PCI_NUM_REGIONS = 8;
export const DRAFT_PCI_NUM_IRQS = 3;
