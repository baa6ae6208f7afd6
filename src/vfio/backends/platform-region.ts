import type { PlatformResource } from "../../host/platform-device.js";
import type { Process } from "../../host/process.js";
import type { Sim } from "../../sim/sim.js";
import type { Step } from "../../sim/step.js";
import { EFAULT, EINVAL } from "../../uapi/errno.js";
import { VFIO_REGION_INFO_FLAG_MMAP, VFIO_REGION_INFO_FLAG_READ, VFIO_REGION_INFO_FLAG_WRITE } from "../../uapi/vfio.js";
import { RegisterMapping } from "./register-mapping.js";

const PAGE = 4096;

/** A region's file offset is its index times this (vfio.md 3.3). */
export const REGION_SHIFT = 2 ** 40;

/** One register window of a platform device (vfio.md 16.1, 14). */
export class PlatformRegion {
  readonly flags: number;
  readonly size: number;
  private readonly mapping: RegisterMapping;

  constructor(
    sim: Sim,
    deviceName: string,
    private readonly resource: PlatformResource,
    readonly index: number,
  ) {
    this.mapping = new RegisterMapping(sim, resource.registers, `${deviceName}: region ${index}`, null);
    this.size = resource.size;
    this.flags = flagsOf(resource);
  }

  /** Accesses of 4, 2 or 1 bytes, aligned, up to the region's end; the bytes, -EINVAL or -EFAULT. */
  *read(process: Process, address: number, length: number, position: number): Step<number> {
    if ((this.flags & VFIO_REGION_INFO_FLAG_READ) === 0 || position >= this.size) return -EINVAL;
    const { memory } = process;
    const count = Math.min(length, this.size - position);
    for (let done = 0; done < count; ) {
      const width = widthAt(position + done, count - done);
      const value = yield* this.resource.registers.read(position + done, width);
      if (!memory.isWritable(address + done, width)) return -EFAULT;
      if (width === 4) memory.setU32(address + done, value >>> 0);
      else for (let i = 0; i < width; i++) memory.setU8(address + done + i, (value >>> (8 * i)) & 0xff);
      done += width;
    }
    return count;
  }

  *write(process: Process, address: number, length: number, position: number): Step<number> {
    if ((this.flags & VFIO_REGION_INFO_FLAG_WRITE) === 0 || position >= this.size) return -EINVAL;
    const { memory } = process;
    const count = Math.min(length, this.size - position);
    for (let done = 0; done < count; ) {
      const width = widthAt(position + done, count - done);
      const from = address + done;
      if (!memory.isReadable(from, width)) return -EFAULT;
      let value = memory.getU8(from);
      if (width === 2) value |= memory.getU8(from + 1) << 8;
      else if (width === 4) value = memory.getU32(from) | 0;
      yield* this.resource.registers.write(position + done, width, value);
      done += width;
    }
    return count;
  }

  /** An area whose loads and stores reach the device without a call: its address, or -EINVAL. */
  mmap(process: Process, length: number, position: number): number {
    if ((this.flags & VFIO_REGION_INFO_FLAG_MMAP) === 0) return -EINVAL;
    const rounded = Math.ceil(length / PAGE) * PAGE;
    if (length <= 0 || position % PAGE !== 0 || position + rounded > this.size) return -EINVAL;
    const address = process.memory.findFree(rounded);
    const writable = (this.flags & VFIO_REGION_INFO_FLAG_WRITE) !== 0;
    process.memory.map(address, rounded, { writable, region: this.mapping.window(), regionOffset: position });
    return address;
  }

  /** The last close: what was mapped reaches the registers no more. */
  *revoke(): Step<void> {
    yield* this.mapping.revoke();
  }
}

function flagsOf({ address, size, isReadOnly, isPort }: PlatformResource): number {
  if (isPort) return 0;
  let flags = VFIO_REGION_INFO_FLAG_READ;
  if (!isReadOnly) flags |= VFIO_REGION_INFO_FLAG_WRITE;
  if (address % PAGE === 0 && size % PAGE === 0) flags |= VFIO_REGION_INFO_FLAG_MMAP;
  return flags;
}

function widthAt(position: number, left: number): number {
  if (left >= 4 && position % 4 === 0) return 4;
  return left >= 2 && position % 2 === 0 ? 2 : 1;
}
