import { PersonError } from "../../sim/person-error.js";
import { errnoName } from "../../uapi/errno.js";
import { SYS, type Syscalls } from "./syscalls.js";

/** A real-time signal that nothing else uses; it stays blocked in this thread except inside KVM_RUN. */
const SIGNAL = 50;
const SIG_BLOCK = 0;
const SIG_UNBLOCK = 1;
const SIGEV_THREAD_ID = 4;
const CLOCK_MONOTONIC = 1;
const SIGSET_BYTES = 8;
/** A vCPU that sleeps is woken by the timer; the second time it is given longer, so that a busy machine is not taken for sleep. */
const WAKE_NS = [100_000, 500_000];

/**
 * Brings this thread out of KVM_RUN: a timer whose signal goes to this thread alone. The signal is blocked here and let in by
 * KVM_SET_SIGNAL_MASK, so that no handler is needed and no other thread can get it.
 */
export class WakeTimer {
  private readonly timer: number;
  private readonly set: Uint8Array;

  constructor(private readonly system: Syscalls) {
    const { memory, base } = system;
    this.set = new Uint8Array(SIGSET_BYTES);
    new DataView(this.set.buffer).setBigUint64(0, 1n << BigInt(SIGNAL - 1), true);
    system.bytes.set(this.set, 0);
    must(system.call(SYS.rt_sigprocmask, SIG_BLOCK, base, 0, SIGSET_BYTES), "rt_sigprocmask");
    // struct sigevent: value, signo, notify, tid.
    system.bytes.fill(0, 0, 64);
    memory.setInt32(8, SIGNAL, true);
    memory.setInt32(12, SIGEV_THREAD_ID, true);
    memory.setInt32(16, must(system.call(SYS.gettid), "gettid"), true);
    must(system.call(SYS.timer_create, CLOCK_MONOTONIC, base, base + 64), "timer_create");
    this.timer = memory.getInt32(64, true);
  }

  /** The signal mask for KVM_SET_SIGNAL_MASK: nothing blocked. */
  static readonly KVM_MASK = new Uint8Array([SIGSET_BYTES, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);

  /** Once, a while from now; `again`: how often it fired for this sleep already. */
  arm(again: number): void {
    this.set_(WAKE_NS[Math.min(again, WAKE_NS.length - 1)]);
  }

  /** Takes the signal that ended KVM_RUN. */
  drain(): void {
    const { system } = this;
    system.bytes.set(this.set, 0);
    system.bytes.fill(0, 16, 32);
    system.call(SYS.rt_sigtimedwait, system.base, 0, system.base + 16, SIGSET_BYTES);
  }

  end(): void {
    this.set_(0);
    this.drain();
    this.system.call(SYS.timer_delete, this.timer);
    this.system.bytes.set(this.set, 0);
    this.system.call(SYS.rt_sigprocmask, SIG_UNBLOCK, this.system.base, 0, SIGSET_BYTES);
  }

  private set_(ns: number): void {
    const { memory, base } = this.system;
    // struct itimerspec: interval, value; seconds and nanoseconds.
    memory.setBigUint64(0, 0n, true);
    memory.setBigUint64(8, 0n, true);
    memory.setBigUint64(16, 0n, true);
    memory.setUint32(24, ns, true);
    memory.setUint32(28, 0, true);
    this.system.call(SYS.timer_settime, this.timer, 0, base, 0);
  }
}

/** A call that the comparison cannot do without. @throws PersonError where the machine refuses it */
export function must(result: number, what: string): number {
  if (result < 0) throw new PersonError(`${what} answers ${errnoName(result)}: the running kernel cannot be compared on this machine as it is`);
  return result;
}
