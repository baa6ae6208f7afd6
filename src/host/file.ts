import { EINVAL, ENODEV, ENOTTY } from "../uapi/errno.js";
import { type Countable, counts } from "../sim/access.js";
import { Lifetime } from "../sim/lifetime.js";
import type { Step } from "../sim/step.js";
import type { PollTable } from "./poll.js";
import type { Process } from "./process.js";

/** An ioctl's answer while it has not ended: its thread sleeps inside. */
export const STILL_INSIDE = 0x4000_0000;

/**
 * An open file: lives while any descriptor, system call in flight or explicit reference holds it; then `release` runs
 * once (kvm-irq-core.md 1.1, vfio.md 5.4). Operations return counts or negative errnos.
 */
export abstract class File implements Countable {
  private references = 1;
  /** Of its memory: it ends behind the release. */
  private readonly lifetime = new Lifetime("file");
  /** What the file is, for messages: "eventfd", "kvm-vm", "vfio-device". */
  abstract readonly kind: string;

  constructor() {
    this.lifetime.spans(this);
  }

  get isAlive(): boolean {
    return this.lifetime.isAlive() && this.references > 0;
  }

  get remaining(): number {
    return this.references;
  }

  /** Takes one more reference. */
  get(): void {
    this.lifetime.raise(this.references);
    this.references++;
  }

  /** Drops a reference; the last one releases the file. */
  *put(): Step<void> {
    yield counts(this, "references");
    this.lifetime.lower(--this.references);
    if (this.references > 0) return;
    yield* this.release();
    this.lifetime.free();
  }

  *release(): Step<void> {}

  /** `offset` is null for read(2) and write(2), a position for pread(2) and pwrite(2). */
  *read(_process: Process, _address: number, _length: number, _offset: number | null): Step<number> {
    return -EINVAL;
  }

  *write(_process: Process, _address: number, _length: number, _offset: number | null): Step<number> {
    return -EINVAL;
  }

  *ioctl(_process: Process, _request: number, _argument: number): Step<number> {
    return -ENOTTY;
  }

  /** Registers the caller's wait entry first (when there is a table), then samples the ready mask. */
  *poll(_table: PollTable | null): Step<number> {
    return 0;
  }

  /** Maps `length` bytes from `offset`; an address, or a negative errno. */
  *mmap(_process: Process, _length: number, _offset: number, _isShared: boolean): Step<number> {
    return -ENODEV;
  }
}
