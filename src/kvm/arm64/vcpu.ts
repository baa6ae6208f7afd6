import type { VirtualInterface } from "../../arch/gic/contract.js";
import { reads, shared, writes } from "../../sim/access.js";
import type { Step } from "../../sim/step.js";
import { ENOEXEC } from "../../uapi/errno.js";
import { KVM_EXIT_MMIO } from "../../uapi/kvm.js";
import { handleExit, handleRequests } from "./run.js";
import { EXIT_KINDS, EXIT_NAMES, type GuestCpu, GuestExit, GuestTrap } from "./guest-cpu.js";
import { GuestRegisters, mpidrOf } from "./guest-registers.js";
import { kick } from "../kick.js";
import { completeMmio } from "./mmio-exit.js";
import { exitReason } from "../run-page.js";
import { CONTINUE } from "../run-result.js";
import { VcpuTimers } from "./timer.js";
import { VcpuCore, VcpuStats } from "../vcpu-core.js";
import type { Vm } from "../vm.js";

/** Requests of arm64 alone (gic-v3.md A9.11). */
export const enum ArmRequest {
  IRQ_PENDING = 1 << 0,
  VGIC_PROCESS_UPDATE = 1 << 1,
  VCPU_RESET = 1 << 2,
  RELOAD_GICV4 = 1 << 3,
}

/** The counters of host-irq.md 3.5. */
export class ArmVcpuStats extends VcpuStats {
  wfiExits = 0;
  wfeExits = 0;
  hvcExits = 0;

  constructor() {
    super(EXIT_KINDS);
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
 * One virtual CPU of an arm64 VM: registers, timers, and what its interrupt controller adds to KVM_RUN (host-irq.md 3,
 * 4). What happens to it is in ../kick.ts (from outside), ../vcpu-run.ts and run.ts (KVM_RUN), ../halt.ts, timer.ts,
 * mmio-exit.ts and psci.ts.
 */
export class Vcpu extends VcpuCore {
  declare readonly stat: ArmVcpuStats;
  readonly regs: GuestRegisters;
  readonly trap = new GuestTrap();
  readonly timers: VcpuTimers;
  readonly exitNames = EXIT_NAMES;
  /** The software that runs on it. */
  guest: GuestCpu = NO_GUEST;

  isPoweredOff = false;
  /** IRQ (bit 0) and FIQ (bit 1) inputs that user space drives; without an in-kernel controller. */
  inputs = 0;
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
  /** Decided when it is loaded: nobody else wants the CPU and vLPIs come without an exit, so that it may wait in the guest. */
  isWfiTrapped = true;
  isDestroyed = false;

  constructor(vm: Vm, id: number, index: number) {
    super(vm, id, index, new ArmVcpuStats());
    this.regs = new GuestRegisters(mpidrOf(id));
    this.timers = new VcpuTimers(this);
  }

  override *prepareFirstRun(): Step<number> {
    if (!this.isInitialized) return -ENOEXEC;
    if (this.hasRun) return 0;
    const { armIrqchip } = this.vm;
    if (armIrqchip !== null) {
      const mapped = yield* armIrqchip.mapResources();
      if (mapped < 0) return mapped;
    }
    return yield* this.timers.enable();
  }

  override *load(cpu: number): Step<void> {
    const { gic, loaded } = this.vm.host;
    loaded[cpu] = this;
    this.cpuInterface = gic === null ? null : gic.virtualInterface(cpu);
    const { armIrqchip } = this.vm;
    if (armIrqchip !== null) yield* armIrqchip.load(this.index, cpu);
    const isContended = yield* this.hostCpu.isContended();
    const hasVlpis = armIrqchip !== null && (yield* armIrqchip.hasVlpis(this.index));
    this.isWfiTrapped = isContended || !hasVlpis;
    yield* this.timers.load(cpu);
  }

  override *put(isBlocking: boolean): Step<void> {
    yield* this.timers.put(isBlocking);
    const { armIrqchip } = this.vm;
    if (armIrqchip !== null) yield* armIrqchip.put(this.index);
    this.vm.host.loaded[this.physicalCpu] = null;
    this.cpuInterface = null;
  }

  override completeExit(): void {
    if (exitReason(this) === KVM_EXIT_MMIO) completeMmio(this);
  }

  override *beforeEntry(): Step<number> {
    yield reads(this, "requests");
    return this.requests === 0 ? CONTINUE : yield* handleRequests(this);
  }

  override *flush(): Step<void> {
    const { armIrqchip } = this.vm;
    if (armIrqchip !== null) yield* armIrqchip.flush(this.index);
  }

  override *sync(): Step<void> {
    const { armIrqchip } = this.vm;
    if (armIrqchip !== null) yield* armIrqchip.sync(this.index);
  }

  override *runGuest(): Step<number> {
    return yield* this.guest.run(this);
  }

  override *handleExit(exit: number): Step<number> {
    return yield* handleExit(this, exit);
  }

  override *saveRun(): Step<void> {}

  override *hasFiredTimer(): Step<boolean> {
    return yield* this.timers.hasFired();
  }

  override *nextDeadline(): Step<number> {
    return yield* this.timers.nextDeadline();
  }

  override *haltEnded(): Step<number> {
    const { armIrqchip } = this.vm;
    if (armIrqchip !== null) yield* armIrqchip.endWfi(this.index);
    this.regs.pc += 4;
    return CONTINUE;
  }

  override *mustSleep(): Step<boolean> {
    yield reads(this, "isPoweredOff");
    const isOff = this.isPoweredOff;
    yield reads(this, "isPaused");
    return isOff || this.isPaused;
  }

  override *requestIrqPending(): Step<void> {
    if (this.vm.hazards.kickBeforeRequest) yield* kick(this);
    yield* this.request(ArmRequest.IRQ_PENDING);
    if (!this.vm.hazards.kickBeforeRequest) yield* kick(this);
  }

  *requestReloadGicv4(): Step<void> {
    yield* this.request(ArmRequest.RELOAD_GICV4);
    yield* kick(this);
  }

  override *requestProcessUpdate(): Step<void> {
    yield* this.request(ArmRequest.VGIC_PROCESS_UPDATE);
    yield* kick(this);
  }

  /** Without an in-kernel controller the inputs of the core itself are driven (KVM_IRQ_LINE of type CPU). */
  override *interruptLine(fiq: boolean, level: boolean): Step<number> {
    const bit = fiq ? 2 : 1;
    yield writes(this, "inputs");
    const before = this.inputs;
    this.inputs = level ? before | bit : before & ~bit;
    if (this.inputs !== before) yield* this.requestIrqPending();
    return 0;
  }

  override *destroy(): Step<void> {
    this.isDestroyed = true;
    yield* this.timers.destroy();
  }

  /** An interrupt waits and the vCPU may run (host-irq.md 3.4). */
  override *isRunnable(): Step<boolean> {
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
shared(Vcpu, "isPoweredOff", "inputs");
