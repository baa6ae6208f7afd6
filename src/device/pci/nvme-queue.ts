import type { Step } from "../../sim/step.js";
import type { DmaPort } from "../dma-port.js";

export const COMMAND_BYTES = 64;
const COMPLETION_BYTES = 16;
const PHASE = 1 << 16;

/** A submission queue: commands in memory, from `head` to the tail that its doorbell told. */
export class SubmissionQueue {
  head = 0;
  tail = 0;
  private readonly bytes = new Uint8Array(COMMAND_BYTES);
  readonly command = new DataView(this.bytes.buffer);

  constructor(
    readonly id: number,
    private readonly base: number,
    readonly entries: number,
    readonly completions: CompletionQueue,
  ) {}

  /** Fetches the next command into `command`; false where there is none, or its memory is not to be had. */
  *fetch(dma: DmaPort): Step<boolean> {
    if (this.head === this.tail) return false;
    const isThere = yield* dma.read(this.base + COMMAND_BYTES * this.head, this.bytes);
    this.head = (this.head + 1) % this.entries;
    return isThere;
  }
}

/** A completion queue: entries in memory, from the head that its doorbell told to `tail`. */
export class CompletionQueue {
  head = 0;
  private tail = 0;
  private phase = PHASE;
  private readonly bytes = new Uint8Array(COMPLETION_BYTES);
  private readonly entry = new DataView(this.bytes.buffer);

  /** @param vector -1 where it interrupts nobody */
  constructor(
    readonly id: number,
    private readonly base: number,
    readonly entries: number,
    readonly vector: number,
  ) {}

  get isEmpty(): boolean {
    return this.head === this.tail;
  }

  /** NVMe 1.4, 4.6: the command's id, its queue and how far that was read, status and phase. */
  *post(dma: DmaPort, from: SubmissionQueue, commandId: number, status: number): Step<void> {
    this.entry.setUint32(8, from.head | (from.id << 16), true);
    this.entry.setUint32(12, (commandId | this.phase | (status << 17)) >>> 0, true);
    yield* dma.write(this.base + COMPLETION_BYTES * this.tail, this.bytes);
    this.tail = (this.tail + 1) % this.entries;
    if (this.tail === 0) this.phase ^= PHASE;
  }
}
