import { describe, expect, it } from "vitest";
import * as iommufd from "./iommufd.js";
import * as xen from "./vfio-xen.js";

describe("linux/iommufd.h", () => {
  it("requests count from 0x80, above those of VFIO", () => {
    expect([iommufd.IOMMU_DESTROY, iommufd.IOMMU_IOAS_ALLOC, iommufd.IOMMU_IOAS_ALLOW_IOVAS, iommufd.IOMMU_IOAS_COPY, iommufd.IOMMU_IOAS_IOVA_RANGES]).toEqual([0x3b80, 0x3b81, 0x3b82, 0x3b83, 0x3b84]);
    expect([iommufd.IOMMU_IOAS_MAP, iommufd.IOMMU_IOAS_UNMAP, iommufd.IOMMU_OPTION, iommufd.IOMMU_VFIO_IOAS]).toEqual([0x3b85, 0x3b86, 0x3b87, 0x3b88]);
    expect([iommufd.IOMMU_HWPT_ALLOC, iommufd.IOMMU_GET_HW_INFO, iommufd.IOMMU_HWPT_SET_DIRTY_TRACKING, iommufd.IOMMU_HWPT_GET_DIRTY_BITMAP]).toEqual([0x3b89, 0x3b8a, 0x3b8b, 0x3b8c]);
  });

  it("structures have the kernel's sizes", () => {
    const { iommu_destroy, iommu_ioas_alloc, iommu_ioas_iova_ranges, iommu_ioas_allow_iovas, iommu_ioas_map, iommu_ioas_copy, iommu_ioas_unmap, iommu_option, iommu_vfio_ioas } = iommufd;
    const all = [iommu_destroy, iommu_ioas_alloc, iommu_ioas_iova_ranges, iommu_ioas_allow_iovas, iommu_ioas_map, iommu_ioas_copy, iommu_ioas_unmap, iommu_option, iommu_vfio_ioas];
    expect(all.map((each) => each.size)).toEqual([8, 12, 32, 24, 40, 40, 24, 24, 12]);
    const { iommu_hwpt_alloc, iommu_hw_info, iommu_hwpt_set_dirty_tracking, iommu_hwpt_get_dirty_bitmap } = iommufd;
    expect([iommu_hwpt_alloc, iommu_hw_info, iommu_hwpt_set_dirty_tracking, iommu_hwpt_get_dirty_bitmap].map((each) => [each.size, each.minsz])).toEqual([
      [48, 24],
      [40, 32],
      [16, 16],
      [48, 48],
    ]);
  });
});

describe("virq's request for notifications of any kind", () => {
  it("vfio.md 21.4: has its number, and elements of its sizes", () => {
    expect(xen.VFIO_DEVICE_SET_IRQ_NOTIFY).toBe(0x3b8c);
    expect([xen.vfio_irq_notify.size, xen.vfio_irq_evtchn.size, xen.vfio_irq_guest_msi.size]).toEqual([24, 8, 24]);
  });
});
