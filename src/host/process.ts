import { EBADF, EMFILE } from "../uapi/errno.js";
import type { Sim } from "../sim/sim.js";
import type { Step } from "../sim/step.js";
import type { File } from "./file.js";
import { AddressSpace } from "./memory.js";

export interface ProcessOptions {
  /** RLIMIT_NOFILE; default 1024. */
  descriptorLimit?: number;
  /** RLIMIT_MEMLOCK in bytes; default 8 MiB. */
  lockedMemoryLimit?: number;
  /** Names without CAP_: "IPC_LOCK", "SYS_RAWIO". */
  capabilities?: readonly string[];
}

/** A user process: descriptor table, memory, limits, capabilities. Its system calls return negative errnos. */
export class Process {
  readonly memory = new AddressSpace();
  readonly lockedMemoryLimit: number;
  /** Bytes pinned on this process's account, over all its IOMMU contexts. */
  lockedMemory = 0;
  readonly capabilities: ReadonlySet<string>;
  private readonly descriptorLimit: number;
  private readonly descriptors: (File | null)[] = [];

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

  /** Would {@link install} find a descriptor? */
  hasFreeDescriptor(): boolean {
    return this.descriptors.length < this.descriptorLimit || this.descriptors.includes(null);
  }

  /** The open file of a descriptor, without a reference; null where nothing is open. */
  file(fd: number): File | null {
    return this.descriptors[fd] ?? null;
  }

  *close(fd: number): Step<number> {
    const file = this.file(fd);
    if (file === null) return -EBADF;
    this.descriptors[fd] = null;
    yield* file.put();
    return 0;
  }

  dup(fd: number): number {
    const file = this.file(fd);
    if (file === null) return -EBADF;
    const copy = this.install(file);
    if (copy >= 0) file.get();
    return copy;
  }

  /** Process exit: descriptors close in ascending order. */
  *exit(): Step<void> {
    for (let fd = 0; fd < this.descriptors.length; fd++) if (this.descriptors[fd]) yield* this.close(fd);
  }

  *ioctl(fd: number, request: number, argument: number): Step<number> {
    const file = this.file(fd);
    if (file === null) return -EBADF;
    file.get();
    const result = yield* file.ioctl(this, request, argument);
    yield* file.put();
    return result;
  }

  *read(fd: number, address: number, length: number, offset: number | null = null): Step<number> {
    const file = this.file(fd);
    if (file === null) return -EBADF;
    file.get();
    const result = yield* file.read(this, address, length, offset);
    yield* file.put();
    return result;
  }

  *write(fd: number, address: number, length: number, offset: number | null = null): Step<number> {
    const file = this.file(fd);
    if (file === null) return -EBADF;
    file.get();
    const result = yield* file.write(this, address, length, offset);
    yield* file.put();
    return result;
  }

  *mmap(fd: number, length: number, offset: number, isShared = true): Step<number> {
    const file = this.file(fd);
    if (file === null) return -EBADF;
    return yield* file.mmap(this, length, offset, isShared);
  }
}
