import type { Process } from "../../host/process.js";
import { UserArgument } from "../../host/user-argument.js";
import type { Step } from "../../sim/step.js";
import { EBUSY, EFAULT, EINVAL, ENOENT, ENXIO, EPERM } from "../../uapi/errno.js";
import { vfio_iommu_spapr_register_memory, vfio_iommu_spapr_tce_create, vfio_iommu_spapr_tce_remove } from "../../uapi/vfio.js";
import { LAST_IOVA } from "./iova-ranges.js";
import type { Registered, SpaprInstance } from "./spapr-instance.js";
import { pinPages } from "./type1-dma.js";

// What version 2 adds (vfio.md 18): memory is registered once, and windows are made. The instance's lock is held.

const PAGE = 4096n;
const memory = new UserArgument(vfio_iommu_spapr_register_memory.size);
const window = new UserArgument(vfio_iommu_spapr_tce_create.size);

/** The range of a request; -EFAULT, -EINVAL for flags, what is not of whole pages, or past the end of the addresses. */
function rangeOf(process: Process, address: number): { vaddr: bigint; size: bigint } | number {
  const layout = vfio_iommu_spapr_register_memory;
  if (!memory.copyIn(process, address)) return -EFAULT;
  const vaddr = layout.vaddr.getBig(memory.view);
  const size = layout.size_.getBig(memory.view);
  if (layout.argsz.get(memory.view) < layout.size || layout.flags.get(memory.view) !== 0) return -EINVAL;
  return ((vaddr | size) & (PAGE - 1n)) !== 0n || vaddr + size > LAST_IOVA || size === 0n ? -EINVAL : { vaddr, size };
}

/** -EBUSY where the very range is registered, -EINVAL where a part is, -EFAULT, -ENOMEM. */
export function registerMemory(instance: SpaprInstance, process: Process, address: number): number {
  const range = rangeOf(process, address);
  if (typeof range === "number") return range;
  const [vaddr, bytes] = [Number(range.vaddr), Number(range.size)];
  const overlapping = instance.registered.find((each) => each.vaddr < vaddr + bytes && vaddr < each.vaddr + each.bytes);
  if (overlapping !== undefined) return overlapping.vaddr === vaddr && overlapping.bytes === bytes ? -EBUSY : -EINVAL;
  const pinned = pinPages(process, range.vaddr, range.size, true);
  if (typeof pinned === "number") return pinned;
  if (pinned.lockedBytes !== bytes) {
    // Registers are no memory that could be held: its pages are taken for as long as they are wanted (mm_iommu_do_alloc).
    pinned.pages.unpin();
    process.lockedMemory -= pinned.lockedBytes;
    return -EFAULT;
  }
  instance.adopt(process);
  // Entries that go leave it registered.
  const region: Registered = { vaddr, bytes, pages: pinned.pages, entries: 0, released: () => undefined };
  instance.registered.push(region);
  instance.isEnabled = true;
  return 0;
}

/** -ENOENT for what is not registered, -EBUSY while anything leads there. */
export function unregisterMemory(instance: SpaprInstance, process: Process, address: number): number {
  const range = rangeOf(process, address);
  if (typeof range === "number") return range;
  const region = instance.registered.find((each) => each.vaddr === Number(range.vaddr) && each.bytes === Number(range.size));
  if (region === undefined) return -ENOENT;
  if (region.entries > 0) return -EBUSY;
  instance.registered.splice(instance.registered.indexOf(region), 1);
  instance.forget(region);
  return 0;
}

export function createWindow(instance: SpaprInstance, process: Process, address: number): number {
  const layout = vfio_iommu_spapr_tce_create;
  const { view } = window;
  if (!window.copyIn(process, address)) return -EFAULT;
  if (layout.argsz.get(view) < layout.size || layout.flags.get(view) !== 0) return -EINVAL;
  if (instance.groups.length === 0) return -ENXIO;
  const { tce } = instance.groups[0];
  const shift = layout.page_shift.get(view);
  const levels = layout.levels.get(view);
  const size = layout.window_size.getBig(view);
  const sizes = tce?.dynamicPageSizes ?? 0n;
  if (sizes === 0n) return -EPERM;
  if (shift > 63 || (sizes & (1n << BigInt(shift))) === 0n || levels === 0 || levels > (tce?.maxLevels ?? 0)) return -EINVAL;
  if (size < 1n << BigInt(shift) || (size & (size - 1n)) !== 0n || size > MOST_BYTES) return -EINVAL;
  const made = instance.addWindow(process, size, shift);
  if (typeof made === "number") return made;
  layout.start_addr.setBig(view, made.start);
  return window.copyOut(process, address) ? 0 : -EFAULT;
}

/** A window is not larger than the addresses that are left for it. */
const MOST_BYTES = 1n << 49n;

/** -EINVAL where no window begins there. What it maps goes with it. */
export function* removeWindow(instance: SpaprInstance, process: Process, address: number): Step<number> {
  const layout = vfio_iommu_spapr_tce_remove;
  const { view } = window;
  if (!window.copyIn(process, address, layout.size)) return -EFAULT;
  if (layout.argsz.get(view) < layout.size || layout.flags.get(view) !== 0) return -EINVAL;
  const start = layout.start_addr.getBig(view);
  const found = instance.windows.find((each) => each.start === start);
  if (found === undefined) return -EINVAL;
  yield* instance.dropWindow(found);
  return 0;
}
