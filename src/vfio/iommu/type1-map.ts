import type { Process } from "../../host/process.js";
import type { Step } from "../../sim/step.js";
import { EEXIST, EFAULT, EINVAL, ENOENT, ENOMEM, ENOSPC, EOVERFLOW } from "../../uapi/errno.js";
import { VFIO_DMA_MAP_FLAG_READ, VFIO_DMA_MAP_FLAG_VADDR, VFIO_DMA_MAP_FLAG_WRITE, vfio_iommu_type1_dma_map } from "../../uapi/vfio.js";
import { UserArgument } from "../../host/user-argument.js";
import { isInside, LAST_IOVA } from "./iova-ranges.js";
import { type DmaSpace, mayLock, pinPages, type Type1Dma, unpinPages } from "./type1-dma.js";

const READ_WRITE = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;
const argument = new UserArgument(vfio_iommu_type1_dma_map.size);

interface Request {
  readonly flags: number;
  readonly vaddr: bigint;
  readonly iova: bigint;
  readonly size: bigint;
}

/** MAP_DMA, checks in the order of vfio.md 17.5. A failure leaves nothing behind: no mapping, no page on the account. */
export function* mapDma(instance: DmaSpace, process: Process, address: number): Step<number> {
  const { argsz, flags, vaddr, iova, size_, size } = vfio_iommu_type1_dma_map;
  if (!argument.copyIn(process, address, size)) return -EFAULT;
  const { view } = argument;
  if (argsz.get(view) < size || (flags.get(view) & ~(READ_WRITE | VFIO_DMA_MAP_FLAG_VADDR)) !== 0) return -EINVAL;
  const request: Request = { flags: flags.get(view), vaddr: vaddr.getBig(view), iova: iova.getBig(view), size: size_.getBig(view) };
  yield* instance.lock.lock();
  const error = checkRequest(request, instance.unit);
  let result = error;
  if (error === 0) result = (request.flags & VFIO_DMA_MAP_FLAG_VADDR) !== 0 ? updateVaddr(instance, process, request) : yield* insert(instance, process, request);
  yield* instance.lock.unlock();
  return result;
}

function checkRequest({ flags, vaddr, iova, size }: Request, unit: bigint): number {
  if (size === 0n) return -EINVAL;
  if (iova + size - 1n > LAST_IOVA || vaddr + size - 1n > LAST_IOVA) return -EOVERFLOW;
  const replacesVaddr = (flags & VFIO_DMA_MAP_FLAG_VADDR) !== 0;
  if (replacesVaddr === ((flags & READ_WRITE) !== 0)) return -EINVAL;
  return ((iova | vaddr | size) & (unit - 1n)) === 0n ? 0 : -EINVAL;
}

/** A process that took over another's descriptors gives its own address of the memory, and the account moves to it. */
function updateVaddr(instance: DmaSpace, process: Process, { vaddr, iova, size }: Request): number {
  const dma = instance.dmas.firstIn(iova, iova + size);
  if (dma === undefined) return -ENOENT;
  if (!dma.hasInvalidVaddr || dma.iova !== iova || dma.size !== size) return -EINVAL;
  if (dma.process !== process) {
    if (!mayLock(process, dma.lockedBytes)) return -ENOMEM;
    dma.process.lockedMemory -= dma.lockedBytes;
    process.lockedMemory += dma.lockedBytes;
    dma.process = process;
  }
  dma.vaddr = Number(vaddr);
  dma.hasInvalidVaddr = false;
  return 0;
}

function* insert(instance: DmaSpace, process: Process, { flags, vaddr, iova, size }: Request): Step<number> {
  if (instance.dmas.firstIn(iova, iova + size) !== undefined) return -EEXIST;
  if (instance.available === 0) return -ENOSPC;
  if (!isInside(instance.ranges, iova, size)) return -EINVAL;
  const isWritable = (flags & VFIO_DMA_MAP_FLAG_WRITE) !== 0;
  const pinned = pinPages(process, vaddr, size, isWritable);
  if (typeof pinned === "number") return pinned;
  const isReadable = (flags & VFIO_DMA_MAP_FLAG_READ) !== 0;
  const dma: Type1Dma = { iova, size, isReadable, isWritable, ...pinned, process, vaddr: Number(vaddr), hasInvalidVaddr: false };
  const result = yield* instance.insert(dma);
  if (result !== 0) unpinPages(dma);
  return result;
}
