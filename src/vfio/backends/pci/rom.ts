import type { PciFunction } from "../../../device/pci/function.js";
import type { Process } from "../../../host/process.js";
import { EFAULT, EINVAL } from "../../../uapi/errno.js";

/** What an image begins with (PCI firmware 3.0, 5.1): without it the ROM is none (drivers/pci/rom.c). */
const SIGNATURE = [0x55, 0xaa] as const;

/** Bytes of the ROM's region (vfio.md 7.3): its BAR's, or 0 where nothing in it can be read as an image. */
export function romSize({ rom, romSize: size }: PciFunction): number {
  return rom !== null && rom[0] === SIGNATURE[0] && rom[1] === SIGNATURE[1] ? size : 0;
}

/** The expansion ROM as a region (vfio.md 14): its image, and ff behind it up to the size of its BAR. Memory decode is forced on. */
export function readRom(fn: PciFunction, process: Process, address: number, length: number, position: number): number {
  const size = romSize(fn);
  const image = fn.rom;
  if (image === null || position >= size) return -EINVAL;
  const count = Math.min(length, size - position);
  if (!process.memory.isWritable(address, count)) return -EFAULT;
  for (let i = 0; i < count; i++) process.memory.setU8(address + i, image[position + i] ?? 0xff);
  return count;
}
