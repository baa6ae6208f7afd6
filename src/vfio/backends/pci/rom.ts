import type { PciFunction } from "../../../device/pci/function.js";
import type { Process } from "../../../host/process.js";
import { EFAULT, EINVAL } from "../../../uapi/errno.js";

/** The expansion ROM as a region (vfio.md 14): its image, up to the size of its BAR. */
export function readRom(fn: PciFunction, process: Process, address: number, length: number, position: number): number {
  const image = fn.rom;
  if (image === null || position >= image.length) return -EINVAL;
  const count = Math.min(length, image.length - position);
  if (!process.memory.isWritable(address, count)) return -EFAULT;
  for (let i = 0; i < count; i++) process.memory.setU8(address + i, image[position + i]);
  return count;
}
