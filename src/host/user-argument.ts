import type { Process } from "./process.js";

/**
 * A buffer that one structure of user space is copied into or out of. Its content is used up before the next access
 * point, so one buffer serves all callers.
 */
export class UserArgument {
  readonly bytes: Uint8Array;
  readonly view: DataView;

  constructor(readonly size: number) {
    this.bytes = new Uint8Array(size);
    this.view = new DataView(this.bytes.buffer);
  }

  /** False: EFAULT. */
  copyIn(process: Process, address: number, length = this.size): boolean {
    return process.memory.copyStructure(address, this.view, length);
  }

  /** False: EFAULT. */
  copyOut(process: Process, address: number, length = this.size): boolean {
    return process.memory.copyOut(address, this.bytes, length);
  }
}
