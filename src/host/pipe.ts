import type { Sim } from "../sim/sim.js";
import type { Step } from "../sim/step.js";
import { EAGAIN, EBADF, EFAULT, EINTR, EINVAL, EMFILE, EPIPE, ESPIPE } from "../uapi/errno.js";
import { EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT } from "../uapi/eventfd.js";
import { File } from "./file.js";
import type { PollTable } from "./poll.js";
import type { Process } from "./process.js";
import { Sleeper } from "./sleeper.js";
import { WaitQueueHead } from "./wait-queue.js";

const CAPACITY = 65_536;
/** A write of up to this many bytes goes in whole or not at all. */
const PIPE_BUF = 4096;
const O_CLOEXEC = 0x8_0000;
const O_NONBLOCK = 0x800;

/** The bytes between two ends, a ring, with one wait queue for both. */
class Pipe {
  readonly waiters: WaitQueueHead;
  readonly bytes = new Uint8Array(CAPACITY);
  start = 0;
  length = 0;
  hasReader = true;
  hasWriter = true;

  constructor(
    readonly sim: Sim,
    readonly isNonBlocking: boolean,
  ) {
    this.waiters = new WaitQueueHead(sim, "pipe");
  }
}

class PipeReader extends File {
  readonly kind = "pipe";

  constructor(private readonly pipe: Pipe) {
    super();
  }

  /** At least one byte; 0 when it is empty and no writer is left. -EAGAIN, -EINTR, -EFAULT, -ESPIPE. */
  override *read(process: Process, address: number, length: number, offset: number | null): Step<number> {
    if (offset !== null) return -ESPIPE;
    if (length === 0) return 0;
    if (!process.memory.isWritable(address, length)) return -EFAULT;
    const { pipe } = this;
    yield* pipe.waiters.lock.lock();
    const sleeper = new Sleeper(pipe.sim, pipe.waiters);
    let isUndisturbed = true;
    while (pipe.length === 0 && pipe.hasWriter && !pipe.isNonBlocking && isUndisturbed) isUndisturbed = yield* sleeper.sleep();
    sleeper.leave();
    const count = Math.min(length, pipe.length);
    for (let i = 0; i < count; i++) process.memory.setU8(address + i, pipe.bytes[(pipe.start + i) % CAPACITY]);
    pipe.start = (pipe.start + count) % CAPACITY;
    pipe.length -= count;
    if (count > 0) yield* pipe.waiters.wakeLocked(EPOLLOUT);
    const isOver = !pipe.hasWriter;
    yield* pipe.waiters.lock.unlock();
    if (count > 0 || isOver) return count;
    return isUndisturbed ? -EAGAIN : -EINTR;
  }

  override *write(): Step<number> {
    return -EBADF;
  }

  override *poll(table: PollTable | null): Step<number> {
    if (table !== null) yield* table.queue(this.pipe.waiters);
    return (this.pipe.length > 0 ? EPOLLIN : 0) | (this.pipe.hasWriter ? 0 : EPOLLHUP);
  }

  override *release(): Step<void> {
    this.pipe.hasReader = false;
    yield* this.pipe.waiters.wake(EPOLLOUT | EPOLLERR | EPOLLHUP);
  }
}

class PipeWriter extends File {
  readonly kind = "pipe";

  constructor(private readonly pipe: Pipe) {
    super();
  }

  override *read(): Step<number> {
    return -EBADF;
  }

  /** The bytes that went in: all of them when it may block. -EPIPE without a reader, -EAGAIN, -EINTR, -EFAULT, -ESPIPE. */
  override *write(process: Process, address: number, length: number, offset: number | null): Step<number> {
    if (offset !== null) return -ESPIPE;
    if (!process.memory.isReadable(address, length)) return -EFAULT;
    const { pipe } = this;
    yield* pipe.waiters.lock.lock();
    const sleeper = new Sleeper(pipe.sim, pipe.waiters);
    let isUndisturbed = true;
    let written = 0;
    while (written < length && pipe.hasReader && isUndisturbed) {
      const space = CAPACITY - pipe.length;
      const chunk = length <= PIPE_BUF && space < length ? 0 : Math.min(space, length - written);
      for (let i = 0; i < chunk; i++) pipe.bytes[(pipe.start + pipe.length + i) % CAPACITY] = process.memory.getU8(address + written + i);
      pipe.length += chunk;
      written += chunk;
      if (chunk > 0) yield* pipe.waiters.wakeLocked(EPOLLIN);
      if (written === length || pipe.isNonBlocking) break;
      isUndisturbed = yield* sleeper.sleep();
    }
    sleeper.leave();
    const isBroken = !pipe.hasReader;
    yield* pipe.waiters.lock.unlock();
    if (written > 0 || length === 0) return written;
    if (isBroken) return -EPIPE;
    return isUndisturbed ? -EAGAIN : -EINTR;
  }

  override *poll(table: PollTable | null): Step<number> {
    if (table !== null) yield* table.queue(this.pipe.waiters);
    return (CAPACITY - this.pipe.length >= PIPE_BUF ? EPOLLOUT : 0) | (this.pipe.hasReader ? 0 : EPOLLERR);
  }

  override *release(): Step<void> {
    this.pipe.hasWriter = false;
    yield* this.pipe.waiters.wake(EPOLLIN | EPOLLHUP);
  }
}

/** pipe2(2): the reading and the writing descriptor, or -EINVAL for other flags than O_NONBLOCK and O_CLOEXEC, -EMFILE. */
export function pipe2(process: Process, flags = 0): readonly [reader: number, writer: number] | number {
  if ((flags & ~(O_NONBLOCK | O_CLOEXEC)) !== 0) return -EINVAL;
  if (process.freeDescriptors() < 2) return -EMFILE;
  const pipe = new Pipe(process.sim, (flags & O_NONBLOCK) !== 0);
  return [process.install(new PipeReader(pipe)), process.install(new PipeWriter(pipe))];
}
