import type { Process } from "../../host/process.js";

/** A u32 or u64 of user space on its way in or out. Used up before the next access point, so one serves all callers. */
class UserWord {
  low = 0;
  high = 0;
  private readonly bytes = new Uint8Array(8);
  private readonly view = new DataView(this.bytes.buffer);

  /** get_user; false: EFAULT. */
  fetch(process: Process, address: number, size: 4 | 8): boolean {
    if (!process.memory.copyIn(address, this.bytes, size)) return false;
    this.low = this.view.getInt32(0, true);
    this.high = size === 8 ? this.view.getInt32(4, true) : 0;
    return true;
  }

  /** put_user; false: EFAULT. */
  store(process: Process, address: number, size: 4 | 8, low: number, high: number): boolean {
    this.view.setInt32(0, low, true);
    this.view.setInt32(4, high, true);
    return process.memory.copyOut(address, size === 8 ? this.bytes : this.bytes.subarray(0, size));
  }
}

export const userWord = new UserWord();
