import { type Area, pieceAt, SigBus } from "../../host/memory.js";
import type { Process } from "../../host/process.js";
import { PersonError } from "../../sim/person-error.js";
import type { Step } from "../../sim/step.js";
import { EFAULT } from "../../uapi/errno.js";

/** Where the process's memory begins. */
const FIRST = 0x1000_0000;
const MOST = 2 ** 40;
const PAGE = 4096;

/** Memory of the VMM, and registers that it has mapped: little-endian numbers of any length. */
export class UserMemory {
  private end = FIRST;

  constructor(private readonly process: Process) {}

  /** So many bytes more: where they are. @throws PersonError */
  map(bytes: number): number {
    if (bytes < 1 || bytes > MOST) throw new PersonError(`memory ${bytes}: from 1 to ${MOST} bytes`);
    const at = this.end;
    this.process.memory.map(at, bytes);
    this.end += Math.ceil(bytes / PAGE) * PAGE;
    return at;
  }

  /** What lies there; -EFAULT, or "SIGBUS" where the registers do not decode. */
  *load(address: number, length: number): Step<number | string> {
    const registers = this.registersAt(address, length);
    if (registers !== null) return yield* this.loadRegisters(registers, address, length);
    return this.process.memory.isReadable(address, length) ? this.bytesAt(address, length) : -EFAULT;
  }

  /** The count of bytes; -EFAULT, or "SIGBUS". */
  *store(address: number, length: number, value: number): Step<number | string> {
    const registers = this.registersAt(address, length);
    if (registers !== null) return yield* this.storeRegisters(registers, address, length, value);
    if (!this.process.memory.isWritable(address, length)) return -EFAULT;
    this.put(address, length, value);
    return length;
  }

  bytesAt(address: number, length: number): string {
    const bytes = new Uint8Array(length);
    this.process.memory.copyIn(address, bytes);
    return numberText(bytes);
  }

  put(address: number, length: number, value: number): void {
    const bytes = new Uint8Array(length);
    putNumber(bytes, value);
    this.process.memory.copyOut(address, bytes);
  }

  private registersAt(address: number, length: number): Area | null {
    const area = this.process.memory.areaAt(address);
    return area?.region && address + length <= area.end ? area : null;
  }

  private *loadRegisters({ region, start, regionOffset }: Area, address: number, length: number): Step<string> {
    let text = "";
    try {
      for (let done = 0; region !== null && done < length; ) {
        const size = pieceAt(address + done, length - done);
        const value = yield* region.read(regionOffset + address + done - start, size);
        text = hex(value, size) + text;
        done += size;
      }
    } catch (error) {
      return busError(error);
    }
    return `0x${text}`;
  }

  private *storeRegisters({ region, start, regionOffset }: Area, address: number, length: number, value: number): Step<number | string> {
    let rest = value;
    try {
      for (let done = 0; region !== null && done < length; ) {
        const size = pieceAt(address + done, length - done);
        yield* region.write(regionOffset + address + done - start, size, rest % 2 ** (8 * size) | 0);
        rest = Math.floor(rest / 2 ** (8 * size));
        done += size;
      }
    } catch (error) {
      return busError(error);
    }
    return length;
  }
}

/** Bytes as the little-endian number that they are. */
export function numberText(bytes: Uint8Array): string {
  let text = "0x";
  for (let i = bytes.length - 1; i >= 0; i--) text += hex(bytes[i], 1);
  return text;
}

export function putNumber(bytes: Uint8Array, value: number): void {
  let rest = value;
  for (let i = 0; i < bytes.length; i++, rest = Math.floor(rest / 256)) bytes[i] = rest % 256;
}

const hex = (value: number, size: number): string => (value >>> 0).toString(16).padStart(2 * size, "0").slice(-2 * size);

function busError(error: unknown): string {
  if (error instanceof SigBus) return "SIGBUS";
  throw error;
}
