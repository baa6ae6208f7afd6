import { pieceAt } from "../../../host/memory.js";
import type { Process } from "../../../host/process.js";
import type { Step } from "../../../sim/step.js";
import { EFAULT } from "../../../uapi/errno.js";

/** What a region of a function answers, whatever is behind it (vfio.md 14). `position` counts from its start. */
export interface PciRegion {
  readonly size: number;
  /** VFIO_REGION_INFO_FLAG_READ, _WRITE and _MMAP. */
  readonly flags: number;
  /** Bytes, or a negative errno. */
  read(process: Process, address: number, length: number, position: number): Step<number>;
  write(process: Process, address: number, length: number, position: number): Step<number>;
  /** Address of an area that reaches it without a call, or -EINVAL. */
  mmap(process: Process, length: number, position: number): number;
  /** Takes the pages that memory decode guards out of all mappings. */
  zap(): Step<void>;
  /** The last close: what was mapped reaches it no more. */
  revoke(): Step<void>;
}

/** Registers that a read or write of a region reaches, 1, 2 or 4 bytes at a time, aligned. */
export interface RegisterPort {
  load(at: number, size: number): Step<number>;
  store(at: number, size: number, value: number): Step<void>;
}

/** One read or write of a region, with its bytes in the caller's memory. */
export interface RegionAccess {
  readonly process: Process;
  readonly address: number;
  /** Within the region. */
  readonly count: number;
  readonly position: number;
  readonly isWrite: boolean;
}

/** The pieces of an access in order, the largest that are aligned: bytes, short where memory ends, -EFAULT where it does at once. */
export function* transfer(port: RegisterPort, { process, address, count, position, isWrite }: RegionAccess): Step<number> {
  for (let done = 0; done < count; ) {
    const size = pieceAt(position + done, count - done);
    const ok = isWrite ? yield* store(port, process, address + done, position + done, size) : yield* load(port, process, address + done, position + done, size);
    if (!ok) return done > 0 ? done : -EFAULT;
    done += size;
  }
  return count;
}

function* load(port: RegisterPort, process: Process, address: number, at: number, size: number): Step<boolean> {
  const value = yield* port.load(at, size);
  if (!process.memory.isWritable(address, size)) return false;
  for (let i = 0; i < size; i++) process.memory.setU8(address + i, (value >>> (8 * i)) & 0xff);
  return true;
}

function* store(port: RegisterPort, process: Process, address: number, at: number, size: number): Step<boolean> {
  if (!process.memory.isReadable(address, size)) return false;
  let value = 0;
  for (let i = 0; i < size; i++) value |= process.memory.getU8(address + i) << (8 * i);
  yield* port.store(at, size, value);
  return true;
}
