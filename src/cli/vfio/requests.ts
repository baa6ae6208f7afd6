import * as iommufd from "../../uapi/iommufd.js";
import * as kvm from "../../uapi/kvm.js";
import type { StructInfo } from "../../uapi/struct.js";
import * as vfio from "../../uapi/vfio.js";
import * as draft from "../../uapi/vfio-draft.js";
import * as fault from "../../uapi/vfio-fault.js";
import * as feature from "../../uapi/vfio-feature.js";
import * as xen from "../../uapi/vfio-xen.js";

/** What a request takes besides its descriptor. */
export type Argument =
  | { readonly kind: "none" }
  /** With a number or without one. */
  | { readonly kind: "number" }
  /** A number, or one of some names. */
  | { readonly kind: "value"; readonly names: Names }
  | { readonly kind: "descriptor" }
  | { readonly kind: "string" }
  | { readonly kind: "structure"; readonly info: StructInfo; readonly flags: Names };

export type Names = Readonly<Record<string, number>>;

export interface Request {
  /** As in the kernel's headers: VFIO_GROUP_GET_STATUS. */
  readonly name: string;
  readonly number: number;
  readonly argument: Argument;
}

/** Constants of the headers by what follows a prefix. */
function constants(module: object, prefix: string): Names {
  const found: Record<string, number> = {};
  for (const [name, value] of Object.entries(module)) if (name.startsWith(prefix) && typeof value === "number") found[name.slice(prefix.length)] = value;
  return found;
}

/** SPAPR_TCE for VFIO_SPAPR_TCE_IOMMU. */
const EXTENSIONS: Names = Object.fromEntries(Object.entries(constants(vfio, "VFIO_")).map(([name, value]) => [name.replace(/_IOMMU$/, ""), value]));
const NO_FLAGS: Names = {};
const none: Argument = { kind: "none" };
const number: Argument = { kind: "number" };
const structure = (info: StructInfo, flags: Names = NO_FLAGS): Argument => ({ kind: "structure", info, flags });
const FEATURES = { ...constants(vfio, "VFIO_DEVICE_FEATURE_"), ...constants(vfio, "VFIO_DEVICE_STATE_") };
const SET_IRQS = constants(vfio, "VFIO_IRQ_SET_");
const MAP = constants(vfio, "VFIO_DMA_MAP_FLAG_");
const UNMAP = constants(vfio, "VFIO_DMA_UNMAP_FLAG_");
const DIRTY = constants(vfio, "VFIO_IOMMU_DIRTY_PAGES_FLAG_");

const ARGUMENTS: Readonly<Record<string, Argument>> = {
  VFIO_GET_API_VERSION: none,
  VFIO_CHECK_EXTENSION: { kind: "value", names: EXTENSIONS },
  VFIO_SET_IOMMU: { kind: "value", names: EXTENSIONS },
  VFIO_IOMMU_GET_INFO: structure(vfio.vfio_iommu_type1_info, constants(vfio, "VFIO_IOMMU_INFO_")),
  VFIO_IOMMU_SPAPR_TCE_GET_INFO: structure(vfio.vfio_iommu_spapr_tce_info, constants(vfio, "VFIO_IOMMU_SPAPR_INFO_")),
  VFIO_IOMMU_MAP_DMA: structure(vfio.vfio_iommu_type1_dma_map, MAP),
  VFIO_IOMMU_UNMAP_DMA: structure(vfio.vfio_iommu_type1_dma_unmap, UNMAP),
  VFIO_IOMMU_DIRTY_PAGES: structure(vfio.vfio_iommu_type1_dirty_bitmap, DIRTY),
  VFIO_IOMMU_TAKE_FAULT: structure(fault.vfio_iommu_fault, constants(fault, "VFIO_IOMMU_FAULT_")),
  VFIO_IOMMU_ENABLE: none,
  VFIO_IOMMU_DISABLE: none,
  VFIO_IOMMU_SPAPR_REGISTER_MEMORY: structure(vfio.vfio_iommu_spapr_register_memory),
  VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY: structure(vfio.vfio_iommu_spapr_register_memory),
  VFIO_IOMMU_SPAPR_TCE_CREATE: structure(vfio.vfio_iommu_spapr_tce_create),
  VFIO_IOMMU_SPAPR_TCE_REMOVE: structure(vfio.vfio_iommu_spapr_tce_remove),
  VFIO_GROUP_GET_STATUS: structure(vfio.vfio_group_status, constants(vfio, "VFIO_GROUP_FLAGS_")),
  VFIO_GROUP_SET_CONTAINER: { kind: "descriptor" },
  VFIO_GROUP_UNSET_CONTAINER: none,
  VFIO_GROUP_GET_DEVICE_FD: { kind: "string" },
  VFIO_DEVICE_GET_INFO: structure(vfio.vfio_device_info, constants(vfio, "VFIO_DEVICE_FLAGS_")),
  VFIO_DEVICE_GET_REGION_INFO: structure(vfio.vfio_region_info, constants(vfio, "VFIO_REGION_INFO_FLAG_")),
  VFIO_DEVICE_GET_IRQ_INFO: structure(vfio.vfio_irq_info, { ...constants(vfio, "VFIO_IRQ_INFO_"), ...constants(xen, "VFIO_IRQ_INFO_") }),
  VFIO_DEVICE_SET_IRQS: structure(vfio.vfio_irq_set, { ...SET_IRQS, ...constants(vfio, "VFIO_PCI_") }),
  VFIO_DEVICE_SET_IRQ_NOTIFY: structure(xen.vfio_irq_notify, constants(xen, "VFIO_IRQ_NOTIFY_")),
  VFIO_DEVICE_RESET: none,
  VFIO_DEVICE_GET_PCI_HOT_RESET_INFO: structure(vfio.vfio_pci_hot_reset_info, constants(vfio, "VFIO_PCI_HOT_RESET_FLAG_")),
  VFIO_DEVICE_PCI_HOT_RESET: structure(vfio.vfio_pci_hot_reset),
  VFIO_DEVICE_IOEVENTFD: structure(vfio.vfio_device_ioeventfd),
  VFIO_DEVICE_FEATURE: structure(vfio.vfio_device_feature, FEATURES),
  VFIO_MIG_GET_PRECOPY_INFO: structure(feature.vfio_precopy_info),
  VFIO_DEVICE_BIND_IOMMUFD: structure(vfio.vfio_device_bind_iommufd, constants(vfio, "VFIO_DEVICE_BIND_FLAG_")),
  VFIO_DEVICE_ATTACH_IOMMUFD_PT: structure(vfio.vfio_device_attach_iommufd_pt),
  VFIO_DEVICE_DETACH_IOMMUFD_PT: structure(vfio.vfio_device_detach_iommufd_pt),
  DRAFT_GROUP_GET_INFO: structure(draft.draft_group_info, constants(draft, "DRAFT_GROUP_FLAGS_")),
  DRAFT_GROUP_MERGE: { kind: "descriptor" },
  DRAFT_GROUP_UNMERGE: none,
  DRAFT_GROUP_GET_IOMMU_FD: none,
  DRAFT_GROUP_GET_DEVICE_FD: { kind: "string" },
  DRAFT_IOMMU_GET_INFO: structure(draft.draft_iommu_info),
  DRAFT_IOMMU_MAP_DMA: structure(vfio.vfio_iommu_type1_dma_map, MAP),
  DRAFT_IOMMU_UNMAP_DMA: structure(vfio.vfio_iommu_type1_dma_unmap, UNMAP),
  DRAFT_DEVICE_GET_INFO: structure(draft.draft_device_info, constants(vfio, "VFIO_DEVICE_FLAGS_")),
  DRAFT_DEVICE_GET_REGION_INFO: structure(draft.draft_region_info, constants(draft, "DRAFT_REGION_INFO_")),
  DRAFT_DEVICE_GET_IRQ_INFO: structure(draft.draft_irq_info, constants(draft, "DRAFT_IRQ_INFO_")),
  DRAFT_DEVICE_SET_IRQ_EVENTFDS: structure(draft.draft_irq_eventfds),
  DRAFT_DEVICE_UNMASK_IRQ: structure(draft.draft_unmask_irq),
  DRAFT_DEVICE_SET_UNMASK_IRQ_EVENTFDS: structure(draft.draft_irq_eventfds),
  DRAFT_DEVICE_RESET: none,
  IOMMU_DESTROY: structure(iommufd.iommu_destroy),
  IOMMU_IOAS_ALLOC: structure(iommufd.iommu_ioas_alloc),
  IOMMU_IOAS_MAP: structure(iommufd.iommu_ioas_map, constants(iommufd, "IOMMU_IOAS_MAP_")),
  IOMMU_IOAS_COPY: structure(iommufd.iommu_ioas_copy, constants(iommufd, "IOMMU_IOAS_MAP_")),
  IOMMU_IOAS_UNMAP: structure(iommufd.iommu_ioas_unmap),
  IOMMU_IOAS_IOVA_RANGES: structure(iommufd.iommu_ioas_iova_ranges),
  IOMMU_OPTION: structure(iommufd.iommu_option, constants(iommufd, "IOMMU_OPTION_")),
  IOMMU_HWPT_ALLOC: structure(iommufd.iommu_hwpt_alloc, constants(iommufd, "IOMMU_HWPT_ALLOC_")),
  IOMMU_GET_HW_INFO: structure(iommufd.iommu_hw_info),
  IOMMU_HWPT_SET_DIRTY_TRACKING: structure(iommufd.iommu_hwpt_set_dirty_tracking, constants(iommufd, "IOMMU_HWPT_DIRTY_TRACKING_")),
  IOMMU_HWPT_GET_DIRTY_BITMAP: structure(iommufd.iommu_hwpt_get_dirty_bitmap, constants(iommufd, "IOMMU_HWPT_GET_DIRTY_BITMAP_NO_")),
  IOMMU_VFIO_IOAS: structure(iommufd.iommu_vfio_ioas, constants(iommufd, "IOMMU_VFIO_IOAS_")),
  KVM_CREATE_VM: number,
  KVM_CHECK_EXTENSION: { kind: "value", names: constants(kvm, "KVM_CAP_") },
  KVM_CREATE_IRQCHIP: none,
  KVM_IRQ_LINE: structure(kvm.kvm_irq_level),
  KVM_SET_GSI_ROUTING: structure(kvm.kvm_irq_routing),
  KVM_SIGNAL_MSI: structure(kvm.kvm_msi),
  KVM_IRQFD: structure(kvm.kvm_irqfd, constants(kvm, "KVM_IRQFD_FLAG_")),
  KVM_CREATE_DEVICE: structure(kvm.kvm_create_device, constants(kvm, "KVM_DEV_TYPE_")),
  KVM_SET_DEVICE_ATTR: structure(kvm.kvm_device_attr, constants(kvm, "KVM_DEV_VFIO_")),
  KVM_HAS_DEVICE_ATTR: structure(kvm.kvm_device_attr, constants(kvm, "KVM_DEV_VFIO_")),
};

const NUMBERS: Names = { ...constants(vfio, ""), ...constants(xen, ""), ...constants(fault, ""), ...constants(draft, ""), ...constants(iommufd, ""), ...constants(kvm, "") };

export const REQUESTS: readonly Request[] = Object.entries(ARGUMENTS).map(([name, argument]) => ({ name, number: NUMBERS[name], argument }));

/** What a request may be called: its name, or what is left without VFIO_, VFIO_GROUP_ or VFIO_DEVICE_. */
const called = (request: Request): readonly string[] => [request.name, ...["VFIO_", "VFIO_GROUP_", "VFIO_DEVICE_"].filter((prefix) => request.name.startsWith(prefix)).map((prefix) => request.name.slice(prefix.length))];

export function requestCalled(name: string): Request | undefined {
  if (/^(0x[0-9a-f]{1,8}|\d{1,9})$/i.test(name)) return { name, number: Number(name), argument: number };
  return REQUESTS.find((request) => called(request).includes(name));
}
