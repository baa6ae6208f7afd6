import type { GuestMode, HostCpu } from "../host/cpu.js";
import { shared, type Waitable, writes } from "../sim/access.js";
import { type Context, current } from "../sim/context.js";
import { Cost } from "../sim/cost.js";
import { Lifetime } from "../sim/lifetime.js";
import { allowAsleep, Mutex } from "../sim/lock.js";
import type { Step } from "../sim/step.js";
import { HaltPoll } from "./halt-poll.js";
import { pauseVcpu, unpauseVcpu } from "./kick.js";
import { Signals } from "./signals.js";
import type { Vm, VmVcpu } from "./vm.js";

// Held throughout KVM_RUN, also while its thread sleeps.
allowAsleep("vcpu.mutex");

/** host-irq.md 3.1. */
export const enum VcpuMode {
  OUTSIDE_GUEST_MODE,
  IN_GUEST_MODE,
  EXITING_GUEST_MODE,
}
export const MODE_NAMES: readonly string[] = ["OUTSIDE_GUEST_MODE", "IN_GUEST_MODE", "EXITING_GUEST_MODE"];

/** Requests that every architecture has, one bit each; an architecture's own have the bits below 1 << 16. */
export const enum Request {
  SLEEP = 1 << 16,
  VM_DEAD = 1 << 17,
}

/** Where a vCPU thread stands inside KVM_RUN, so that a wake can go on there. */
export const enum Stage {
  /** Not in KVM_RUN, or in the kernel on the way to the guest. */
  HOST,
  GUEST,
  /** Halt polling: runs, but only looks. */
  POLLING,
  /** Blocked: halted, or waiting to be started. */
  BLOCKED,
  /** Powered off or paused. */
  ASLEEP,
  /** Gave its CPU to another thread. */
  PREEMPTED,
}

/** A thread's place on the vCPU's wait queue: what a kicker finds there. */
export const enum Sleep {
  AWAKE,
  WAITING,
  /** Already made runnable. */
  WOKEN,
}

/** The counters of host-irq.md 3.5 that every architecture has. */
export class VcpuStats {
  exits = 0;
  /** By the architecture's exit reasons. */
  readonly exitsByReason: Int32Array;
  mmioExitUser = 0;
  mmioExitKernel = 0;
  signalExits = 0;
  haltAttemptedPoll = 0;
  haltSuccessfulPoll = 0;
  haltPollInvalid = 0;
  haltWakeup = 0;
  /** Reschedule IPIs that kicks of this vCPU sent. */
  kickIpis = 0;

  constructor(exitKinds: number) {
    this.exitsByReason = new Int32Array(exitKinds);
  }
}

/** Between the decision to enter the guest and the fold after it, closed. */
export class ExitGate implements Waitable {
  isInGuest = false;
  isOpen(): boolean {
    return !this.isInGuest;
  }
}

/**
 * What KVM_RUN, kicks and halts need of a vCPU on every architecture (host-irq.md 3, 4.5): mode, requests, the thread
 * inside it. What an architecture adds is behind the abstract methods, in the order in which KVM_RUN comes to them.
 */
export abstract class VcpuCore implements VmVcpu, GuestMode {
  readonly mutex: Mutex;
  readonly lifetime: Lifetime;
  readonly halt = new HaltPoll();

  mode = VcpuMode.OUTSIDE_GUEST_MODE;
  requests = 0;
  sleep = Sleep.AWAKE;
  stage = Stage.HOST;
  /** Kept out of the guest by halt_guest. */
  isPaused = false;
  /** Open while the vCPU has nothing in the hardware: what a waiting kick waits for. */
  readonly exitGate = new ExitGate();

  /** The thread that last entered KVM_RUN; null before the first successful one. */
  thread: Context | null = null;
  signals = new Signals();
  hasRun = false;
  physicalCpu = -1;
  /** The physical CPU that it is loaded on, or was last. */
  hostCpu: HostCpu;
  /** Address of the kvm_run page in the process's memory. */
  runAddress = 0;
  /** KVM_SET_SIGNAL_MASK: applies inside KVM_RUN. */
  hasSignalMask = false;
  signalMaskLo = 0;
  signalMaskHi = 0;

  constructor(
    readonly vm: Vm,
    readonly id: number,
    readonly index: number,
    readonly stat: VcpuStats,
  ) {
    this.mutex = new Mutex(vm.sim, "vcpu.mutex");
    this.hostCpu = vm.host.cpus[0];
    this.lifetime = new Lifetime("vCPU", id);
    this.lifetime.spans(this, this.mutex, this.halt, this.exitGate, this.signals);
  }

  /** Names of KVM's tracepoint by exit reason. */
  abstract readonly exitNames: readonly string[];
  /** The first KVM_RUN of a thread, repeated until it succeeds: 0 or a negative errno. */
  abstract prepareFirstRun(): Step<number>;
  /** The vCPU's state onto a physical CPU, and off it again. `isBlocking`: it waits for an interrupt. */
  abstract load(cpu: number): Step<void>;
  abstract put(isBlocking: boolean): Step<void>;
  /** What user space answered to the last exit goes into the guest. */
  abstract completeExit(): void;
  /** Requests and everything else that is looked at before an entry: CONTINUE, or what ends or suspends KVM_RUN. */
  abstract beforeEntry(): Step<number>;
  /** Interrupts are off: pending interrupts into the hardware before the guest, back from it after. */
  abstract flush(): Step<void>;
  abstract sync(): Step<void>;
  /** The guest until it exits: 0 while it has nothing to do, else the architecture's exit reason. */
  abstract runGuest(): Step<number>;
  abstract handleExit(exit: number): Step<number>;
  /** Before KVM_RUN returns: the fields of kvm_run that the architecture keeps current. */
  abstract saveRun(): Step<void>;
  /** May a halted vCPU go on: an interrupt that would be taken, or whatever else ends the halt? */
  abstract isRunnable(): Step<boolean>;
  abstract hasFiredTimer(): Step<boolean>;
  /** Virtual time of the next timer of the guest, Infinity when there is none. */
  abstract nextDeadline(): Step<number>;
  /** The halt is over, by an event or by a signal: CONTINUE, or what ends KVM_RUN. */
  abstract haltEnded(): Step<number>;
  /** Powered off or paused: must it stay in the kernel, asleep? */
  abstract mustSleep(): Step<boolean>;
  abstract requestIrqPending(): Step<void>;
  abstract requestProcessUpdate(): Step<void>;
  abstract interruptLine(fiq: boolean, level: boolean): Step<number>;
  abstract destroy(): Step<void>;

  /** Is a host interrupt pending on the CPU that this vCPU runs on, or another thread waiting for it? */
  *isInterrupted(): Step<boolean> {
    const { hostCpu } = this;
    const isPending = yield* hostCpu.isInterruptPending();
    return isPending || hostCpu.needsResched; // looked at by that access, with which a preemption is in an order
  }

  /** An interrupt for the host came while the guest runs: it leaves by itself when its own thread is running. */
  *forceExit(isIpi: boolean): Step<void> {
    const { thread, vm } = this;
    if (thread === null || thread === current().context) return;
    if (isIpi) vm.sim.wakeAfter(thread, Cost.ipi);
    else vm.sim.wake(thread, 0);
  }

  /** Sets a request bit. The kick comes after it, never before (K15). */
  *request(bits: number): Step<void> {
    yield writes(this, "requests");
    this.requests |= bits;
  }

  *clearRequest(bits: number): Step<void> {
    yield writes(this, "requests");
    this.requests &= ~bits;
  }

  *pause(): Step<void> {
    yield* pauseVcpu(this);
  }

  *waitForPause(): Step<void> {
    yield* this.vm.sim.wait(this.exitGate);
  }

  *unpause(): Step<void> {
    yield* unpauseVcpu(this);
  }
}
shared(VcpuCore, "mode", "requests", "sleep", "isPaused");
