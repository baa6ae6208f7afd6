import { reads, writes } from "../sim/access.js";
import { Cost } from "../sim/cost.js";
import { Ev } from "../sim/event.js";
import type { Sim } from "../sim/sim.js";
import type { Step } from "../sim/step.js";
import { EBADF, EINVAL, EMFILE } from "../uapi/errno.js";
import { type File, STILL_INSIDE } from "./file.js";
import { AddressSpace } from "./memory.js";

/** Limits and rights of a process. */
export interface ProcessOptions {
  /** RLIMIT_NOFILE; default 1024. */
  descriptorLimit?: number;
  /** RLIMIT_MEMLOCK in bytes; default 8 MiB. */
  lockedMemoryLimit?: number;
  /** Names without CAP_: "IPC_LOCK", "SYS_RAWIO". */
  capabilities?: readonly string[];
}

/**
 * A user process: descriptor table, memory, limits, capabilities. Its system calls run in the calling thread's
 * context, may block there, and return negative errnos.
 */
export class Process {
  readonly memory = new AddressSpace();
  readonly lockedMemoryLimit: number;
  /** Bytes pinned on this process's account, over all its IOMMU contexts. */
  lockedMemory = 0;
  readonly capabilities: ReadonlySet<string>;
  private readonly descriptorLimit: number;
  private readonly descriptors: (File | null)[] = [];
  /** Device regions in memory: each holds its file, as a vma does, whatever becomes of the descriptor. */
  private mapped: readonly { readonly start: number; readonly end: number; readonly file: File }[] = [];

  constructor(
    readonly sim: Sim,
    readonly name: string,
    options: ProcessOptions = {},
  ) {
    this.descriptorLimit = options.descriptorLimit ?? 1024;
    this.lockedMemoryLimit = options.lockedMemoryLimit ?? 8 << 20;
    this.capabilities = new Set(options.capabilities);
  }

  /** Gives the file the lowest free descriptor (the caller's reference goes with it), or -EMFILE. */
  install(file: File): number {
    let fd = this.descriptors.indexOf(null);
    if (fd < 0) fd = this.descriptors.length;
    if (fd >= this.descriptorLimit) return -EMFILE;
    this.descriptors[fd] = file;
    return fd;
  }

  /** How many files {@link install} would still take. */
  freeDescriptors(): number {
    return this.descriptorLimit - this.descriptors.filter((file) => file !== null).length;
  }

  /** Would {@link install} find a descriptor? */
  hasFreeDescriptor(): boolean {
    return this.freeDescriptors() > 0;
  }

  /** The open file of a descriptor, without a reference; null where nothing is open. */
  file(fd: number): File | null {
    return this.descriptors[fd] ?? null;
  }

  /** The open file of a descriptor with a reference taken, as a system call holds it; null where nothing is open. */
  *fdget(fd: number): Step<File | null> {
    yield reads(this, "descriptors");
    const file = this.descriptors[fd] ?? null;
    if (file !== null) file.get();
    return file;
  }

  *close(fd: number): Step<number> {
    this.sim.charge(Cost.syscall);
    const result = yield* this.closeDescriptor(fd);
    this.sim.emit(Ev.sys_close, fd, result);
    return result;
  }

  dup(fd: number): number {
    return this.sendFile(fd, this);
  }

  /** Passes a descriptor over a socket (SCM_RIGHTS): the receiver's descriptor, or -EBADF, -EMFILE. */
  sendFile(fd: number, receiver: Process): number {
    const file = this.file(fd);
    if (file === null) return -EBADF;
    const copy = receiver.install(file);
    if (copy >= 0) file.get();
    return copy;
  }

  /** Process exit: its memory goes first, then descriptors close in ascending order. */
  *exit(): Step<void> {
    for (let i = this.mapped.length - 1; i >= 0; i--) yield* this.munmap(this.mapped[i].start, this.mapped[i].end - this.mapped[i].start);
    for (let fd = 0; fd < this.descriptors.length; fd++) if (this.file(fd) !== null) yield* this.closeDescriptor(fd);
  }

  *ioctl(fd: number, request: number, argument: number): Step<number> {
    this.sim.charge(Cost.syscall);
    const file = yield* this.fdget(fd);
    if (file === null) return -EBADF;
    this.sim.charge(Cost.ioctl);
    const result = yield* file.ioctl(this, request, argument);
    if (this.sim.tracing) this.sim.emit(Ev.sys_ioctl, fd, request, result === STILL_INSIDE ? "inside" : result);
    yield* file.put();
    return result;
  }

  /** `offset` null is read(2), a number pread(2). */
  *read(fd: number, address: number, length: number, offset: number | null = null): Step<number> {
    this.sim.charge(Cost.syscall);
    const file = yield* this.fdget(fd);
    if (file === null) return -EBADF;
    const result = offset !== null && offset < 0 ? -EINVAL : yield* file.read(this, address, length, offset);
    yield* file.put();
    return result;
  }

  /** `offset` null is write(2), a number pwrite(2). */
  *write(fd: number, address: number, length: number, offset: number | null = null): Step<number> {
    this.sim.charge(Cost.syscall);
    const file = yield* this.fdget(fd);
    if (file === null) return -EBADF;
    const result = offset !== null && offset < 0 ? -EINVAL : yield* file.write(this, address, length, offset);
    yield* file.put();
    return result;
  }

  *mmap(fd: number, length: number, offset: number, isShared = true): Step<number> {
    this.sim.charge(Cost.syscall);
    const file = yield* this.fdget(fd);
    if (file === null) return -EBADF;
    const result = yield* file.mmap(this, length, offset, isShared);
    if (result < 0 || this.memory.areaAt(result)?.kind !== "device") yield* file.put();
    else this.mapped = [...this.mapped, { start: result, end: result + length, file }];
    return result;
  }

  /** Whole pages from `address`, a multiple of the page size, on; the last page of a mapping takes its hold of the file along. 0. */
  *munmap(address: number, length: number): Step<number> {
    this.sim.charge(Cost.syscall);
    this.memory.unmap(address, length);
    const gone = this.mapped.filter(({ start, end }) => !this.memory.hasDeviceIn(start, end));
    this.mapped = this.mapped.filter((each) => !gone.includes(each));
    for (let i = 0; i < gone.length; i++) yield* gone[i].file.put();
    return 0;
  }

  private *closeDescriptor(fd: number): Step<number> {
    yield writes(this, "descriptors");
    const file = this.file(fd);
    if (file === null) return -EBADF;
    this.descriptors[fd] = null;
    yield* file.put();
    return 0;
  }
}
