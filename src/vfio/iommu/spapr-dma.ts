import type { PinnedPages } from "../../host/memory.js";
import type { Process } from "../../host/process.js";
import { UserArgument } from "../../host/user-argument.js";
import type { Step } from "../../sim/step.js";
import { EFAULT, EINVAL, ENXIO, EPERM } from "../../uapi/errno.js";
import {
  VFIO_DMA_MAP_FLAG_READ,
  VFIO_DMA_MAP_FLAG_WRITE,
  VFIO_IOMMU_SPAPR_INFO_DDW,
  vfio_iommu_spapr_tce_info,
  vfio_iommu_type1_dma_map,
  vfio_iommu_type1_dma_unmap,
} from "../../uapi/vfio.js";
import type { SpaprInstance } from "./spapr-instance.js";
import type { TceBacking } from "./tce-window.js";

// What both versions answer (vfio.md 18). The instance's lock is held.

const READ_WRITE = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;
const info = new UserArgument(vfio_iommu_spapr_tce_info.size);
const mapping = new UserArgument(vfio_iommu_type1_dma_map.size);

/** -ENXIO without a group. The second part is told to who has room for it, of a machine that can make windows. */
export function getTceInfo(instance: SpaprInstance, process: Process, address: number): number {
  const layout = vfio_iommu_spapr_tce_info;
  const { view } = info;
  if (instance.groups.length === 0) return -ENXIO;
  const { tce } = instance.groups[0];
  if (!info.copyIn(process, address, layout.minsz)) return -EFAULT;
  const argsz = layout.argsz.get(view);
  if (argsz < layout.minsz || tce === null) return -EINVAL;
  const hasDynamic = instance.isV2 && (tce.maxLevels ?? 0) > 0 && argsz >= layout.size;
  layout.flags.set(view, hasDynamic ? VFIO_IOMMU_SPAPR_INFO_DDW : 0);
  layout.dma32_window_start.set(view, Number(tce.windowStart));
  layout.dma32_window_size.set(view, Number(tce.windowSize));
  layout.ddw.pgsizes.setBig(view, tce.dynamicPageSizes ?? 0n);
  layout.ddw.max_dynamic_windows_supported.set(view, 1);
  layout.ddw.levels.set(view, tce.maxLevels ?? 0);
  return info.copyOut(process, address, hasDynamic ? layout.size : layout.minsz) ? 0 : -EFAULT;
}

export function* mapTce(instance: SpaprInstance, process: Process, address: number): Step<number> {
  const layout = vfio_iommu_type1_dma_map;
  const { view } = mapping;
  if (!instance.isEnabled) return -EPERM;
  if (!mapping.copyIn(process, address)) return -EFAULT;
  const flags = layout.flags.get(view);
  if (layout.argsz.get(view) < layout.size || (flags & ~READ_WRITE) !== 0) return -EINVAL;
  const iova = layout.iova.getBig(view);
  const size = layout.size_.getBig(view);
  const vaddr = layout.vaddr.getBig(view);
  const { domain } = instance;
  const window = instance.windowAt(iova);
  if (window === null || domain === null) return -ENXIO;
  if (((size | vaddr) & (window.pageSize - 1n)) !== 0n || flags === 0) return -EINVAL;
  if (size === 0n || !window.covers(iova, size)) return -EINVAL;
  instance.adopt(process);
  const isWritable = (flags & VFIO_DMA_MAP_FLAG_WRITE) !== 0;
  const backing = instance.isV2 ? registeredAt(instance, vaddr, size, window.pageSize) : pinnedAt(process, vaddr, size, isWritable);
  if (typeof backing === "number") return backing;
  yield* window.put(domain, iova, size, backing, Number(vaddr) - backing.pages.start, (flags & VFIO_DMA_MAP_FLAG_READ) !== 0, isWritable);
  return 0;
}

/** v2: only what was registered; -EINVAL, and -EPERM where its pages are smaller than the window's. */
function registeredAt(instance: SpaprInstance, vaddr: bigint, size: bigint, pageSize: bigint): TceBacking | number {
  const start = Number(vaddr);
  const region = instance.registered.find((each) => start >= each.vaddr && start + Number(size) <= each.vaddr + each.bytes);
  if (region === undefined) return -EINVAL;
  return region.pages.pageSize < Number(pageSize) ? -EPERM : region;
}

/** v1: pinned for the call. The window as a whole is on the account already. */
function pinnedAt(process: Process, vaddr: bigint, size: bigint, isWritable: boolean): TceBacking | number {
  const { memory } = process;
  const start = Number(vaddr);
  const bytes = Number(size);
  if (!(isWritable ? memory.isWritable(start, bytes) : memory.isReadable(start, bytes))) return -EFAULT;
  const pages: PinnedPages = memory.pin(start, bytes);
  return { pages, entries: 0, released: () => pages.unpin() };
}

export function* unmapTce(instance: SpaprInstance, process: Process, address: number): Step<number> {
  const layout = vfio_iommu_type1_dma_unmap;
  const { view } = mapping;
  if (!instance.isEnabled) return -EPERM;
  if (!mapping.copyIn(process, address, layout.size)) return -EFAULT;
  if (layout.argsz.get(view) < layout.size || layout.flags.get(view) !== 0) return -EINVAL;
  const iova = layout.iova.getBig(view);
  const size = layout.size_.getBig(view);
  const { domain } = instance;
  const window = instance.windowAt(iova);
  if (window === null || domain === null) return -ENXIO;
  if ((size & (window.pageSize - 1n)) !== 0n || !window.covers(iova, size)) return -EINVAL;
  yield* window.clear(domain, iova, size);
  return 0;
}
