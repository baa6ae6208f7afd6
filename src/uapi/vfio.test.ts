import { describe, expect, it } from "vitest";
import { offsets } from "./offsets.fixture.js";
import * as vfio from "./vfio.js";

describe("linux/vfio.h", () => {
  it("requests have the values of vfio.md 3.1", () => {
    expect(vfio).toMatchObject({
      VFIO_GET_API_VERSION: 0x3b64,
      VFIO_CHECK_EXTENSION: 0x3b65,
      VFIO_SET_IOMMU: 0x3b66,
      VFIO_GROUP_GET_STATUS: 0x3b67,
      VFIO_GROUP_SET_CONTAINER: 0x3b68,
      VFIO_GROUP_UNSET_CONTAINER: 0x3b69,
      VFIO_GROUP_GET_DEVICE_FD: 0x3b6a,
      VFIO_DEVICE_GET_INFO: 0x3b6b,
      VFIO_DEVICE_GET_REGION_INFO: 0x3b6c,
      VFIO_DEVICE_GET_IRQ_INFO: 0x3b6d,
      VFIO_DEVICE_SET_IRQS: 0x3b6e,
      VFIO_DEVICE_RESET: 0x3b6f,
      VFIO_DEVICE_GET_PCI_HOT_RESET_INFO: 0x3b70,
      VFIO_IOMMU_GET_INFO: 0x3b70,
      VFIO_IOMMU_SPAPR_TCE_GET_INFO: 0x3b70,
      VFIO_DEVICE_PCI_HOT_RESET: 0x3b71,
      VFIO_IOMMU_MAP_DMA: 0x3b71,
      VFIO_DEVICE_QUERY_GFX_PLANE: 0x3b72,
      VFIO_IOMMU_UNMAP_DMA: 0x3b72,
      VFIO_DEVICE_GET_GFX_DMABUF: 0x3b73,
      VFIO_IOMMU_ENABLE: 0x3b73,
      VFIO_DEVICE_IOEVENTFD: 0x3b74,
      VFIO_IOMMU_DISABLE: 0x3b74,
      VFIO_DEVICE_FEATURE: 0x3b75,
      VFIO_IOMMU_DIRTY_PAGES: 0x3b75,
      VFIO_IOMMU_SPAPR_REGISTER_MEMORY: 0x3b75,
      VFIO_DEVICE_BIND_IOMMUFD: 0x3b76,
      VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY: 0x3b76,
      VFIO_DEVICE_ATTACH_IOMMUFD_PT: 0x3b77,
      VFIO_IOMMU_SPAPR_TCE_CREATE: 0x3b77,
      VFIO_DEVICE_DETACH_IOMMUFD_PT: 0x3b78,
      VFIO_IOMMU_SPAPR_TCE_REMOVE: 0x3b78,
      VFIO_MIG_GET_PRECOPY_INFO: 0x3b79,
      VFIO_EEH_PE_OP: 0x3b79,
    });
  });

  it("the Xen backend's extension id spells XEN", () => {
    const bytes = [16, 8, 0].map((shift) => (vfio.VFIO_XEN_IOMMU >> shift) & 0xff);
    expect(String.fromCharCode(...bytes)).toBe("XEN");
  });

  const head = { argsz: 0, flags: 4 };
  // structure, sizeof in Linux, minsz of vfio.md 3.3 (= sizeof where the table gives none), offsets
  const layouts: [{ name: string; size: number; minsz: number }, number, number, object][] = [
    [vfio.vfio_group_status, 8, 8, head],
    [vfio.vfio_device_info, 24, 16, { ...head, num_regions: 8, num_irqs: 12, cap_offset: 16, pad: 20 }],
    [vfio.vfio_region_info, 32, 32, { ...head, index: 8, cap_offset: 12, size_: 16, offset: 24 }],
    [vfio.vfio_info_cap_header, 8, 8, { id: 0, version: 2, next: 4 }],
    [vfio.vfio_region_info_cap_sparse_mmap, 16, 16, { header: 0, nr_areas: 8, reserved: 12 }],
    [vfio.vfio_region_sparse_mmap_area, 16, 16, { offset: 0, size_: 8 }],
    [vfio.vfio_region_info_cap_type, 16, 16, { header: 0, type: 8, subtype: 12 }],
    [vfio.vfio_device_info_cap_pci_atomic_comp, 16, 16, { header: 0, flags: 8, reserved: 12 }],
    [vfio.vfio_irq_info, 16, 16, { ...head, index: 8, count: 12 }],
    [vfio.vfio_irq_set, 20, 20, { ...head, index: 8, start: 12, count: 16 }],
    [vfio.vfio_pci_hot_reset_info, 12, 12, { ...head, count: 8 }],
    [vfio.vfio_pci_dependent_device, 8, 8, { group_id: 0, devid: 0, segment: 4, bus: 6, devfn: 7 }],
    [vfio.vfio_pci_hot_reset, 12, 12, { ...head, count: 8 }],
    [vfio.vfio_device_ioeventfd, 32, 28, { ...head, offset: 8, data: 16, fd: 24, reserved: 28 }],
    [vfio.vfio_device_feature, 8, 8, head],
    [vfio.vfio_device_bind_iommufd, 24, 16, { ...head, iommufd: 8, out_devid: 12, token_uuid_ptr: 16 }],
    [vfio.vfio_device_attach_iommufd_pt, 16, 12, { ...head, pt_id: 8, pasid: 12 }],
    [vfio.vfio_device_detach_iommufd_pt, 12, 8, { ...head, pasid: 8 }],
    [vfio.vfio_iommu_type1_info, 24, 16, { ...head, iova_pgsizes: 8, cap_offset: 16, pad: 20 }],
    [vfio.vfio_iommu_type1_info_cap_iova_range, 16, 16, { header: 0, nr_iovas: 8, reserved: 12 }],
    [vfio.vfio_iova_range, 16, 16, { start: 0, end: 8 }],
    [vfio.vfio_iommu_type1_info_cap_migration, 32, 32, { header: 0, flags: 8, pgsize_bitmap: 16, max_dirty_bitmap_size: 24 }],
    [vfio.vfio_iommu_type1_info_dma_avail, 12, 12, { header: 0, avail: 8 }],
    [vfio.vfio_iommu_type1_dma_map, 32, 32, { ...head, vaddr: 8, iova: 16, size_: 24 }],
    [vfio.vfio_iommu_type1_dma_unmap, 24, 24, { ...head, iova: 8, size_: 16 }],
    [vfio.vfio_bitmap, 24, 24, { pgsize: 0, size_: 8, data: 16 }],
    [vfio.vfio_iommu_type1_dirty_bitmap, 8, 8, head],
    [vfio.vfio_iommu_type1_dirty_bitmap_get, 40, 40, { iova: 0, size_: 8, bitmap: 16 }],
    [
      vfio.vfio_iommu_spapr_tce_info,
      32,
      16,
      { ...head, dma32_window_start: 8, dma32_window_size: 12, ddw: { pgsizes: 16, max_dynamic_windows_supported: 24, levels: 28 } },
    ],
    [vfio.vfio_iommu_spapr_register_memory, 24, 24, { ...head, vaddr: 8, size_: 16 }],
    [vfio.vfio_iommu_spapr_tce_create, 40, 40, { ...head, page_shift: 8, window_size: 16, levels: 24, start_addr: 32 }],
    [vfio.vfio_iommu_spapr_tce_remove, 16, 16, { ...head, start_addr: 8 }],
    [vfio.vfio_device_feature_vf_token, 16, 16, { uuid: 0 }],
    [vfio.vfio_device_feature_migration, 8, 8, { flags: 0 }],
    [vfio.vfio_device_feature_mig_state, 8, 8, { device_state: 0, data_fd: 4 }],
    [vfio.vfio_device_low_power_entry_with_wakeup, 8, 8, { wakeup_eventfd: 0, reserved: 4 }],
    [vfio.vfio_device_feature_dma_logging_control, 24, 24, { page_size: 0, num_ranges: 8, reserved: 12, ranges: 16 }],
    [vfio.vfio_device_feature_dma_logging_range, 16, 16, { iova: 0, length: 8 }],
    [vfio.vfio_device_feature_dma_logging_report, 32, 32, { iova: 0, length: 8, page_size: 16, bitmap: 24 }],
    [vfio.vfio_device_feature_mig_data_size, 8, 8, { stop_copy_length: 0 }],
    [vfio.vfio_device_feature_bus_master, 4, 4, { op: 0 }],
    [vfio.vfio_precopy_info, 24, 24, { ...head, initial_bytes: 8, dirty_bytes: 16 }],
  ];

  it.each(layouts)("$name has its size, its minsz and its offsets", (layout, size, minsz, expected) => {
    expect([layout.size, layout.minsz]).toEqual([size, minsz]);
    expect(offsets(layout)).toEqual(expected);
  });

  it("every structure declared here is in the table above", () => {
    const declared = Object.keys(vfio).filter((name) => name.startsWith("vfio_"));
    expect(layouts.map(([layout]) => layout.name).sort()).toEqual(declared.sort());
  });

  it("irq and descriptor fields take -1, addresses reach 2^64 - 1", () => {
    const view = new DataView(new ArrayBuffer(64));
    vfio.vfio_device_ioeventfd.fd.set(view, -1);
    expect(vfio.vfio_device_ioeventfd.fd.get(view)).toBe(-1);
    vfio.vfio_iommu_type1_dma_map.size_.setBig(view, 2n ** 64n - 1n);
    expect(vfio.vfio_iommu_type1_dma_map.size_.getNumber(view)).toBe(Infinity);
    expect(() => vfio.vfio_irq_set.index.set(view, -1)).toThrow("vfio_irq_set.index: -1 does not fit");
  });
});
