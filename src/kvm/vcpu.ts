import type { VirtualInterface } from "../arch/gic/contract.js";
import type { GuestMode, HostCpu } from "../host/cpu.js";
import { reads, shared, type Waitable, writes } from "../sim/access.js";
import { type Context, current } from "../sim/context.js";
import { Cost } from "../sim/cost.js";
import { Mutex } from "../sim/lock.js";
import type { Step } from "../sim/step.js";
import { EXIT_KINDS, type GuestCpu, GuestExit, GuestTrap } from "./guest-cpu.js";
import { GuestRegisters, mpidrOf } from "./guest-registers.js";
import { HaltPoll } from "./halt.js";
import { kick, pauseVcpu, unpauseVcpu } from "./kick.js";
import { Signals } from "./signals.js";
import { VcpuTimers } from "./timer.js";
import type { Vm, VmVcpu } from "./vm.js";

/** host-irq.md 3.1. */
export const enum VcpuMode {
  OUTSIDE_GUEST_MODE,
  IN_GUEST_MODE,
  EXITING_GUEST_MODE,
}
export const MODE_NAMES: readonly string[] = ["OUTSIDE_GUEST_MODE", "IN_GUEST_MODE", "EXITING_GUEST_MODE"];

/** Requests to a vCPU, one bit each: handled before the next entry (gic-v3.md A9.11). */
export const enum Request {
  IRQ_PENDING = 1 << 0,
  VGIC_PROCESS_UPDATE = 1 << 1,
  SLEEP = 1 << 2,
  VCPU_RESET = 1 << 3,
  RELOAD_GICV4 = 1 << 4,
  VM_DEAD = 1 << 5,
}

/** Where a vCPU thread stands inside KVM_RUN, so that a wake can go on there. */
export const enum Stage {
  /** Not in KVM_RUN, or in the kernel on the way to the guest. */
  HOST,
  GUEST,
  /** Halt polling: runs, but only looks. */
  POLLING,
  /** Blocked in WFI. */
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

/** The counters of host-irq.md 3.5. */
export class VcpuStats {
  exits = 0;
  /** By {@link GuestExit}. */
  readonly exitsByReason = new Int32Array(EXIT_KINDS);
  wfiExits = 0;
  wfeExits = 0;
  hvcExits = 0;
  mmioExitUser = 0;
  mmioExitKernel = 0;
  signalExits = 0;
  haltAttemptedPoll = 0;
  haltSuccessfulPoll = 0;
  haltPollInvalid = 0;
  haltWakeup = 0;
  /** Reschedule IPIs that kicks of this vCPU sent. */
  kickIpis = 0;
}

/** Between the decision to enter the guest and the fold after it, closed. */
export class ExitGate implements Waitable {
  isInGuest = false;
  isOpen(): boolean {
    return !this.isInGuest;
  }
}

class Nothing implements GuestCpu {
  *run(vcpu: Vcpu): Step<GuestExit> {
    const isInterrupted = yield* vcpu.isInterrupted();
    return isInterrupted ? GuestExit.IRQ : GuestExit.IDLE;
  }
}
/** A vCPU without software: it spins. */
export const NO_GUEST: GuestCpu = new Nothing();

/**
 * One virtual CPU: registers, run state, requests, counters (host-irq.md 3, 4). What happens to it is in kick.ts (from
 * outside), vcpu-run.ts (KVM_RUN), halt.ts, timer.ts, mmio-exit.ts and psci.ts.
 */
export class Vcpu implements VmVcpu, GuestMode {
  readonly mutex: Mutex;
  readonly regs: GuestRegisters;
  readonly trap = new GuestTrap();
  readonly stat = new VcpuStats();
  readonly halt = new HaltPoll();
  readonly timers: VcpuTimers;
  /** The software that runs on it. */
  guest: GuestCpu = NO_GUEST;

  mode = VcpuMode.OUTSIDE_GUEST_MODE;
  requests = 0;
  sleep = Sleep.AWAKE;
  stage = Stage.HOST;
  isPoweredOff = false;
  /** Kept out of the guest by halt_guest. */
  isPaused = false;
  /** IRQ (bit 0) and FIQ (bit 1) inputs that user space drives; without an in-kernel controller. */
  inputs = 0;
  /** Open while the vCPU has nothing in the hardware: what a waiting kick waits for. */
  readonly exitGate = new ExitGate();

  /** The thread that last entered KVM_RUN; null before the first successful one. */
  thread: Context | null = null;
  signals = new Signals();
  hasRun = false;
  physicalCpu = -1;
  /** The physical CPU that it is loaded on, or was last. */
  hostCpu: HostCpu;
  /** The virtual CPU interface of the physical CPU that it is loaded on. */
  cpuInterface: VirtualInterface | null = null;

  isInitialized = false;
  /** features[0] of KVM_ARM_VCPU_INIT. */
  features = 0;
  isFinalized = false;
  /** Where PSCI CPU_ON starts it, and with what in x0. */
  resetPc = 0;
  resetX0Lo = 0;
  resetX0Hi = 0;
  /** A trapped access waits for its completion; one shot (K26). */
  isMmioNeeded = false;
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
  ) {
    this.mutex = new Mutex(vm.sim, "vcpu.mutex");
    this.regs = new GuestRegisters(mpidrOf(id));
    this.timers = new VcpuTimers(this);
    this.hostCpu = vm.host.cpus[0];
  }

  /** Is a host interrupt pending on the CPU that this vCPU runs on, or another thread waiting for it? */
  *isInterrupted(): Step<boolean> {
    const { hostCpu } = this;
    return hostCpu.needsResched || (yield* hostCpu.isInterruptPending());
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

  *requestIrqPending(): Step<void> {
    if (this.vm.hazards.kickBeforeRequest) yield* kick(this);
    yield* this.request(Request.IRQ_PENDING);
    if (!this.vm.hazards.kickBeforeRequest) yield* kick(this);
  }

  *requestProcessUpdate(): Step<void> {
    yield* this.request(Request.VGIC_PROCESS_UPDATE);
    yield* kick(this);
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

  /** Without an in-kernel controller the inputs of the core itself are driven (KVM_IRQ_LINE of type CPU). */
  *interruptLine(fiq: boolean, level: boolean): Step<number> {
    const bit = fiq ? 2 : 1;
    yield writes(this, "inputs");
    const before = this.inputs;
    this.inputs = level ? before | bit : before & ~bit;
    if (this.inputs !== before) yield* this.requestIrqPending();
    return 0;
  }

  *destroy(): Step<void> {
    yield* this.timers.destroy();
  }

  /** An interrupt waits and the vCPU may run (host-irq.md 3.4). */
  *isRunnable(): Step<boolean> {
    yield reads(this, "isPoweredOff");
    if (this.isPoweredOff) return false;
    yield reads(this, "isPaused");
    if (this.isPaused) return false;
    yield reads(this, "inputs");
    if (this.inputs !== 0) return true;
    const { armIrqchip } = this.vm;
    return armIrqchip !== null && (yield* armIrqchip.isPendingFor(this.index));
  }
}
shared(Vcpu, "mode", "requests", "sleep", "isPoweredOff", "isPaused", "inputs");
