import type { Process } from "../host/process.js";

const PAGE = 4096;

/**
 * One page of a process's memory for the arguments of its system calls: structures are laid out in `view`, then
 * `store` makes them visible to the kernel and `load` fetches what it wrote back. Reused by every call.
 */
export class Arguments {
  readonly view = new DataView(new ArrayBuffer(PAGE));
  private readonly bytes = new Uint8Array(this.view.buffer);

  /** @param address where the page is mapped; must be free in the process */
  constructor(
    private readonly process: Process,
    readonly address: number,
  ) {
    if (!process.memory.map(address, PAGE)) throw new Error(`${process.name}: the argument page at ${address} is taken`);
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
