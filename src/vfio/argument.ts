import type { Process } from "../host/process.js";

/**
 * The argument of one ioctl on the kernel's side. It is shared by all calls: what `copyIn` brought is decoded before the
 * caller's next access point, and `copyOut` follows the encoding at once.
 */
export class Argument {
  readonly view: DataView;
  readonly bytes: Uint8Array;

  constructor(size: number) {
    this.bytes = new Uint8Array(size);
    this.view = new DataView(this.bytes.buffer);
  }

  /** False: EFAULT. */
  copyIn(process: Process, address: number, length: number): boolean {
    return process.memory.copyIn(address, this.bytes, length);
  }

  /** False: EFAULT. */
  copyOut(process: Process, address: number, length: number): boolean {
    return process.memory.copyOut(address, this.bytes, length);
  }
}
