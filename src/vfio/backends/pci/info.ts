import type { Process } from "../../../host/process.js";
import { UserArgument } from "../../../host/user-argument.js";
import type { Step } from "../../../sim/step.js";
import { EFAULT, EINVAL } from "../../../uapi/errno.js";
import {
  VFIO_DEVICE_FLAGS_CAPS,
  VFIO_DEVICE_FLAGS_PCI,
  VFIO_DEVICE_FLAGS_RESET,
  VFIO_DEVICE_INFO_CAP_PCI_ATOMIC_COMP,
  VFIO_IRQ_INFO_AUTOMASKED,
  VFIO_IRQ_INFO_EVENTFD,
  VFIO_IRQ_INFO_MASKABLE,
  VFIO_IRQ_INFO_NORESIZE,
  VFIO_PCI_CONFIG_REGION_INDEX,
  VFIO_PCI_ERR_IRQ_INDEX,
  VFIO_PCI_INTX_IRQ_INDEX,
  VFIO_PCI_MSIX_IRQ_INDEX,
  VFIO_PCI_NUM_IRQS,
  VFIO_PCI_ROM_REGION_INDEX,
  VFIO_PCI_VGA_REGION_INDEX,
  VFIO_REGION_INFO_CAP_MSIX_MAPPABLE,
  VFIO_REGION_INFO_CAP_SPARSE_MMAP,
  VFIO_REGION_INFO_CAP_TYPE,
  VFIO_REGION_INFO_FLAG_CAPS,
  VFIO_REGION_INFO_FLAG_READ,
  VFIO_REGION_INFO_FLAG_WRITE,
  vfio_device_info,
  vfio_device_info_cap_pci_atomic_comp,
  vfio_info_cap_header,
  vfio_irq_info,
  vfio_region_info,
  vfio_region_info_cap_sparse_mmap,
  vfio_region_info_cap_type,
  vfio_region_sparse_mmap_area,
} from "../../../uapi/vfio.js";
import { BarRegion } from "./bar-region.js";
import type { VfioPciDevice } from "./device.js";
import { romSize } from "./rom.js";
import { SpecificRegion } from "./specific-region.js";

// What GET_INFO, GET_REGION_INFO and GET_IRQ_INFO tell of a function (vfio.md 7.2 to 7.4).

const MOST_AREAS = 2;
const SPARSE_SIZE = vfio_region_info_cap_sparse_mmap.size + MOST_AREAS * vfio_region_sparse_mmap_area.size;
const argument = new UserArgument(vfio_region_info.size + SPARSE_SIZE);

/** File offset of a region = index * 2^40. */
export const REGION_SHIFT = 2 ** 40;

/** With the capability of atomic operations, where there are any (7.2). */
export function* getInfo(device: VfioPciDevice, process: Process, address: number): Step<number> {
  const { argsz, flags, num_regions, num_irqs, cap_offset, pad, minsz, size } = vfio_device_info;
  const { pci } = device;
  const physical = pci.physicalFunction ?? pci;
  const atomics = yield* physical.enableAtomicOps();
  const { view } = argument;
  if (!argument.copyIn(process, address, minsz)) return -EFAULT;
  const given = argsz.get(view);
  if (given < minsz) return -EINVAL;
  const needed = atomics === 0 ? size : size + atomicCapability(view, size, atomics);
  const isTold = atomics !== 0 && given >= needed;
  if (atomics !== 0 && given < needed) argsz.set(view, needed);
  flags.set(view, VFIO_DEVICE_FLAGS_PCI | (device.canReset ? VFIO_DEVICE_FLAGS_RESET : 0) | (atomics === 0 ? 0 : VFIO_DEVICE_FLAGS_CAPS));
  num_regions.set(view, device.regionCount);
  num_irqs.set(view, VFIO_PCI_NUM_IRQS);
  cap_offset.set(view, isTold ? size : 0);
  pad.set(view, 0);
  return argument.copyOut(process, address, isTold ? needed : Math.min(given, size)) ? 0 : -EFAULT;
}

function atomicCapability(view: DataView, base: number, sizes: number): number {
  const { size, flags, reserved } = vfio_device_info_cap_pci_atomic_comp;
  header(view, base, VFIO_DEVICE_INFO_CAP_PCI_ATOMIC_COMP);
  flags.set(view, sizes, base);
  reserved.set(view, 0, base);
  return size;
}

/** The only capability of its chain. */
function header(view: DataView, base: number, id: number): void {
  vfio_info_cap_header.id.set(view, id, base);
  vfio_info_cap_header.version.set(view, 1, base);
  vfio_info_cap_header.next.set(view, 0, base);
}

export function* getRegionInfo(device: VfioPciDevice, process: Process, address: number): Step<number> {
  const { view } = argument;
  const { argsz, flags, index, cap_offset, size_, offset, minsz } = vfio_region_info;
  if (!argument.copyIn(process, address, minsz)) return -EFAULT;
  const given = argsz.get(view);
  const wanted = index.get(view);
  if (given < minsz || wanted >= device.regionCount) return -EINVAL;
  if (wanted === VFIO_PCI_VGA_REGION_INDEX && device.regionAt(wanted) === null) return -EINVAL;
  const { size, info } = regionOf(device, wanted);
  const caps = regionCapability(device, wanted);
  const needed = minsz + caps;
  flags.set(view, caps > 0 ? info | VFIO_REGION_INFO_FLAG_CAPS : info);
  size_.setNumber(view, size);
  offset.setNumber(view, wanted * REGION_SHIFT);
  cap_offset.set(view, caps > 0 && given >= needed ? minsz : 0);
  if (given < needed) argsz.set(view, needed);
  return argument.copyOut(process, address, given < needed ? minsz : needed) ? 0 : -EFAULT;
}

/** Writes a region's capability, if it has one, behind the structure; its bytes. */
function regionCapability(device: VfioPciDevice, index: number): number {
  const region = device.regionAt(index);
  if (region instanceof SpecificRegion) return typeCapability(region);
  return region instanceof BarRegion && region.holdsMsixTable ? tableCapability(region) : 0;
}

function typeCapability({ options }: SpecificRegion): number {
  const base = vfio_region_info.size;
  const { size, type, subtype } = vfio_region_info_cap_type;
  header(argument.view, base, VFIO_REGION_INFO_CAP_TYPE);
  type.set(argument.view, options.type, base);
  subtype.set(argument.view, options.subtype, base);
  return size;
}

function tableCapability(region: BarRegion): number {
  const base = vfio_region_info.size;
  const { view } = argument;
  const areas = region.sparseAreas();
  header(view, base, areas === null ? VFIO_REGION_INFO_CAP_MSIX_MAPPABLE : VFIO_REGION_INFO_CAP_SPARSE_MMAP);
  if (areas === null) return vfio_info_cap_header.size;
  vfio_region_info_cap_sparse_mmap.nr_areas.set(view, areas.length, base);
  vfio_region_info_cap_sparse_mmap.reserved.set(view, 0, base);
  let at = base + vfio_region_info_cap_sparse_mmap.size;
  for (const area of areas) {
    vfio_region_sparse_mmap_area.offset.setNumber(view, area.offset, at);
    vfio_region_sparse_mmap_area.size_.setNumber(view, area.size, at);
    at += vfio_region_sparse_mmap_area.size;
  }
  return at - base;
}

function regionOf(device: VfioPciDevice, index: number): { size: number; info: number } {
  if (index === VFIO_PCI_CONFIG_REGION_INDEX) return { size: device.pci.fn.configSize, info: VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE };
  if (index === VFIO_PCI_ROM_REGION_INDEX) {
    const size = romSize(device.pci.fn);
    return { size, info: size === 0 ? 0 : VFIO_REGION_INFO_FLAG_READ };
  }
  const region = device.regionAt(index);
  return region === null ? { size: 0, info: 0 } : { size: region.size, info: region.flags };
}

export function* getIrqInfo(device: VfioPciDevice, process: Process, address: number): Step<number> {
  const { view } = argument;
  const { argsz, flags, index, count, minsz } = vfio_irq_info;
  if (!argument.copyIn(process, address, minsz)) return -EFAULT;
  const given = argsz.get(view);
  const wanted = index.get(view);
  if (given < minsz || wanted >= VFIO_PCI_NUM_IRQS || (wanted === VFIO_PCI_ERR_IRQ_INDEX && !device.isExpress)) return -EINVAL;
  const available = yield* device.irqCount(wanted);
  argsz.set(view, given);
  index.set(view, wanted);
  flags.set(view, flagsOf(device, wanted));
  count.set(view, available);
  return argument.copyOut(process, address, minsz) ? 0 : -EFAULT;
}

function flagsOf(device: VfioPciDevice, index: number): number {
  if (index === VFIO_PCI_INTX_IRQ_INDEX) return VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED;
  const isDynamic = index === VFIO_PCI_MSIX_IRQ_INDEX && device.growsMsix;
  return isDynamic ? VFIO_IRQ_INFO_EVENTFD : VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_NORESIZE;
}
