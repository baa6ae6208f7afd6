// What virq adds to linux/vfio.h: DMA that an IOMMU terminated, told to who owns the group. Beyond the numbers of iommufd.
import { _IO } from "./ioctl.js";
import { struct, u32, u64 } from "./struct.js";
import { VFIO_BASE, VFIO_TYPE } from "./vfio.js";

/** On a container with an IOMMU, on an iommufd, and on the draft's address space: takes the oldest fault of its groups. -ENOENT: there is none. */
export const VFIO_IOMMU_TAKE_FAULT = _IO(VFIO_TYPE, VFIO_BASE + 60);

/** `left` are there still; `lost` found the queue full since the last call. */
export const vfio_iommu_fault = struct("vfio_iommu_fault", 32, {
  argsz: u32(0),
  flags: u32(4),
  group: u32(8),
  stream: u32(12),
  iova: u64(16),
  left: u32(24),
  lost: u32(28),
});
export const VFIO_IOMMU_FAULT_WRITE = 1 << 0;
/** Something is mapped there that does not allow it. */
export const VFIO_IOMMU_FAULT_PERMISSION = 1 << 1;
/** The group had no address space. */
export const VFIO_IOMMU_FAULT_BLOCKED = 1 << 2;
/** It went to another device's registers, which did not answer. */
export const VFIO_IOMMU_FAULT_UNANSWERED = 1 << 3;
