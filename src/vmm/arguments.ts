import type { Process } from "../host/process.js";

/** Room for a routing table of 1,300 entries. */
const SIZE = 0x1_0000;

/**
 * A range of a process's memory for the arguments of its system calls: structures are laid out in `view`, then
 * `store` makes them visible to the kernel and `load` fetches what it wrote back. Reused by every call.
 */
export class Arguments {
  readonly view = new DataView(new ArrayBuffer(SIZE));
  private readonly bytes = new Uint8Array(this.view.buffer);

  /** @param address where it is mapped; must be free in the process */
  constructor(
    private readonly process: Process,
    readonly address: number,
  ) {
    if (!process.memory.map(address, SIZE)) throw new Error(`${process.name}: the arguments at ${address} are taken`);
  }

  store(length: number): void {
    this.process.memory.copyOut(this.address, this.bytes, length);
  }

  load(length: number): void {
    this.process.memory.copyIn(this.address, this.bytes, length);
  }

  /** Zeroes the first `length` bytes: a structure that starts clean. */
  clear(length: number): void {
    this.bytes.fill(0, 0, length);
  }
}
