import { PersonError } from "../../sim/person-error.js";

/** Numbers of x86-64 (arch/x86/entry/syscalls/syscall_64.tbl). */
export const SYS = {
  read: 0,
  write: 1,
  close: 3,
  mmap: 9,
  rt_sigprocmask: 14,
  ioctl: 16,
  dup: 32,
  nanosleep: 35,
  rt_sigtimedwait: 128,
  gettid: 186,
  sched_setaffinity: 203,
  sched_getaffinity: 204,
  timer_create: 222,
  timer_settime: 223,
  timer_delete: 226,
  openat: 257,
  eventfd2: 290,
  pipe2: 293,
  getcpu: 309,
} as const;

const PROT_READ_WRITE = 3;
const MAP_SHARED = 0x01;
const MAP_PRIVATE = 0x02;
const MAP_FIXED = 0x10;
const MAP_ANONYMOUS = 0x20;
const AT_FDCWD = -100;
const O_RDWR = 2;
const O_CLOEXEC = 0o2000000;

type Call = (nr: number, a: number, b: number, c: number, d: number, e: number, f: number) => number;

/** What is used of koffi. */
interface Koffi {
  load(library: null): { func(definition: string): Call & { async(...args: [...Parameters<Call>, (error: unknown, result: number) => void]): void } };
  errno(): number;
  view(address: bigint, length: number): ArrayBuffer;
}

const PAGE = 4096;
const SCRATCH_PAGES = 64;
/** Descriptors that close beside this thread at a time, each with what follows it. */
const MOST_CLOSING = 64;
/** Memory that system calls and this process both see: structures, and what vCPUs and guests map. */
const ARENA_BYTES = 1 << 27;

/** Why a package cannot be used: it is not there, or it is and does not load. */
function refusal(name: string, error: unknown): string {
  const who = `the package ${name}, which makes the system calls,`;
  const said = error instanceof Error ? error.message.split("\n")[0] : String(error);
  const isMissing = error instanceof Error && "code" in error && error.code === "ERR_MODULE_NOT_FOUND" && said.includes(`'${name}'`);
  return isMissing ? `${who} is not installed; run npm install koffi` : `${who} is installed and cannot be loaded (${said}); run npm rebuild koffi, or install it anew for this Node and machine`;
}

/**
 * The running kernel's system calls, straight from this thread: a result of 0 or more, or a negative errno. Memory that the
 * kernel reads or writes lies in one arena at a known address.
 */
export class Syscalls {
  readonly memory: DataView;
  readonly bytes: Uint8Array;
  /** Address of the arena's first byte. */
  readonly base: number;
  private readonly free: number[][] = [];
  private top = SCRATCH_PAGES;
  private closing = 0;

  private constructor(
    private readonly koffi: Koffi,
    private readonly function_: ReturnType<ReturnType<Koffi["load"]>["func"]>,
  ) {
    this.base = this.call(SYS.mmap, 0, ARENA_BYTES, PROT_READ_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    const arena = koffi.view(BigInt(this.base), ARENA_BYTES);
    this.memory = new DataView(arena);
    this.bytes = new Uint8Array(arena);
  }

  /**
   * @param name of the package, which is optional: nothing else of virq needs it
   * @throws PersonError where it is not installed, or the kernel is not Linux on x86-64
   */
  static async load(name: string = "koffi"): Promise<Syscalls> {
    if (process.platform !== "linux" || process.arch !== "x64") throw new PersonError("the running kernel is compared on x86-64 Linux only; run it there, or use --target model");
    const koffi = await import(name).then(
      (module: { readonly default: Koffi }) => module.default,
      (error: unknown) => {
        throw new PersonError(refusal(name, error));
      },
    );
    return new Syscalls(koffi, koffi.load(null).func("int64_t syscall(int64_t nr, int64_t a, int64_t b, int64_t c, int64_t d, int64_t e, int64_t f)"));
  }

  call(nr: number, a = 0, b = 0, c = 0, d = 0, e = 0, f = 0): number {
    const result = this.function_(nr, a, b, c, d, e, f);
    return result === -1 ? -this.koffi.errno() : result;
  }

  /** Opens a path for reading and writing. */
  open(path: string): number {
    this.bytes.set(new TextEncoder().encode(`${path}\0`), 0);
    return this.call(SYS.openat, AT_FDCWD, this.base, O_RDWR | O_CLOEXEC);
  }

  ioctl(fd: number, request: number, argument: number): number {
    return this.call(SYS.ioctl, fd, request, argument);
  }

  /** An ioctl with a structure, which goes through the scratch pages of the arena and comes back. */
  ioctlWith(fd: number, request: number, structure: Uint8Array): number {
    this.bytes.set(structure, 0);
    const result = this.call(SYS.ioctl, fd, request, this.base);
    structure.set(this.bytes.subarray(0, structure.length));
    return result;
  }

  /** Whole pages of the arena, zeroed. @returns their offset */
  allocate(pages: number): number {
    const again = this.free[pages]?.pop();
    const at = again ?? this.top;
    if (again === undefined) this.top += pages;
    if (this.top * PAGE > ARENA_BYTES) throw new Error("the arena is full: something is not given back");
    return at * PAGE;
  }

  /** Gives pages back; whatever was mapped there is gone. */
  release(offset: number, pages: number): void {
    this.call(SYS.mmap, this.base + offset, pages * PAGE, PROT_READ_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    (this.free[pages] ??= []).push(offset / PAGE);
  }

  /** Maps a descriptor's pages over allocated ones. */
  map(offset: number, pages: number, fd: number): number {
    return this.call(SYS.mmap, this.base + offset, pages * PAGE, PROT_READ_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
  }

  /** Threads inherit the CPUs of the thread that starts them: they start before this one binds itself. */
  async startThreads(): Promise<void> {
    await new Promise<void>((resolve) => this.function_.async(SYS.gettid, 0, 0, 0, 0, 0, 0, () => resolve()));
  }

  /** Closes descriptors, in order, beside this thread: destroying a VM waits 16 ms for grace periods. */
  closeBeside(fds: readonly number[]): void {
    if (this.closing < MOST_CLOSING) this.closeNext([...fds]);
    else for (const fd of fds) this.call(SYS.close, fd);
  }

  private closeNext(fds: number[]): void {
    const fd = fds.shift();
    if (fd === undefined) return;
    this.closing++;
    this.function_.async(SYS.close, fd, 0, 0, 0, 0, 0, () => {
      this.closing--;
      this.closeNext(fds);
    });
  }

  /** Lets what {@link closeBeside} began go on, until little or nothing of it is left. */
  async settleClosing(isEnd: boolean): Promise<void> {
    while (this.closing > (isEnd ? 0 : MOST_CLOSING / 2)) await new Promise((resolve) => setImmediate(resolve));
  }
}
