import { File } from "../../host/file.js";
import type { Process } from "../../host/process.js";
import { UserArgument } from "../../host/user-argument.js";
import type { Step } from "../../sim/step.js";
import { EFAULT, EINVAL, ENODEV, ENOMSG, ENOTTY, ESPIPE } from "../../uapi/errno.js";
import { VFIO_DEVICE_STATE_PRE_COPY, VFIO_DEVICE_STATE_PRE_COPY_P2P, VFIO_MIG_GET_PRECOPY_INFO, vfio_precopy_info } from "../../uapi/vfio.js";
import type { Migration, MigrationDriver } from "./migration.js";

/** In front of each copy of the state: its length, a u32. The last whole one counts. */
const HEADER = 4;
const info = new UserArgument(vfio_precopy_info.size);

/** The end that user space has of a device's state: a stream. It is of no use once the device has left the states that it is for. */
export abstract class MigrationFile extends File {
  readonly kind = "vfio-migration";
  protected isDisabled = false;

  constructor(protected readonly migration: Migration) {
    super();
  }

  disable(): void {
    this.isDisabled = true;
  }
}

/** What is read while a device is saved: copies of its state, in PRE_COPY as often as it changes, in STOP_COPY the last. */
export class SavingFile extends MigrationFile {
  private bytes: Uint8Array = new Uint8Array(0);
  private position = 0;
  private lastCopy: Uint8Array | null = null;
  private isFinal = false;
  /** Of the first copy, what is not read yet. */
  private initialLeft = 0;

  constructor(
    migration: Migration,
    private readonly driver: MigrationDriver,
  ) {
    super(migration);
  }

  /** The migration's lock is held: a copy is there to be read, the first one or one that differs from the last. */
  *fill(isFinal: boolean): Step<void> {
    const copy = yield* this.driver.save();
    const isFirst = this.lastCopy === null;
    this.isFinal = isFinal;
    if (!this.differs(copy)) return;
    this.lastCopy = copy;
    const left = this.bytes.subarray(this.position);
    const bytes = new Uint8Array(left.length + HEADER + copy.length);
    bytes.set(left);
    new DataView(bytes.buffer).setUint32(left.length, copy.length, true);
    bytes.set(copy, left.length + HEADER);
    if (isFirst) this.initialLeft = bytes.length;
    this.bytes = bytes;
    this.position = 0;
  }

  private differs(copy: Uint8Array): boolean {
    const { lastCopy } = this;
    return lastCopy === null || lastCopy.length !== copy.length || copy.some((byte, i) => byte !== lastCopy[i]);
  }

  /** Bytes; 0 at the end of STOP_COPY's, -ENOMSG where PRE_COPY has no more for now, -ENODEV once disabled. */
  override *read(process: Process, address: number, length: number, offset: number | null): Step<number> {
    if (offset !== null) return -ESPIPE;
    yield* this.migration.lock.lock();
    const result = this.isDisabled ? -ENODEV : yield* this.take(process, address, length);
    yield* this.migration.lock.unlock();
    return result;
  }

  private *take(process: Process, address: number, length: number): Step<number> {
    if (this.position === this.bytes.length && !this.isFinal) yield* this.fill(false);
    const count = Math.min(length, this.bytes.length - this.position);
    if (count === 0) return this.isFinal || length === 0 ? 0 : -ENOMSG;
    if (!process.memory.copyOut(address, this.bytes.subarray(this.position, this.position + count))) return -EFAULT;
    this.position += count;
    this.initialLeft = Math.max(0, this.initialLeft - count);
    return count;
  }

  override *ioctl(process: Process, request: number, address: number): Step<number> {
    if (request !== VFIO_MIG_GET_PRECOPY_INFO) return -ENOTTY;
    const layout = vfio_precopy_info;
    if (!info.copyIn(process, address)) return -EFAULT;
    const argsz = layout.argsz.get(info.view);
    const flags = layout.flags.get(info.view);
    if (argsz < layout.size || flags !== 0) return -EINVAL;
    const state = yield* this.migration.currentState();
    if (state !== VFIO_DEVICE_STATE_PRE_COPY && state !== VFIO_DEVICE_STATE_PRE_COPY_P2P) return -EINVAL;
    yield* this.migration.lock.lock();
    const copy = yield* this.driver.save();
    const isDirty = this.differs(copy);
    const unread = this.bytes.length - this.position - this.initialLeft;
    yield* this.migration.lock.unlock();
    if (this.isDisabled) return -ENODEV;
    layout.argsz.set(info.view, argsz);
    layout.flags.set(info.view, 0);
    layout.initial_bytes.setNumber(info.view, this.initialLeft);
    layout.dirty_bytes.setNumber(info.view, unread + (isDirty ? HEADER + copy.length : 0));
    return info.copyOut(process, address) ? 0 : -EFAULT;
  }
}

/** What is written while a device resumes: what was read at the other side. */
export class ResumingFile extends MigrationFile {
  private readonly chunks: Uint8Array[] = [];

  override *write(process: Process, address: number, length: number, offset: number | null): Step<number> {
    if (offset !== null) return -ESPIPE;
    yield* this.migration.lock.lock();
    const chunk = new Uint8Array(this.isDisabled ? 0 : length);
    let result = length;
    if (this.isDisabled) result = -ENODEV;
    else if (process.memory.copyIn(address, chunk)) this.chunks.push(chunk);
    else result = -EFAULT;
    yield* this.migration.lock.unlock();
    return result;
  }

  /** The last whole copy; null where nothing was written. What is not of this format is empty, and fits no device. */
  received(): Uint8Array | null {
    const length = this.chunks.reduce((sum, chunk) => sum + chunk.length, 0);
    if (length === 0) return null;
    const bytes = new Uint8Array(length);
    let at = 0;
    for (const chunk of this.chunks) {
      bytes.set(chunk, at);
      at += chunk.length;
    }
    const view = new DataView(bytes.buffer);
    let last = new Uint8Array(0);
    for (at = 0; at + HEADER <= length && at + HEADER + view.getUint32(at, true) <= length; ) {
      const size = view.getUint32(at, true);
      last = bytes.slice(at + HEADER, at + HEADER + size);
      at += HEADER + size;
    }
    return at === length ? last : new Uint8Array(0);
  }
}
